/* ADD and SUB:
 *
 *     a' = M((a + a_offset) * 2^left, a's multiplier), b' likewise
 *     out = clamp(M(a' + b' or a' - b', out's multiplier) + out_zero, low, high)
 *
 * where M is MultiplyByQuantizedMultiplierSmallerThanOneExp. Equals AddFunc of
 * tensorflow/lite/kernels/internal/reference/integer_ops/add.h and BroadcastQuantSubSlow of
 * tensorflow/lite/kernels/internal/reference/sub.h. There both scales are divided by twice the larger one, so
 * that one of the multipliers is a half, and no rounding happens.
 */
#include "small.h"

#include "binary.h"
#include "requant.h"

static bool is_half(uint32_t multiplier, int shift) {
    return multiplier == 1u << 31 && shift == 0;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_binary *const add = (const void *)op;
    (void)checker;
    /* Shifts of 0 to 31 have no other bits. */
    return cpm_fits(cpm_binary_fits(op) && ((add->a_shift | add->b_shift | add->out_shift) & ~31) == 0 &&
                    add->left >= 1 && add->left <= 20 &&
                    (is_half(add->a_multiplier, add->a_shift) || is_half(add->b_multiplier, add->b_shift)));
}

/* How M rounds, by what requant.h proves: for |x| < 2^30, with u the high half of 2 * x * multiplier,
 * M(x) = (((u + 1 - (2 where x < 0)) >> shift) + 1) >> 1, but (u + 1) >> 1 if the shift is 0. */
typedef struct {
    uint32_t multiplier;
    unsigned shift;
    int32_t negative, half; /* -2 and 1, or 0 */
} scaling;

static scaling scaling_by(uint32_t multiplier, int shift) {
    const scaling s = {multiplier, (unsigned)shift, shift == 0 ? 0 : -2, shift == 0 ? 0 : 1};
    return s;
}

/* Of 2 * x twice M(x), and perhaps one more. */
static inline int32_t scale_twice(int32_t twice, scaling s) {
    const int32_t u = (int32_t)((int64_t)twice * (int64_t)(uint64_t)s.multiplier >> 32);
    return ((u + 1 + (twice >> 31 & s.negative)) >> s.shift) + s.half;
}

/* Operands have at most nine bits and a sign, so their sum is less than 2^30 in magnitude. */
static void values(const cpm_model *model, const cpm_op *op, const int8_t *a, uint32_t step_a,
                   const int8_t *b, uint32_t step_b, int8_t *out, uint32_t count) {
    const cpm_binary *const add = (const void *)op;
    (void)model;
    int32_t sign_a = 1, sign_b = add->b_negative ? -1 : 1;
    int32_t offset_a = add->a_offset, offset_b = add->b_offset;
    uint32_t multiplier = add->b_multiplier;
    int shift = add->b_shift;
    if (!is_half(add->a_multiplier, add->a_shift)) { /* then b is it */
        const int8_t *const other = a;
        const uint32_t step = step_a;
        a = b, b = other;
        step_a = step_b, step_b = step;
        offset_a = add->b_offset, offset_b = add->a_offset;
        sign_a = sign_b, sign_b = 1;
        multiplier = add->a_multiplier, shift = add->a_shift;
    }
    const scaling scaling_b = scaling_by(multiplier, shift);
    const scaling scaling_out = scaling_by(add->out_multiplier, add->out_shift);
    const int32_t zero = 2 * add->out_zero, low = add->low, high = add->high;
    /* In units of a half, as the sum is needed twice. */
    const int32_t unit = (int32_t)(1u << add->left), unit_a = unit * sign_a;
    offset_a *= unit_a, offset_b *= 2 * unit;
    for (const int8_t *const end = out + count; out != end; out++, a += step_a, b += step_b) {
        const int32_t scaled_b = scale_twice(*b * (2 * unit) + offset_b, scaling_b) >> 1;
        const int32_t twice = *a * unit_a + offset_a + scaled_b * (2 * sign_b);
        *out = (int8_t)cpm_clamp((scale_twice(twice, scaling_out) + zero) >> 1, low, high);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_each(model, op, 2, values);
}

const cpm_kernel cpm_kernel_add = {check, run};
