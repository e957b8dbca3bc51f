/* The parts behind vib_feed. Not for callers. */
#ifndef CICADA_VIBRATION_PARTS_H
#define CICADA_VIBRATION_PARTS_H

#include "vibration.h"

/* Signed right shifts stand for floor division. */
typedef char vib_shift_is_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

#define VIB_LOG_BITS 16      /* fraction bits of a logarithm */
#define VIB_SPECTRUM_BITS 13 /* and of a spectrum */

/* One bin of a spectrum. */
typedef struct {
    int32_t r, i;
} vib_bin;

static inline uint64_t vib_energy(vib_bin z) {
    return (uint64_t)((int64_t)z.r * z.r) + (uint64_t)((int64_t)z.i * z.i);
}

/* a b / 2^32, rounded down. */
static inline int32_t vib_upper(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* log2(x) with VIB_LOG_BITS fraction bits, x > 0. Off by less than 2^-13. */
int32_t vib_log2(uint64_t x);

/* round(steps * log / 2^VIB_LOG_BITS) + offset as int8. */
int8_t vib_scaled(int32_t log, int32_t steps, int32_t offset);

/* The sum of an axis, which both of the following take the mean from. */
int32_t vib_sum(const int16_t *x, unsigned samples);

/* Level, crest and kurtosis of 2^bits samples with this sum. */
void vib_statistics(const int16_t *x, unsigned bits, int32_t sum, int8_t features[VIB_STATISTICS]);

/* Leaves in bins 1 .. N/2 - 1 the amplitudes X_k / N with VIB_SPECTRUM_BITS fraction bits, N = 2^bits. */
void vib_spectrum(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins);

/* Leaves the spectrum of the envelope of such a window in bins 1 .. N/4 - 1, in units of the file's own. */
void vib_envelope(vib_bin *bins, unsigned bits);

/* Lays the envelope's bands out for a rate and a speed as of vib_set_speed;
 * without a speed the rate does not count. */
void vib_divide_envelope(vib_state *s, uint32_t rate, uint32_t speed);

/* Features of the envelope's bands from what vib_envelope left. */
void vib_envelope_bands(const vib_state *s, const vib_bin *bins, int8_t *features);

/* Weight n of Hann's window of `samples`, with 31 fraction bits. n and samples - n have the same. */
int32_t vib_hann(unsigned n, unsigned samples);

/* Fourier transform of complex points, divided by their number, a power of two. They lie where the bits of
 * their places are reversed. */
void vib_transform(vib_bin *bins, unsigned points);

/* Turns the transform of `points` pairs of real samples into that of the samples: bins 1 .. points - 1. */
void vib_split(vib_bin *bins, unsigned points);

#endif
