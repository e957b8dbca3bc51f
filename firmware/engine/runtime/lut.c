/* Any function of one value, by a table: LOGISTIC, TANH, RELU, LEAKY_RELU, QUANTIZE and chains of them.
 *
 *     out = table[in as unsigned]
 *
 * The compiler makes the table with the formulas of TensorFlow Lite's reference kernels.
 */
#include "kernel.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_lut *const lut = (const void *)op;
    if (!cpm_views_fit(checker, op, sizeof(cpm_lut)) || lut->in.h != lut->out.h || lut->in.w != lut->out.w ||
        lut->in.c != lut->out.c || !cpm_in_blob(checker, lut->table, 256)) {
        return cpm_unfit;
    }
    return NULL;
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_lut *const lut = (const void *)op;
    const int8_t *const table = cpm_data(model, lut->table);
    const bool whole = lut->in.pitch == lut->in.c && lut->out.pitch == lut->in.c;
    const uint32_t count = whole ? (uint32_t)lut->in.w * lut->in.c : lut->in.c;
    const uint32_t pixels = whole ? 1 : lut->in.w;
    for (uint32_t y = 0; y < lut->in.h; y++) {
        const int8_t *in = cpm_row_at(model, &lut->in, op->in_ring, y);
        int8_t *out = cpm_row_at(model, &lut->out, op->out_ring, y);
        for (uint32_t x = 0; x < pixels; x++, in += lut->in.pitch, out += lut->out.pitch) {
            for (uint32_t i = 0; i < count; i++) {
                out[i] = table[(uint8_t)in[i]];
            }
        }
    }
}

const cpm_kernel cpm_kernel_lut = {check, run};
