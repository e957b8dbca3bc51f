/* CONV_2D with weights and biases as TFLite lays them out, for accelerated kernels to run:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i, columns j, channels k of
 *                    (in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w, k)
 *                     + in_offset) * weight[n][i][j][k]
 *
 * where taps on padding do not count; requant.h makes an output of it. Equals ConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/conv.h.
 */
#include "plain.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    return cpm_fits(cpm_plain_fits(checker, op, plain->in.c));
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_plain_run(model, op, ((const cpm_plain *)(const void *)op)->in.c);
}

const cpm_kernel cpm_kernel_plain_conv = {check, run};
