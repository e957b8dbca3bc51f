/* Scaling of sums as TensorFlow Lite's reference kernels do it: MultiplyByQuantizedMultiplier of
 * tensorflow/lite/kernels/internal/common.cc with its two roundings (TFLITE_SINGLE_ROUNDING off, as TFLM is
 * built):
 *
 *     v   = SaturatingRoundingDoublingHighMul(x * 2^left, m)     = floor((x * 2^left * m + 2^30) / 2^31)
 *     out = RoundingDivideByPOT(v, right)                        = round(v / 2^right), halves away from zero
 *
 * The multiplier is stored doubled, so that the first is the high half of a 32 x 32 product plus the top bit
 * of the low half. (The saturation cannot happen: m is positive.)
 */
#ifndef CICADA_RUNTIME_REQUANT_H
#define CICADA_RUNTIME_REQUANT_H

#include <stdint.h>

#include "format.h"

/* floor((x * m + 2^30) / 2^31) for doubled = 2 * m. */
static inline int32_t cpm_high_mul(int32_t x, uint32_t doubled) {
    const uint64_t product = (uint64_t)((int64_t)x * (int64_t)(uint64_t)doubled);
    return (int32_t)((uint32_t)(product >> 32) + ((uint32_t)product >> 31));
}

/* v / 2^right rounded, halves away from zero; right is 0 to 31. */
static inline int32_t cpm_rounding_shift(int32_t v, unsigned right) {
    if (right == 0) {
        return v;
    }
    const uint32_t half = 1u << (right - 1);
    const int64_t sum = (int64_t)v + half - (v < 0);
    return (int32_t)(sum >> right);
}

/* MultiplyByQuantizedMultiplier; shift is positive to the right, -30 to 31. x << left wraps. */
static inline int32_t cpm_scale(int32_t x, uint32_t doubled, int shift) {
    if (shift < 0) {
        return cpm_high_mul((int32_t)((uint32_t)x << -shift), doubled);
    }
    return cpm_rounding_shift(cpm_high_mul(x, doubled), (unsigned)shift);
}

static inline int32_t cpm_clamp(int32_t x, int32_t low, int32_t high) {
    return x < low ? low : x > high ? high : x;
}

/* The output of channel c of n, from its sum without the bias. `tables` are those at requant->at. */
static inline int8_t cpm_requantise(const void *tables, const cpm_requant *requant, uint32_t n, uint32_t c,
                                    int32_t sum) {
    const int32_t *bias = tables;
    const uint32_t *multiplier = (const uint32_t *)tables + n;
    const int8_t *shift = (const int8_t *)tables + 8 * n;
    const int32_t scaled = cpm_scale(sum + bias[c], multiplier[c], shift[c]);
    const int64_t out = (int64_t)scaled + requant->out_zero;
    return (int8_t)(out < requant->low ? requant->low : out > requant->high ? requant->high : out);
}

#endif
