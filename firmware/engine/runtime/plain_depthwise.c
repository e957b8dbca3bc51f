/* DEPTHWISE_CONV_2D with weights and biases as TFLite lays them out, for accelerated kernels to run:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i and columns j of
 *                    (in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w,
 *                        n / multiplier) + in_offset) * weight[i][j][n]
 *
 * where taps on padding do not count; requant.h makes an output of it. Equals DepthwiseConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h.
 */
#include "plain.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_plain *const plain = (const void *)op;
    return cpm_fits((uint32_t)plain->in.c * plain->multiplier == plain->out.c &&
                    cpm_plain_fits(checker, op, 1));
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_plain_run(model, op, 1);
}

const cpm_kernel cpm_kernel_plain_depthwise = {check, run};
