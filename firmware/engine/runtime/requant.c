/* What the kernels of sums of products share: checks, and outputs from sums. */
#include "requant.h"

bool cpm_sums_fit(const cpm_checker *checker, const cpm_op *op, const cpm_requant *requant, uint32_t taps,
                  uint32_t channels, uint32_t weights) {
    const cpm_conv *const record = (const void *)op; /* all begin alike */
    return taps <= UINT16_MAX && cpm_in_blob(checker, weights, (uint64_t)taps * channels) &&
           cpm_requant_fits(checker, requant, op->flags, record->out.c);
}

int32_t cpm_any(unsigned flags, const cpm_requant *requant, int32_t sum, uint32_t doubled, int shift) {
    const int32_t zero = requant->out_zero, low = requant->low, high = requant->high;
    if (flags & CPM_FAST) {
        return cpm_fast(sum, doubled, shift, 2 * zero + 1, low, high, flags & CPM_NONNEG);
    }
    const int64_t out = (int64_t)cpm_scale(sum, doubled, shift) + zero;
    return out < low ? low : out > high ? high : (int32_t)out;
}

void cpm_finish_fast(const cpm_requant *requant, unsigned flags, const uint32_t *multiplier,
                     const int8_t *shift, const int32_t *sum, const int32_t *end, int8_t *out) {
    const int32_t twice = 2 * requant->out_zero + 1, low = requant->low, high = requant->high;
    const bool nonneg = flags & CPM_NONNEG;
    uint8_t *to = (uint8_t *)out; /* GCC extends these with one instruction, signed ones with two */
    for (; sum != end; sum += 4, multiplier += 4, shift += 4, to += 4) {
/* Multiplier and shift are read where they are needed. */
#define OUTPUT(i)                                                                                            \
    if (sum[i] > 0) {                                                                                        \
        to[i] = (uint8_t)cpm_above(sum[i], multiplier[i], shift[i], twice, high);                            \
    } else if (nonneg) {                                                                                     \
        ((int8_t *)to)[i] = (int8_t)low;                                                                     \
    } else {                                                                                                 \
        to[i] = (uint8_t)cpm_below(sum[i], multiplier[i], shift[i], twice, low);                             \
    }
        OUTPUT(0)
        OUTPUT(1)
        OUTPUT(2)
        OUTPUT(3)
    }
}

/* Outputs with any flags, any number of them. */
static __attribute__((noinline)) void rest(const cpm_requant *requant, unsigned flags,
                                           const uint32_t *multiplier, const int8_t *shift,
                                           const int32_t *sum, const int32_t *end, int8_t *out) {
    const uint32_t count = (uint32_t)(end - sum);
    uint32_t i = flags & CPM_FAST ? count & ~3u : 0;
    if (i != 0) {
        cpm_finish_fast(requant, flags, multiplier, shift, sum, sum + i, out);
    }
    for (; i < count; i++) {
        out[i] = (int8_t)cpm_any(flags, requant, sum[i], multiplier[i], shift[i]);
    }
}

void cpm_finish(const cpm_model *model, const cpm_op *op, const cpm_requant *requant, uint32_t n, uint32_t c,
                uint32_t count, const int32_t *sum, int8_t *out) {
    const int32_t *const bias = cpm_data(model, requant->at);
    const uint32_t *const multiplier = (const uint32_t *)bias + n + c;
    const int8_t *const shift = (const int8_t *)(bias + 2 * n) + c;
    const unsigned flags = op->flags;
    if (flags & CPM_FAST && count % 4 == 0) {
        cpm_finish_fast(requant, flags, multiplier, shift, sum, sum + count, out + c);
    } else {
        rest(requant, flags, multiplier, shift, sum, sum + count, out + c);
    }
}
