#include "vibration.h"

#include <string.h>

#include "parts.h"

/* log2(16/3) and the scale of energies of vib_spectrum, with VIB_LOG_BITS fraction bits. */
#define POWER_LOG2 (158272 - (2 * VIB_SPECTRUM_BITS << VIB_LOG_BITS))

static bool possible(unsigned samples, unsigned bands, unsigned axes, unsigned envelope) {
    return (samples == 256 || samples == 512 || samples == 1024) && bands >= VIB_BANDS_MIN &&
           bands <= VIB_BANDS_MAX && (axes == 1 || axes == 3) &&
           (envelope == 0 || (envelope >= VIB_ENVELOPE_MIN && envelope <= VIB_ENVELOPE_MAX));
}

/* The state, rounded up to whole bins, which follow it. */
static size_t head(void) {
    return (sizeof(vib_state) + sizeof(vib_bin) - 1) / sizeof(vib_bin) * sizeof(vib_bin);
}

static vib_bin *bins_of(vib_state *s) {
    return (vib_bin *)(void *)((unsigned char *)s + head());
}

/* int16_t[axes][samples], behind the bins. */
static int16_t *window_of(vib_state *s) {
    return (int16_t *)(void *)(bins_of(s) + s->samples / 2);
}

size_t vib_size(unsigned samples, unsigned bands, unsigned axes, unsigned envelope) {
    if (!possible(samples, bands, axes, envelope)) {
        return 0;
    }
    return head() + samples / 2 * sizeof(vib_bin) + (size_t)samples * axes * sizeof(int16_t);
}

static void divide(vib_state *s) {
    const int32_t end = vib_log2(s->samples / 2u);
    unsigned edge = 1;
    s->edges[0] = 1;
    for (unsigned b = 0; b < s->bands; b++) {
        const int32_t from = vib_log2(edge);
        const int32_t target = from + (end - from) / (int32_t)(s->bands - b);
        do {
            edge++;
        } while (vib_log2(edge) < target);
        s->edges[b + 1] = (uint16_t)edge;
    }
}

bool vib_init(vib_state *s, unsigned samples, unsigned bands, unsigned axes, unsigned envelope) {
    if (!possible(samples, bands, axes, envelope)) {
        return false;
    }
    s->samples = (uint16_t)samples;
    s->bits = (uint8_t)(samples == 256 ? 8 : samples == 512 ? 9 : 10);
    s->bands = (uint8_t)bands;
    s->axes = (uint8_t)axes;
    s->envelope = (uint8_t)envelope;
    divide(s);
    vib_divide_envelope(s, 0, 0);
    vib_reset(s);
    return true;
}

bool vib_set_speed(vib_state *s, uint32_t rate, uint32_t speed) {
    if (s->envelope == 0 || rate == 0) {
        return false;
    }
    vib_divide_envelope(s, rate, speed);
    return true;
}

void vib_reset(vib_state *s) {
    s->filled = 0;
}

/* Features of an axis. */
static size_t width(const vib_state *s) {
    return (size_t)s->bands + VIB_STATISTICS + s->envelope;
}

size_t vib_features(const vib_state *s) {
    return s->axes * width(s);
}

static void analyse(vib_state *s, const int16_t *x, int8_t *features) {
    vib_bin *bins = bins_of(s);
    const int32_t sum = vib_sum(x, s->samples);
    vib_statistics(x, s->bits, sum, features + s->bands);
    vib_spectrum(x, s->bits, sum, bins);
    for (unsigned b = 0; b < s->bands; b++) {
        uint64_t energy = 0;
        for (unsigned k = s->edges[b]; k < s->edges[b + 1]; k++) {
            energy += vib_energy(bins[k]);
        }
        features[b] = energy == 0 ? INT8_MIN : vib_scaled(vib_log2(energy) + POWER_LOG2, 6, -53);
    }
    if (s->envelope != 0) {
        vib_envelope(bins, s->bits);
        vib_envelope_bands(s, bins, features + s->bands + VIB_STATISTICS);
    }
}

/* One axis of n frames into its own row. */
static void gather(int16_t *row, const int16_t *frames, size_t n, unsigned axes) {
    for (size_t k = 0; k < n; k++) {
        row[k] = frames[k * axes];
    }
}

size_t vib_feed(vib_state *s, const int16_t *frames, size_t n, int8_t *features) {
    size_t windows = 0;
    int16_t *window = window_of(s);
    while (n != 0) {
        const size_t room = (size_t)(s->samples - s->filled);
        const size_t taken = n < room ? n : room;
        for (unsigned axis = 0; axis < s->axes; axis++) {
            gather(window + axis * s->samples + s->filled, frames + axis, taken, s->axes);
        }
        s->filled = (uint16_t)(s->filled + taken);
        frames += taken * s->axes;
        n -= taken;
        if (s->filled == s->samples) {
            for (unsigned axis = 0; axis < s->axes; axis++) {
                analyse(s, window + axis * s->samples, features + axis * width(s));
            }
            s->filled = 0;
            windows++;
        }
    }
    return windows;
}
