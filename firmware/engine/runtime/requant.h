/* Scaling of sums as TensorFlow Lite's reference kernels do it: MultiplyByQuantizedMultiplier of
 * tensorflow/lite/kernels/internal/common.cc with its two roundings (TFLITE_SINGLE_ROUNDING off, as TFLM is
 * built):
 *
 *     v   = SaturatingRoundingDoublingHighMul(x * 2^left, m)     = floor((x * 2^left * m + 2^30) / 2^31)
 *     out = RoundingDivideByPOT(v, right)                        = round(v / 2^right), halves away from zero
 *
 * The multiplier is stored doubled, so that the first is the high half of a 32 x 32 product plus the top bit
 * of the low half. (The saturation cannot happen: m is positive.)
 *
 * For shifts r to the right of 1 to 22 and |x| < 2^30 there is a shorter way, here for x >= 0. With
 * u = floor(x * m / 2^30), which is the high half of 2 * x times the doubled multiplier:
 *
 *     v = floor((u + 1) / 2), because floor((a + 1) / 2) does not see what is cut off a
 *     out + zero = floor((v + 2^(r-1)) / 2^r) + zero = floor((v + (2 * zero + 1) * 2^(r-1)) / 2^r)
 *                = floor((floor(v / 2^(r-1)) + 2 * zero + 1) / 2)
 *                = (((u + 1) >> r) + 2 * zero + 1) >> 1
 *
 * since cutting off bits twice is cutting them off once. For x < 0, halves away from zero make it v - 1
 * instead of v wherever v < 0, so u - 1 instead of u + 1. Where x <= 0 but v == 0, u is -1 or 0, and u - 1
 * serves as well: (u - 1) >> r is -1, and (-1 + 2 * zero + 1) >> 1 is zero.
 *
 * So a sum above 0 gives no output below zero, and needs no care for the low end of the range; a sum below 0
 * needs none for the high end. If zero is the low end, as with a RELU, a sum of at most 0 gives just that.
 */
#ifndef CICADA_RUNTIME_REQUANT_H
#define CICADA_RUNTIME_REQUANT_H

#include <stdint.h>

#include "kernel.h"

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

/* u of the proof above. */
static inline int32_t cpm_twice_scaled(int32_t x, uint32_t doubled) {
    return (int32_t)((int64_t)(int32_t)((uint32_t)x * 2) * (int64_t)(uint64_t)doubled >> 32);
}

/* Checks what all kernels of sums have, their views being right: at most 65535 taps, weights for so many
 * channels, requantisation. */
bool cpm_sums_fit(const cpm_checker *checker, const cpm_op *op, const cpm_requant *requant, uint32_t taps,
                  uint32_t channels, uint32_t weights);

/* With CPM_FAST, the output of a sum (the bias in it) of at least 0; twice is 2 * zero + 1. It is not below
 * zero and so not below low. */
static inline int32_t cpm_above(int32_t sum, uint32_t doubled, int shift, int32_t twice, int32_t high) {
    const int32_t out = (((cpm_twice_scaled(sum, doubled) + 1) >> shift) + twice) >> 1;
    return out > high ? high : out;
}

/* With CPM_FAST, the output of a sum of at most 0. */
static inline int32_t cpm_below(int32_t sum, uint32_t doubled, int shift, int32_t twice, int32_t low) {
    const uint32_t less = (uint32_t)cpm_twice_scaled(sum, doubled) - 1;
    const int32_t out = (((int32_t)less >> shift) + twice) >> 1;
    return out < low ? low : out;
}

/* Part of cpm_finish: a multiple of 4 outputs with CPM_FAST. (Were it static, GCC would hand it more
 * arguments than there are registers.) */
void cpm_finish_fast(const cpm_requant *requant, unsigned flags, const uint32_t *multiplier,
                     const int8_t *shift, const int32_t *sum, const int32_t *end, int8_t *out);

/* `count` outputs of one pixel of n channels, from channel c on, by the sums with the bias in them. */
void cpm_finish(const cpm_model *model, const cpm_op *op, const cpm_requant *requant, uint32_t n, uint32_t c,
                uint32_t count, const int32_t *sum, int8_t *out);

/* With CPM_FAST, the output of any sum; `nonneg` with CPM_NONNEG. */
static inline int32_t cpm_fast(int32_t sum, uint32_t doubled, int shift, int32_t twice, int32_t low,
                               int32_t high, bool nonneg) {
    if (sum > 0) {
        return cpm_above(sum, doubled, shift, twice, high);
    }
    return nonneg ? low : cpm_below(sum, doubled, shift, twice, low);
}

/* The output of a sum with any flags. */
int32_t cpm_any(unsigned flags, const cpm_requant *requant, int32_t sum, uint32_t doubled, int shift);

#endif
