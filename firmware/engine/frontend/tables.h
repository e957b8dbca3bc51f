/* Made by gen_tables.py, which names each formula's source. Do not edit. */
/* clang-format off */
#ifndef CICADA_FRONTEND_TABLES_H
#define CICADA_FRONTEND_TABLES_H

#include <stdint.h>

#include "frontend.h"

#define FE_WINDOW_BITS 12 /* fraction bits of fe_hann */
#define FE_BAND_BITS 12 /* fraction bits of fe_band_weight */
#define FE_BANDS 41 /* one more than channels: each channel spans two */
#define FE_BIN_FIRST 5 /* FFT bin where the first band starts */
#define FE_BIN_END 241 /* FFT bin after the last band */
#define FE_NOISE_BITS 14 /* fraction bits of the next three */
#define FE_NOISE_EVEN 409 /* smoothing of channels 0, 2, ... */
#define FE_NOISE_ODD 983 /* smoothing of channels 1, 3, ... */
#define FE_NOISE_FLOOR 819 /* share of the signal that always remains */
#define FE_NOISE_SMOOTHING_BITS 10 /* fraction bits of the noise estimate */
#define FE_PCAN_SNR_BITS 12 /* fraction bits of the signal-to-noise ratio */
#define FE_PCAN_SHIFT 6 /* signal * gain to ratio */
#define FE_CORRECTION_BITS 3 /* scale lost to the FFT and the square root */
#define FE_LOG_BITS 16 /* fraction bits of the logarithm */
#define FE_LOG_SEGMENT_BITS 7 /* log2 of the table's segments */

/* Doubled, and negated, as no part of these is above 0. */
typedef struct {
    uint16_t r, i;
} fe_split;

/* Gain over the x of one bit length: value + slope t + curve t^2, t = 0..1. */
typedef struct {
    int16_t value, slope, curve;
} fe_gain;

extern const int16_t fe_hann[480];
extern const uint8_t fe_slot[64];
extern const int16_t fe_division[2];
extern const fe_complex fe_twiddle[192];
extern const fe_split fe_split_twiddle[124];
extern const uint8_t fe_band_width[41];
extern const uint16_t fe_band_weight[236];
extern const uint8_t fe_sqrt_seed[192];
extern const uint8_t fe_bits[256];
extern const fe_gain fe_pcan_gain[33];
extern const uint16_t fe_log2_correction[129];

#endif
