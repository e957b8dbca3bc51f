/* DEPTHWISE_CONV_2D:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i and columns j of
 *                    in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w,
 *                       n / multiplier) * weight[n][i][j]
 *
 * and requant.h makes an output of it. Equals DepthwiseConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h. The bias has the input's zero
 * point in it; a tap on padding therefore sees that zero point.
 *
 * Channel by channel: what a strip of outputs sees of a channel is copied together, padding around it, and is
 * then walked over with the channel's weights in registers.
 */
#include <string.h>

#include "requant.h"

#if defined(__GNUC__) && !defined(__clang__)
/* GCC would load far ahead and then has no registers left. */
#pragma GCC optimize("no-schedule-insns")
#endif

#define NOINLINE static __attribute__((noinline))
#define BATCH 64u /* outputs that are made together */

/* A strip of one channel, and what walks over it. */
typedef struct {
    const int8_t *plane; /* the input of the strip's first output */
    uint32_t columns;    /* bytes from row to row */
    const int8_t *weights;
    int32_t bias;
    uint32_t width; /* outputs of a row */
} strip;

static uint32_t rows_of(const cpm_depthwise *depthwise, uint32_t outputs) {
    const cpm_window *const w = &depthwise->window;
    return CPM_EXTENT(outputs, w->stride_h, w->kernel_h, w->dilation_h);
}

static uint32_t columns_of(const cpm_depthwise *depthwise) {
    const cpm_window *const w = &depthwise->window;
    return CPM_EXTENT(depthwise->out.w, w->stride_w, w->kernel_w, w->dilation_w);
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_depthwise *const depthwise = (const void *)op;
    const cpm_window *const w = &depthwise->window;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w, n = depthwise->out.c;
    const uint64_t rows = rows_of(depthwise, depthwise->strip);
    const bool fits = cpm_sums_fit(checker, op, &depthwise->requant, taps, n, depthwise->weights) &&
                      depthwise->strip != 0 && depthwise->strip <= depthwise->out.h &&
                      (uint32_t)depthwise->in.c * depthwise->multiplier == n &&
                      cpm_in_arena(checker, depthwise->scratch, CPM_PLANE(rows, columns_of(depthwise)));
    return cpm_fits(fits);
}

/* Copies what lies in the input of channel k into the plane, whose first row is padded row `top`. */
static void gather(const cpm_model *model, const cpm_depthwise *depthwise, uint32_t k, uint32_t top,
                   uint32_t rows, uint32_t columns, int8_t *plane) {
    const cpm_view *const in = &depthwise->in;
    const uint32_t pad_h = depthwise->window.pad_h, pad_w = depthwise->window.pad_w, pitch = in->pitch;
    const uint32_t width = columns - pad_w < in->w ? columns - pad_w : in->w;
    if (top < pad_h) {
        plane += (pad_h - top) * columns;
        rows -= pad_h - top;
        top = pad_h;
    }
    for (uint32_t y = top - pad_h; rows != 0 && y < in->h; y++, rows--, plane += columns) {
        const int8_t *from = cpm_row(model, in, depthwise->op.in_ring, y) + k;
        int8_t *to = plane + pad_w;
        for (const int8_t *const end = to + width; to != end; from += pitch) {
            *to++ = *from;
        }
    }
}

/* Sums of `rows` rows of outputs of a 3 x 3 kernel with dilation 1. */
NOINLINE void walk3x3(const strip *s, const cpm_window *window, uint32_t rows, int32_t *sums) {
    const int8_t *const w = s->weights, *top = s->plane;
    const int32_t w0 = w[0], w1 = w[1], w2 = w[2], w3 = w[3], w4 = w[4], w5 = w[5], w6 = w[6], w7 = w[7],
                  w8 = w[8];
    const int32_t bias = s->bias;
    const uint32_t columns = s->columns, right = window->stride_w;
    for (; rows != 0; rows--, top += columns * window->stride_h) {
        const int8_t *x = top, *y = x + columns, *z = y + columns;
        for (const int32_t *const end = sums + s->width; sums != end; x += right, y += right, z += right) {
            *sums++ = bias + x[0] * w0 + x[1] * w1 + x[2] * w2 + y[0] * w3 + y[1] * w4 + y[2] * w5 +
                      z[0] * w6 + z[1] * w7 + z[2] * w8;
        }
    }
}

