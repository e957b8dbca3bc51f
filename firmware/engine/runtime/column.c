/* DEPTHWISE_CONV_2D of a k x 1 kernel over a column of pixels, where the rows lie in memory or in a ring:
 *
 *     sum(y, n) = bias[n] + sum over kernel rows t of in(y * stride_h + t * dilation_h, n) * weight[t][n]
 *
 * and requant.h makes an output of it. Equals DepthwiseConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h.
 */
#include "kernel.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_column *column = (const void *)op;
    const cpm_window *w = &column->window;
    if (!CPM_LENGTH(op, cpm_column) || !cpm_view_fits(checker, &column->in, op->in_ring) ||
        !cpm_view_fits(checker, &column->out, op->out_ring) ||
        !cpm_window_fits(w, &column->in, &column->out) || w->kernel_w != 1 || w->pad_h != 0 ||
        w->pad_w != 0 || column->in.w != 1 || column->out.w != 1 || column->in.c != column->out.c ||
        CPM_EXTENT(column->out.h, w->stride_h, w->kernel_h, w->dilation_h) > column->in.h) {
        return "a column convolution's shape";
    }
    if (!cpm_in_blob(checker, column->weights, (uint64_t)w->kernel_h * column->in.c)) {
        return "a column convolution's weights";
    }
    return cpm_requant_fits(checker, &column->requant, op->flags, column->out.c)
               ? NULL
               : "a column convolution's scaling";
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_column *column = (const void *)op;
    const cpm_window *w = &column->window;
    const uint32_t n = column->out.c;
    for (uint32_t y = 0; y < column->out.h; y++) {
        const int8_t *weight = (const int8_t *)cpm_data(model, column->weights);
        int8_t *const out = cpm_row(model, &column->out, op->out_ring, y);
        uint32_t block = 8;
        for (uint32_t first = 0; first < n; first += block) {
            while (n - first < block) {
                block /= 2;
            }
            for (uint32_t c = 0; c < block; c++) {
                int32_t sum = 0;
                for (uint32_t t = 0; t < w->kernel_h; t++) {
                    const int8_t *in =
                        cpm_row(model, &column->in, op->in_ring, y * w->stride_h + t * w->dilation_h);
                    sum += in[first + c] * weight[t * block + c];
                }
                out[first + c] =
                    cpm_requantise(cpm_data(model, column->requant.at), &column->requant, n, first + c, sum);
            }
            weight += w->kernel_h * block;
        }
    }
}

const cpm_kernel cpm_kernel_column = {check, run};
