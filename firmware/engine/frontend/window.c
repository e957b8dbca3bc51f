#include "stages.h"

static int32_t windowed(int16_t sample, int16_t weight) {
    return (sample * weight) >> FE_WINDOW_BITS;
}

static uint32_t magnitude(int32_t x) {
    return (uint32_t)(x < 0 ? -x : x);
}

unsigned fe_window(const int16_t samples[FE_WINDOW], fe_bin bins[FE_FFT / 2]) {
    uint32_t seen = 0;
    unsigned n = 0;
    for (; n < FE_WINDOW / 2; n++) {
        const int32_t r = windowed(samples[2 * n], fe_hann[2 * n]);
        const int32_t i = windowed(samples[2 * n + 1], fe_hann[2 * n + 1]);
        seen |= magnitude(r) | magnitude(i);
        fe_complex *z = &bins[fe_slot[n]].z;
        z->r = (int16_t)r;
        z->i = (int16_t)i;
    }
    for (; n < FE_FFT / 2; n++) {
        bins[fe_slot[n]].energy = 0;
    }
    /* Only the highest bit of the loudest sample counts, and or-ing finds it. The reference negates
     * -32768 in 16 bits, so it stays negative and never is the loudest: hence the mask. */
    return 15 - fe_bit_length(seen & 0x7fff);
}
