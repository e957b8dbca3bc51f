#include "stages.h"

/* x times a share with FE_NOISE_BITS of fraction, rounded down */
static uint32_t part(uint32_t x, uint32_t share) {
    return (uint32_t)(((uint64_t)x * (share << (32 - FE_NOISE_BITS))) >> 32);
}

/* The reference's fine * s + noise * (1 - s), rounded down, is noise + (fine - noise) * s. The sign of that
 * difference says how to round its part, and whether any signal can be above the noise. */
static inline uint32_t reduced(uint32_t *noise, uint32_t signal, uint32_t smoothing) {
    const uint32_t fine = signal << FE_NOISE_SMOOTHING_BITS; /* wraps, as in the reference */
    const uint32_t before = *noise, floor = part(signal, FE_NOISE_FLOOR);
    if (fine < before) {
        const uint32_t fall = before - fine;
        const bool inexact = fall * (smoothing << (32 - FE_NOISE_BITS)) != 0;
        *noise = before - part(fall, smoothing) - inexact;
        return floor;
    }
    const uint32_t estimate = before + part(fine - before, smoothing);
    *noise = estimate;
    const uint32_t above = (fine - estimate) >> FE_NOISE_SMOOTHING_BITS;
    return above > floor ? above : floor;
}

void fe_noise_reduction(uint32_t noise[FE_CHANNELS], uint32_t channels[FE_CHANNELS]) {
    for (unsigned c = 0; c < FE_CHANNELS; c += 2) {
        channels[c] = reduced(&noise[c], channels[c], FE_NOISE_EVEN);
        channels[c + 1] = reduced(&noise[c + 1], channels[c + 1], FE_NOISE_ODD);
    }
}
