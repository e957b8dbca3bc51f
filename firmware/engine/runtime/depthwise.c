/* DEPTHWISE_CONV_2D:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i and columns j of
 *                    in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w,
 *                       n / multiplier) * weight[n][i][j]
 *
 * and requant.h makes an output of it. Equals DepthwiseConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h. The bias has the input's zero
 * point in it; a tap on padding therefore sees that zero point.
 */
#include "kernel.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_depthwise *depthwise = (const void *)op;
    const cpm_window *w = &depthwise->window;
    if (!CPM_LENGTH(op, cpm_depthwise) || !cpm_view_fits(checker, &depthwise->in, op->in_ring) ||
        !cpm_view_fits(checker, &depthwise->out, op->out_ring) ||
        !cpm_window_fits(w, &depthwise->in, &depthwise->out) || depthwise->strip == 0 ||
        (uint32_t)depthwise->in.c * depthwise->multiplier != depthwise->out.c) {
        return "a depthwise convolution's shape";
    }
    const uint32_t strip = depthwise->strip < depthwise->out.h ? depthwise->strip : depthwise->out.h;
    const uint64_t rows = CPM_EXTENT(strip, w->stride_h, w->kernel_h, w->dilation_h);
    const uint64_t columns = CPM_EXTENT(depthwise->out.w, w->stride_w, w->kernel_w, w->dilation_w);
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    if (!cpm_in_blob(checker, depthwise->weights, (uint64_t)taps * depthwise->out.c) ||
        !cpm_in_arena(checker, depthwise->scratch, CPM_PLANE(rows, columns))) {
        return "a depthwise convolution's memory";
    }
    return cpm_requant_fits(checker, &depthwise->requant, op->flags, depthwise->out.c)
               ? NULL
               : "a depthwise convolution's scaling";
}

/* Copies rows `top` on of channel k, padding included, to the scratch memory. */
static void gather(const cpm_model *model, const cpm_depthwise *depthwise, uint32_t k, uint32_t top,
                   uint32_t rows, uint32_t columns) {
    const cpm_window *w = &depthwise->window;
    int8_t *to = cpm_memory(model, depthwise->scratch);
    for (uint32_t y = top; y < top + rows; y++) {
        const bool inside = y >= w->pad_h && y - w->pad_h < depthwise->in.h;
        const int8_t *from = NULL;
        if (inside) {
            from = cpm_row(model, &depthwise->in, depthwise->op.in_ring, y - w->pad_h) + k;
        }
        for (uint32_t x = 0; x < columns; x++) {
            const bool here = inside && x >= w->pad_w && x - w->pad_w < depthwise->in.w;
            *to++ = here ? from[(x - w->pad_w) * depthwise->in.pitch] : w->pad_value;
        }
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_depthwise *depthwise = (const void *)op;
    const cpm_window *w = &depthwise->window;
    const uint32_t n = depthwise->out.c, taps = (uint32_t)w->kernel_h * w->kernel_w;
    const uint32_t columns = CPM_EXTENT(depthwise->out.w, w->stride_w, w->kernel_w, w->dilation_w);
    const int8_t *const scratch = cpm_memory(model, depthwise->scratch);
    for (uint32_t first = 0; first < depthwise->out.h; first += depthwise->strip) {
        const uint32_t left = depthwise->out.h - first;
        const uint32_t strip = left < depthwise->strip ? left : depthwise->strip;
        for (uint32_t c = 0; c < n; c++) {
            const int8_t *const weight = (const int8_t *)cpm_data(model, depthwise->weights) + c * taps;
            if (c % depthwise->multiplier == 0) {
                gather(model, depthwise, c / depthwise->multiplier, first * w->stride_h,
                       CPM_EXTENT(strip, w->stride_h, w->kernel_h, w->dilation_h), columns);
            }
            for (uint32_t y = 0; y < strip; y++) {
                int8_t *out = cpm_row(model, &depthwise->out, op->out_ring, first + y) + c;
                for (uint32_t x = 0; x < depthwise->out.w; x++, out += depthwise->out.pitch) {
                    int32_t sum = 0;
                    for (uint32_t t = 0; t < taps; t++) {
                        const uint32_t row = y * w->stride_h + t / w->kernel_w * w->dilation_h;
                        const uint32_t column = x * w->stride_w + t % w->kernel_w * w->dilation_w;
                        sum += scratch[row * columns + column] * weight[t];
                    }
                    *out = cpm_requantise(cpm_data(model, depthwise->requant.at), &depthwise->requant, n, c,
                                          sum);
                }
            }
        }
    }
}

const cpm_kernel cpm_kernel_depthwise = {check, run};
