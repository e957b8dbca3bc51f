/* ADD and SUB:
 *
 *     a' = M((a + a_offset) * 2^left, a's multiplier), b' likewise
 *     out = clamp(M(a' + b' or a' - b', out's multiplier) + out_zero, low, high)
 *
 * where M is MultiplyByQuantizedMultiplierSmallerThanOneExp. Equals AddFunc of
 * tensorflow/lite/kernels/internal/reference/integer_ops/add.h and BroadcastQuantSubSlow of
 * tensorflow/lite/kernels/internal/reference/sub.h.
 */
#include "binary.h"
#include "requant.h"

static bool right(int shift) {
    return shift >= 0 && shift <= 31;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_binary *const add = (const void *)op;
    if (!cpm_binary_fits(checker, op) || !right(add->a_shift) || !right(add->b_shift) ||
        !right(add->out_shift) || add->left < 0 || add->left > 20) {
        return "an addition does not fit";
    }
    return NULL;
}

/* RoundingDivideByPOT as sums of three numbers of which two are known beforehand. |v| < 2^30. */
typedef struct {
    unsigned shift;
    int32_t half, sign; /* 2^shift / 2; what a negative sign adds: -1, but 0 if nothing is shifted */
} rounding;

static rounding rounding_by(int shift) {
    const rounding r = {(unsigned)shift, shift == 0 ? 0 : (int32_t)(1u << (shift - 1)), shift == 0 ? 0 : -1};
    return r;
}

static inline int32_t scale(int32_t x, uint32_t multiplier, rounding r) {
    const int32_t v = cpm_high_mul(x, multiplier);
    return (v + r.half + (v >> 31 & r.sign)) >> r.shift;
}

/* An operand has at most nine bits and a sign, so that the operands' sum is less than 2^30 in magnitude. */
static void values(const cpm_binary *add, const int8_t *a, uint32_t step_a, const int8_t *b, uint32_t step_b,
                   int8_t *out, uint32_t count) {
    const rounding round_a = rounding_by(add->a_shift), round_b = rounding_by(add->b_shift),
                   round_out = rounding_by(add->out_shift);
    const int32_t unit = (int32_t)(1u << add->left), zero = add->out_zero;
    const int32_t offset_a = add->a_offset * unit, offset_b = add->b_offset * unit;
    const int32_t sign = add->b_negative ? -1 : 0;
    for (const int8_t *const end = out + count; out != end; out++, a += step_a, b += step_b) {
        const int32_t from_a = scale(*a * unit + offset_a, add->a_multiplier, round_a);
        const int32_t from_b = scale(*b * unit + offset_b, add->b_multiplier, round_b);
        const int32_t sum = from_a + (from_b ^ sign) - sign;
        *out = (int8_t)cpm_clamp(scale(sum, add->out_multiplier, round_out) + zero, add->low, add->high);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_binary_each(model, op, values);
}

const cpm_kernel cpm_kernel_add = {check, run};
