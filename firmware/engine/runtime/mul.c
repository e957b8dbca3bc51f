/* MUL:
 *
 *     out = clamp(MultiplyByQuantizedMultiplier((a + a_offset) * (b + b_offset)) + out_zero, low, high)
 *
 * Equals MulElementwise of tensorflow/lite/kernels/internal/reference/integer_ops/mul.h.
 */
#include "binary.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_binary *const mul = (const void *)op;
    if (!cpm_binary_fits(checker, op) || mul->out_shift < -30 || mul->out_shift > 31) {
        return cpm_unfit;
    }
    return NULL;
}

static void values(const cpm_binary *mul, const int8_t *a, uint32_t step_a, const int8_t *b, uint32_t step_b,
                   int8_t *out, uint32_t count) {
    const uint32_t multiplier = mul->out_multiplier;
    const int shift = mul->out_shift;
    const int32_t zero = mul->out_zero, low = mul->low - zero, high = mul->high - zero;
    for (const int8_t *const end = out + count; out != end; out++, a += step_a, b += step_b) {
        const int32_t product = (*a + mul->a_offset) * (*b + mul->b_offset);
        *out = (int8_t)(cpm_clamp(cpm_scale(product, multiplier, shift), low, high) + zero);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_binary_each(model, op, values);
}

const cpm_kernel cpm_kernel_mul = {check, run};
