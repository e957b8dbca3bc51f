#include "stages.h"

/* One division turns the root of x and its remainder into those of x with 2 * bits more low bits
 * (Zimmermann 1999, "Karatsuba Square Root", INRIA RR-3805). Right if root has its top bit set and at
 * least `bits` bits: then the quotient is at most one too large. */
static void extend(uint32_t *root, uint32_t *remainder, uint32_t low, unsigned bits) {
    const uint32_t dividend = *remainder << bits | low >> bits;
    const uint32_t quotient = dividend / (2 * *root);
    const uint32_t rest = dividend - quotient * 2 * *root;
    const int32_t left =
        (int32_t)(rest << bits | (low & ((1u << bits) - 1))) - (int32_t)(quotient * quotient);
    *root = (*root << bits) + quotient;
    *remainder = (uint32_t)left;
    if (left < 0) {
        *remainder += 2 * *root - 1;
        *root -= 1;
    }
}

/* sqrt(x) rounded to nearest, for x < 2^50. */
static uint32_t rounded_sqrt(uint64_t x) {
    if (x == 0) {
        return 0;
    }
    /* With x shifted by an even number to 51 or 52 bits, the root has 26: eight from the table, eight and
     * ten from the divisions. All but x itself fits 32 bits. */
    const uint32_t high = (uint32_t)(x >> 32);
    const unsigned bits = high ? 32 + fe_bit_length(high) : fe_bit_length((uint32_t)x);
    const unsigned half_shift = (52 - bits) / 2;
    x <<= 2 * half_shift;
    const uint32_t top = (uint32_t)(x >> 36);
    uint32_t root = fe_sqrt_seed[(top >> 8) - 64];
    uint32_t remainder = top - root * root;
    if (remainder > 2 * root) {
        remainder -= 2 * root + 1;
        root += 1;
    }
    extend(&root, &remainder, (uint32_t)(x >> 20) & 0xffff, 8);
    extend(&root, &remainder, (uint32_t)x & 0xfffff, 10);
    /* x < 2^50 leaves a bit below the integer root, and that is the rounding. The reference takes numbers
     * below 2^32 through a 16-bit routine that cannot round up to 2^16. */
    const uint32_t rounded = ((root >> (half_shift - 1)) + 1) >> 1;
    return rounded == 0x10000 && high == 0 ? 0xffff : rounded;
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
