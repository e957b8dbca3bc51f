#include "pcm.h"

#define LEVEL_BITS 11

static int16_t clipped(int32_t sample, int32_t *low, int32_t *high) {
    if (sample > INT16_MAX) {
        sample = INT16_MAX;
    } else if (sample < INT16_MIN) {
        sample = INT16_MIN;
    }
    *low = sample < *low ? sample : *low;
    *high = sample > *high ? sample : *high;
    return (int16_t)sample;
}

uint32_t pcm_mono16(const int32_t *frames, size_t count, unsigned slot, unsigned gain_bits, int16_t *out) {
    /* A right shift of a negative number is arithmetic on every compiler this is built with. */
    const unsigned shift = 16u - gain_bits;
    int32_t low = INT16_MAX, high = INT16_MIN;
    for (size_t i = 0; i < count; i++) {
        out[i] = clipped(frames[2 * i + slot] >> shift, &low, &high);
    }
    return count == 0 ? 0 : (uint32_t)(high - low);
}

uint32_t pcm_mono16_centred(const int32_t *frames, size_t count, unsigned slot, unsigned gain_bits,
                            int32_t *level, int16_t *out) {
    int32_t low = INT16_MAX, high = INT16_MIN;
    int32_t held = *level;
    for (size_t i = 0; i < count; i++) {
        const int32_t sample = frames[2 * i + slot] >> 12;
        if (held == PCM_NO_LEVEL) {
            held = sample * (1 << LEVEL_BITS);
        }
        const int32_t moved = sample - (held >> LEVEL_BITS);
        held += moved;
        /* 21 bits and 8 of gain; four of them are below the 16 that are kept. */
        out[i] = clipped(moved * (1 << gain_bits) >> 4, &low, &high);
    }
    *level = held;
    return count == 0 ? 0 : (uint32_t)(high - low);
}
