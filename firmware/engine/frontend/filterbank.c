#include "stages.h"

/* sqrt(x) rounded to nearest, for x < 2^60. A digit a round: the remainder stays below twice the root,
 * so all but x itself fits 32 bits. */
static uint32_t rounded_sqrt(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    const unsigned bits = high ? 32 + fe_bit_length(high) : fe_bit_length((uint32_t)x);
    uint32_t root = 0, remainder = 0;
    for (unsigned shift = (bits + 1) & ~1u; shift != 0;) {
        shift -= 2;
        remainder = remainder << 2 | ((uint32_t)(x >> shift) & 3);
        const uint32_t trial = root << 2 | 1;
        root <<= 1;
        if (remainder >= trial) {
            remainder -= trial;
            root |= 1;
        }
    }
    /* The reference takes numbers below 2^32 through a 16-bit routine that cannot round up to 2^16. */
    const bool round_up = remainder > root && (high != 0 || root != 0xffff);
    return root + round_up;
}

void fe_filterbank(const fe_bin bins[FE_FFT / 2], unsigned shift, uint32_t channels[FE_CHANNELS]) {
    const fe_bin *bin = bins + FE_BIN_FIRST;
    const uint16_t *weight = fe_band_weight;
    uint64_t rising = 0;
    for (unsigned band = 0; band < FE_BANDS; band++) {
        uint64_t falling = 0, total = 0;
        for (unsigned n = fe_band_width[band]; n != 0; n--) {
            const uint32_t energy = bin++->energy;
            falling += (uint64_t)energy * *weight++;
            total += energy;
        }
        if (band != 0) {
            channels[band - 1] = rounded_sqrt(rising + falling) >> shift;
        }
        /* The two weights of a bin add up to one, so the other share needs no product of its own. */
        rising = (total << FE_BAND_BITS) - falling;
    }
}
