/* The stages behind fe_feed, in the order of the signal. Not for callers. */
#ifndef CICADA_FRONTEND_STAGES_H
#define CICADA_FRONTEND_STAGES_H

#include "frontend.h"
#include "tables.h"

/* Signed right shifts below stand for floor division, as in the reference. */
typedef char fe_shift_is_arithmetic[(-3 >> 1) == -2 ? 1 : -1];

/* Windows the samples into bins (two to a bin, in the order the FFT wants) and returns the left shift
 * that brings the loudest to full scale. */
unsigned fe_window(const int16_t samples[FE_WINDOW], fe_bin bins[FE_FFT / 2]);

/* Shifts the windowed samples left, transforms them in place and leaves the energies of bins
 * FE_BIN_FIRST up to FE_BIN_END. */
void fe_power_spectrum(fe_bin bins[FE_FFT / 2], unsigned shift);

/* Gathers energies into mel bands and returns their amplitudes with the shift undone. */
void fe_filterbank(const fe_bin bins[FE_FFT / 2], unsigned shift, uint32_t channels[FE_CHANNELS]);

/* Updates the noise estimate and subtracts it. */
void fe_noise_reduction(uint32_t noise[FE_CHANNELS], uint32_t channels[FE_CHANNELS]);

/* Divides by a power of the noise estimate, which evens out loudness. */
void fe_pcan(const uint32_t noise[FE_CHANNELS], uint32_t channels[FE_CHANNELS]);

/* 64 times the natural logarithm. */
void fe_log_scale(const uint32_t channels[FE_CHANNELS], uint16_t out[FE_CHANNELS]);

/* Number of significant bits, 0 for 0. From a table, as not all cores count leading zeros. */
static inline unsigned fe_bit_length(uint32_t x) {
    if (x < 1u << 16) {
        return x < 1u << 8 ? fe_bits[x] : 8u + fe_bits[x >> 8];
    }
    return x < 1u << 24 ? 16u + fe_bits[x >> 16] : 24u + fe_bits[x >> 24];
}

#endif
