/* CONV_2D over several output pixels:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i, columns j, channels k of
 *                    in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w, k)
 *                    * weight[n][i][j][k]
 *
 * and requant.h makes an output of it. Equals ConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/conv.h. The bias has the input's zero point in it;
 * a tap on padding therefore sees that zero point.
 */
#include "kernel.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_conv *conv = (const void *)op;
    if (!CPM_LENGTH(op, cpm_conv) || !cpm_view_fits(checker, &conv->in, op->in_ring) ||
        !cpm_view_fits(checker, &conv->out, op->out_ring) ||
        !cpm_window_fits(&conv->window, &conv->in, &conv->out)) {
        return "a convolution's shape";
    }
    const uint64_t taps = (uint64_t)conv->window.kernel_h * conv->window.kernel_w * conv->in.c;
    const uint32_t blocks = (conv->out.c + 3u) / 4;
    if (taps > UINT16_MAX || !cpm_in_blob(checker, conv->weights, taps * blocks * 4) ||
        !cpm_in_arena(checker, conv->scratch, taps * 4)) {
        return "a convolution's memory";
    }
    return cpm_requant_fits(checker, &conv->requant, op->flags, conv->out.c) ? NULL
                                                                             : "a convolution's scaling";
}

static int32_t tap(const cpm_model *model, const cpm_conv *conv, uint32_t y, uint32_t x, uint32_t k) {
    const cpm_window *w = &conv->window;
    if (y < w->pad_h || y - w->pad_h >= conv->in.h || x < w->pad_w || x - w->pad_w >= conv->in.w) {
        return w->pad_value;
    }
    return cpm_row(model, &conv->in, conv->op.in_ring, y - w->pad_h)[(x - w->pad_w) * conv->in.pitch + k];
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_conv *conv = (const void *)op;
    const cpm_window *w = &conv->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w * conv->in.c, n = conv->out.c;
    const uint32_t pixels = (uint32_t)conv->out.h * conv->out.w;
    int8_t *const scratch = cpm_memory(model, conv->scratch);
    for (uint32_t first = 0; first < pixels; first += 4) {
        const uint32_t count = pixels - first < 4 ? pixels - first : 4;
        for (uint32_t p = 0; p < count; p++) {
            int8_t *to = scratch + p;
            const uint32_t top = (first + p) / conv->out.w * w->stride_h;
            const uint32_t left = (first + p) % conv->out.w * w->stride_w;
            for (uint32_t i = 0; i < w->kernel_h; i++) {
                for (uint32_t j = 0; j < w->kernel_w; j++) {
                    for (uint32_t k = 0; k < conv->in.c; k++, to += 4) {
                        *to = (int8_t)tap(model, conv, top + i * w->dilation_h, left + j * w->dilation_w, k);
                    }
                }
            }
        }
        for (uint32_t p = 0; p < count; p++) {
            const uint32_t y = (first + p) / conv->out.w, x = (first + p) % conv->out.w;
            int8_t *const out = cpm_row(model, &conv->out, op->out_ring, y) + x * conv->out.pitch;
            for (uint32_t c = 0; c < n; c++) {
                const int8_t *weight =
                    (const int8_t *)cpm_data(model, conv->weights) + c / 4 * 4 * taps + c % 4;
                int32_t sum = 0;
                for (uint32_t t = 0; t < taps; t++) {
                    sum += scratch[t * 4 + p] * weight[t * 4];
                }
                out[c] = cpm_requantise(cpm_data(model, conv->requant.at), &conv->requant, n, c, sum);
            }
        }
    }
}

const cpm_kernel cpm_kernel_conv = {check, run};