/* Sums of `count` outputs of a row, for any window. */
NOINLINE void walk(const strip *s, const cpm_window *window, int32_t *sums) {
    const int8_t *at = s->plane;
    const uint32_t down = s->columns * window->dilation_h, right = window->dilation_w;
    for (const int32_t *const end = sums + s->width; sums != end; at += window->stride_w) {
        const int8_t *row = at, *w = s->weights;
        int32_t sum = s->bias;
        for (uint32_t i = window->kernel_h; i != 0; i--, row += down) {
            const int8_t *x = row;
            for (const int8_t *const stop = w + window->kernel_w; w != stop; x += right) {
                sum += *x * *w++;
            }
        }
        *sums++ = sum;
    }
}

/* Outputs of channel c, `pitch` bytes apart. */
static void finish(const cpm_model *model, const cpm_depthwise *depthwise, uint32_t c, const int32_t *sum,
                   uint32_t count, int8_t *out) {
    const uint32_t *const multiplier =
        (const uint32_t *)cpm_data(model, depthwise->requant.at) + depthwise->out.c;
    const uint32_t doubled = multiplier[c], pitch = depthwise->out.pitch;
    const int shift = ((const int8_t *)(multiplier + depthwise->out.c))[c];
    const cpm_requant *const requant = &depthwise->requant;
    const unsigned flags = depthwise->op.flags;
    const int32_t twice = 2 * requant->out_zero + 1, low = requant->low, high = requant->high;
    const int32_t *const end = sum + count;
    if (flags & CPM_FAST) {
        for (; sum != end; out += pitch) {
            *out = (int8_t)cpm_fast(*sum++, doubled, shift, twice, low, high, flags & CPM_NONNEG);
        }
    }
    for (; sum != end; out += pitch) {
        *out = (int8_t)cpm_any(flags, requant, *sum++, doubled, shift);
    }
}

/* Outputs of channel c from output row y on, as many as the strip has. */
static void channel(const cpm_model *model, const cpm_depthwise *depthwise, strip s, uint32_t c, uint32_t y,
                    uint32_t rows) {
    const cpm_view *const out = &depthwise->out;
    const cpm_window *const w = &depthwise->window;
    const bool small = w->kernel_h == 3 && w->kernel_w == 3 && w->dilation_h == 1 && w->dilation_w == 1;
    /* Outputs that lie side by side may be made together, whatever row they belong to. */
    const bool joined = depthwise->op.out_ring == 0 && out->row == (uint32_t)out->w * out->pitch;
    const int8_t *const start = s.plane;
    const uint32_t most = joined && out->w <= BATCH / 2 ? BATCH / out->w : 1;
    for (uint32_t done = 0, n; done < rows; done += n) {
        n = rows - done < most ? rows - done : most;
        int8_t *to = cpm_row_at(model, out, depthwise->op.out_ring, y + done) + c;
        s.plane = start + done * w->stride_h * s.columns;
        for (uint32_t x = 0; x < out->w; x += s.width) {
            int32_t sums[BATCH];
            s.width = out->w - x < BATCH ? out->w - x : BATCH;
            if (small) {
                walk3x3(&s, w, n, sums);
            } else {
                for (uint32_t i = 0; i < n; i++) {
                    walk(&s, w, sums + i * s.width);
                    s.plane += w->stride_h * s.columns;
                }
            }
            finish(model, depthwise, c, sums, n * s.width, to);
            to += s.width * out->pitch;
            s.plane += s.width * w->stride_w;
        }
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_depthwise *const depthwise = (const void *)op;
    const uint32_t taps = (uint32_t)depthwise->window.kernel_h * depthwise->window.kernel_w;
    const uint32_t columns = columns_of(depthwise);
    int8_t *const plane = cpm_memory(model, depthwise->scratch);
    const int32_t *const bias = cpm_data(model, depthwise->requant.at);
    for (uint32_t y = 0; y < depthwise->out.h; y += depthwise->strip) {
        const uint32_t left = depthwise->out.h - y,
                       outputs = left < depthwise->strip ? left : depthwise->strip;
        const uint32_t rows = rows_of(depthwise, outputs);
        /* The same around each channel. */
        memset(plane, depthwise->window.pad_value, rows * columns);
        strip s = {plane, columns, cpm_data(model, depthwise->weights), 0, 0};
        for (uint32_t c = 0, k = 0; c < depthwise->out.c; k++) {
            gather(model, depthwise, k, y * depthwise->window.stride_h, rows, columns, plane);
            for (uint32_t i = 0; i < depthwise->multiplier; i++, c++) {
                s.bias = bias[c];
                channel(model, depthwise, s, c, y, outputs);
                s.weights += taps;
            }
        }
    }
}

const cpm_kernel cpm_kernel_depthwise = {check, run};
