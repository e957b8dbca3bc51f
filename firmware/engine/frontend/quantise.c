#include <string.h>

#include "frontend.h"

/* 2^16 * 5 / 13. Near enough for the levels up to 255, and those above are clamped. */
#define SCALE 25206u

void fe_quantise(const uint16_t *in, int8_t *out, size_t n) {
    for (size_t k = 0; k < n; k++) {
        const uint32_t level = (in[k] * SCALE + (1u << 15)) >> 16;
        out[k] = (int8_t)((level < 255 ? level : 255) - 128);
    }
}

size_t fe_push(fe_state *s, const int16_t *pcm, size_t n, int8_t *window, size_t frames) {
    size_t added = 0;
    while (n != 0) {
        uint16_t features[FE_CHANNELS];
        size_t consumed;
        const int complete = fe_feed(s, pcm, n, &consumed, features);
        pcm += consumed;
        n -= consumed;
        if (!complete) {
            continue;
        }
        added++;
        if (frames != 0) {
            int8_t *last = window + (frames - 1) * FE_CHANNELS;
            memmove(window, window + FE_CHANNELS, (frames - 1) * FE_CHANNELS);
            fe_quantise(features, last, FE_CHANNELS);
        }
    }
    return added;
}

size_t fe_batch(fe_state *s, const int16_t *pcm, size_t n, uint16_t *raw, int8_t *quantised, size_t max) {
    size_t frames = 0;
    while (n != 0) {
        uint16_t features[FE_CHANNELS];
        size_t consumed;
        const int complete = fe_feed(s, pcm, n, &consumed, features);
        pcm += consumed;
        n -= consumed;
        if (!complete || frames == max) {
            continue;
        }
        if (raw != NULL) {
            memcpy(raw + frames * FE_CHANNELS, features, sizeof features);
        }
        if (quantised != NULL) {
            fe_quantise(features, quantised + frames * FE_CHANNELS, FE_CHANNELS);
        }
        frames++;
    }
    return frames;
}
