/* The parts behind vib_feed. Not for callers. */
#ifndef CICADA_VIBRATION_PARTS_H
#define CICADA_VIBRATION_PARTS_H

#include "vibration.h"

/* Signed right shifts stand for floor division. */
typedef char vib_shift_is_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

#define VIB_LOG_BITS 16 /* fraction bits of a logarithm */

/* One bin of the spectrum: amplitude, then in its place energy. */
typedef union {
    struct {
        int32_t r, i;
    } z;
    uint64_t energy;
} vib_bin;

/* log2(x) with VIB_LOG_BITS fraction bits, x > 0. Off by less than 2^-13. */
int32_t vib_log2(uint64_t x);

/* round(steps * log / 2^VIB_LOG_BITS) + offset as int8. */
int8_t vib_scaled(int32_t log, int32_t steps, int32_t offset);

/* The sum of an axis, which both of the following take the mean from. */
int32_t vib_sum(const int16_t *x, unsigned samples);

/* Level, crest and kurtosis of 2^bits samples with this sum. */
void vib_statistics(const int16_t *x, unsigned bits, int32_t sum, int8_t features[VIB_STATISTICS]);

/* Leaves in bins 1 .. N/2 - 1 the energies |X_k|^2 / N^2 in units of 2^-26, N = 2^bits. */
void vib_spectrum(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins);

#endif
