/* Any function of one value, by a table: LOGISTIC, TANH, RELU, LEAKY_RELU, QUANTIZE and chains of them.
 *
 *     out = table[in as unsigned]
 *
 * The compiler makes the table with the formulas of TensorFlow Lite's reference kernels.
 */
#include "binary.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_lut *const lut = (const void *)op;
    return cpm_fits(cpm_unary_fits(op) && cpm_in_blob(checker, lut->table, 256));
}

static void values(const cpm_model *model, const cpm_op *op, const int8_t *in, uint32_t step,
                   const int8_t *same, uint32_t step_same, int8_t *out, uint32_t count) {
    const int8_t *const table = cpm_data(model, ((const cpm_lut *)(const void *)op)->table);
    (void)step, (void)same, (void)step_same;
    for (const int8_t *const end = out + count; out != end;) {
        *out++ = table[(uint8_t)*in++];
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_each(model, op, 1, values);
}

const cpm_kernel cpm_kernel_lut = {check, run};
