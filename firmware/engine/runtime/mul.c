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
    (void)checker;
    return cpm_fits(cpm_binary_fits(op) && mul->out_shift >= -30 && mul->out_shift <= 31);
}

static void values(const cpm_model *model, const cpm_op *op, const int8_t *a, uint32_t step_a,
                   const int8_t *b, uint32_t step_b, int8_t *out, uint32_t count) {
    const cpm_binary *const mul = (const void *)op;
    const cpm_requant range = {.out_zero = mul->out_zero, .low = mul->low, .high = mul->high};
    const int shift = mul->out_shift;
    /* The shorter way, as no product is larger than 2^18. */
    const bool fast =
        shift >= 1 && shift <= 22 && range.low <= range.out_zero && range.out_zero <= range.high;
    (void)model;
    for (const int8_t *const end = out + count; out != end; a += step_a, b += step_b) {
        const int32_t product = (*a + mul->a_offset) * (*b + mul->b_offset);
        *out++ = (int8_t)cpm_any(fast ? CPM_FAST : 0, &range, product, mul->out_multiplier, shift);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_each(model, op, 2, values);
}

const cpm_kernel cpm_kernel_mul = {check, run};
