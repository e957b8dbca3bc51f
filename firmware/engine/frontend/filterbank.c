#include "stages.h"

/* Integer root of x >= 2^30, and what its square leaves of x. */
static uint32_t root_of_word(uint32_t x, uint32_t *remainder) {
    /* Heron's step from 8 bits gives a root of 16 that is right or one too large. */
    const uint32_t seed = (uint32_t)fe_sqrt_seed[(x >> 24) - 64] << 8;
    uint32_t root = (seed + x / seed) / 2;
    uint32_t left = x - root * root;
    if (left >> 31 != 0) {
        root -= 1;
        left += 2 * root + 1;
    }
    *remainder = left;
    return root;
}

/* sqrt(x) rounded to nearest, for x < 2^32. */
static uint32_t rounded_sqrt_of_word(uint32_t x) {
    if (x == 0) {
        return 0;
    }
    const unsigned half_shift = (32 - fe_bit_length(x)) / 2;
    uint32_t remainder;
    const uint32_t root = root_of_word(x << 2 * half_shift, &remainder);
    if (half_shift != 0) {
        /* The shift leaves a bit below the integer root, and that is the rounding. */
        return ((root >> (half_shift - 1)) + 1) >> 1;
    }
    /* The reference takes such numbers through a 16-bit routine that cannot round up to 2^16. */
    return root + (remainder > root && root != 0xffff);
}

/* sqrt(x) rounded to nearest, for x < 2^50. */
static uint32_t rounded_sqrt(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x;
    if (high == 0) {
        return rounded_sqrt_of_word(low);
    }
    /* With x shifted by an even number to 51 or 52 bits, the root has 26: sixteen from the upper word, and
     * ten from dividing what is left (Zimmermann 1999, "Karatsuba Square Root", INRIA RR-3805). The quotient
     * is at most one too large. */
    const unsigned half_shift = (20 - fe_bit_length(high)) / 2;
    uint32_t remainder;
    const uint32_t upper =
        root_of_word(high << (2 * half_shift + 12) | low >> (20 - 2 * half_shift), &remainder);
    const uint32_t rest = low << 2 * half_shift & 0xfffff;
    const uint32_t dividend = remainder << 10 | rest >> 10;
    const uint32_t quotient = dividend / (2 * upper);
    const uint32_t left = (dividend - quotient * 2 * upper) << 10 | (rest & 0x3ff);
    const uint32_t root = (upper << 10) + quotient - (left < quotient * quotient);
    return ((root >> (half_shift - 1)) + 1) >> 1;
}

/* Sums of the upper and of the lower halves of energies: neither products nor sums of them leave 32 bits. */
typedef struct {
    uint32_t high, low;
} halves;

static inline void gather(uint32_t energy, uint32_t weight, halves *falling, halves *total) {
    const uint32_t high = energy >> 16, low = energy & 0xffff;
    falling->high += high * weight;
    falling->low += low * weight;
    total->high += high;
    total->low += low;
}

void fe_filterbank(const fe_bin bins[FE_FFT / 2], unsigned shift, uint32_t channels[FE_CHANNELS]) {
    const fe_bin *bin = bins + FE_BIN_FIRST;
    const uint16_t *weight = fe_band_weight;
    halves rising = {0, 0};
    for (unsigned band = 0; band < FE_BANDS; band++) {
        halves falling = {0, 0}, total = {0, 0};
        const unsigned width = fe_band_width[band];
        const fe_bin *end = bin + width;
        /* Bins in pairs, as stepping takes a fourth of the time. */
        if (width % 2 != 0) {
            gather(bin++->energy, *weight++, &falling, &total);
        }
        for (; bin != end; bin += 2, weight += 2) {
            gather(bin[0].energy, weight[0], &falling, &total);
            gather(bin[1].energy, weight[1], &falling, &total);
        }
        if (band != 0) {
            const uint64_t sum = ((uint64_t)(rising.high + falling.high) << 16) + rising.low + falling.low;
            channels[band - 1] = rounded_sqrt(sum) >> shift;
        }
        /* The two weights of a bin add up to one, so the other share needs no product of its own. */
        rising.high = (total.high << FE_BAND_BITS) - falling.high;
        rising.low = (total.low << FE_BAND_BITS) - falling.low;
    }
}
