#include "stages.h"

/* (a * x + b * y) / 2^14, in 64 bits as the products need them. */
static uint32_t blend(uint32_t a, uint32_t x, uint32_t b, uint32_t y) {
    return (uint32_t)(((uint64_t)a * x + (uint64_t)b * y) >> FE_NOISE_BITS);
}

void fe_noise_reduction(uint32_t noise[FE_CHANNELS], uint32_t channels[FE_CHANNELS]) {
    for (unsigned c = 0; c < FE_CHANNELS; c++) {
        const uint32_t signal = channels[c];
        const uint32_t smoothing = c & 1 ? FE_NOISE_ODD : FE_NOISE_EVEN;
        const uint32_t fine = signal << FE_NOISE_SMOOTHING_BITS; /* wraps, as in the reference */
        const uint32_t estimate = blend(fine, smoothing, noise[c], (1u << FE_NOISE_BITS) - smoothing);
        noise[c] = estimate;
        const uint32_t above = estimate > fine ? 0 : (fine - estimate) >> FE_NOISE_SMOOTHING_BITS;
        const uint32_t floor = blend(signal, FE_NOISE_FLOOR, 0, 0);
        channels[c] = above > floor ? above : floor;
    }
}
