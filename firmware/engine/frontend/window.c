#include "stages.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int32_t low, high;
} range;

INLINE uint32_t windowed(int16_t sample, int16_t weight, range *seen) {
    const int32_t x = (sample * weight) >> FE_WINDOW_BITS;
    if (x > seen->high) {
        seen->high = x;
    } else if (x < seen->low) {
        seen->low = x;
    }
    return (uint32_t)x;
}

/* Input n of the FFT: two samples. */
INLINE void put(fe_bin *bin, const int16_t *samples, unsigned n, range *seen) {
    bin->r = windowed(samples[2 * n], fe_hann[2 * n], seen);
    bin->i = windowed(samples[2 * n + 1], fe_hann[2 * n + 1], seen);
}

#define QUARTER (FE_FFT / 8) /* inputs n, n + QUARTER, ... are neighbours before the first pass */

static uint32_t magnitude(uint32_t x) {
    return x >> 31 != 0 ? 0u - x : x;
}

static void remove_minimum(uint32_t *x) {
    if (magnitude(*x) == 0x8000) {
        *x = 0;
    }
}

/* For a window with -32768, which the reference negates in 16 bits: it stays negative and never is the
 * loudest. If the loudest then is less than full scale, the shift leaves no bit of -32768. */
static unsigned shift_beside_minimum(fe_bin *bins) {
    uint32_t seen = 0;
    for (unsigned n = 0; n < FE_FFT / 2; n++) {
        seen |= magnitude(bins[n].r) | magnitude(bins[n].i);
    }
    const unsigned shift = 15 - fe_bit_length(seen & 0x7fff);
    for (unsigned n = 0; shift != 0 && n < FE_FFT / 2; n++) {
        remove_minimum(&bins[n].r);
        remove_minimum(&bins[n].i);
    }
    return shift;
}

unsigned fe_window(const int16_t samples[FE_WINDOW], fe_bin bins[FE_FFT / 2]) {
    range seen = {0, 0};
    for (unsigned n = 0; n < QUARTER; n++) {
        fe_bin *four = bins + fe_slot[n];
        put(&four[0], samples, n, &seen);
        put(&four[1], samples, n + QUARTER, &seen);
        put(&four[2], samples, n + 2 * QUARTER, &seen);
        if (n < FE_WINDOW / 2 - 3 * QUARTER) {
            put(&four[3], samples, n + 3 * QUARTER, &seen);
        } else {
            four[3] = (fe_bin){0, 0};
        }
    }
    if (seen.low == INT16_MIN) {
        return shift_beside_minimum(bins);
    }
    const int32_t loudest = seen.high > -seen.low ? seen.high : -seen.low;
    return 15 - fe_bit_length((uint32_t)loudest);
}
