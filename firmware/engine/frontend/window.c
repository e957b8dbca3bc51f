#include "stages.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int32_t low, high;
} range;

INLINE int16_t windowed(int16_t sample, int16_t weight, range *seen) {
    const int32_t x = (sample * weight) >> FE_WINDOW_BITS;
    if (x > seen->high) {
        seen->high = x;
    } else if (x < seen->low) {
        seen->low = x;
    }
    return (int16_t)x;
}

/* Input n of the FFT: two samples. */
INLINE void put(fe_bin *bin, const int16_t *samples, unsigned n, range *seen) {
    bin->z.r = windowed(samples[2 * n], fe_hann[2 * n], seen);
    bin->z.i = windowed(samples[2 * n + 1], fe_hann[2 * n + 1], seen);
}

#define APART (FE_FFT / 8) /* inputs n, n + APART, ... are neighbours before the first pass */

static uint32_t magnitude(int32_t x) {
    return (uint32_t)(x < 0 ? -x : x);
}

/* For a window with -32768, which the reference negates in 16 bits: it stays negative and never is the
 * loudest. If the loudest then is less than full scale, the shift leaves no bit of -32768. */
static unsigned shift_beside_minimum(fe_bin *bins) {
    uint32_t seen = 0;
    for (unsigned n = 0; n < FE_FFT / 2; n++) {
        seen |= magnitude(bins[n].z.r) | magnitude(bins[n].z.i);
    }
    const unsigned shift = 15 - fe_bit_length(seen & 0x7fff);
    for (unsigned n = 0; shift != 0 && n < FE_FFT / 2; n++) {
        fe_complex *z = &bins[n].z;
        z->r = z->r == INT16_MIN ? 0 : z->r;
        z->i = z->i == INT16_MIN ? 0 : z->i;
    }
    return shift;
}

unsigned fe_window(const int16_t samples[FE_WINDOW], fe_bin bins[FE_FFT / 2]) {
    range seen = {0, 0};
    for (unsigned n = 0; n < APART; n++) {
        fe_bin *four = bins + fe_slot[n];
        put(&four[0], samples, n, &seen);
        put(&four[1], samples, n + APART, &seen);
        put(&four[2], samples, n + 2 * APART, &seen);
        if (n < FE_WINDOW / 2 - 3 * APART) {
            put(&four[3], samples, n + 3 * APART, &seen);
        } else {
            four[3].energy = 0; /* both parts */
        }
    }
    if (seen.low == INT16_MIN) {
        return shift_beside_minimum(bins);
    }
    const int32_t loudest = seen.high > -seen.low ? seen.high : -seen.low;
    return 15 - fe_bit_length((uint32_t)loudest);
}
