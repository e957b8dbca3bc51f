/* DEPTHWISE_CONV_2D of a k x 1 kernel over a column of pixels, where the rows lie in memory or in a ring:
 *
 *     sum(y, n) = bias[n] + sum over kernel rows t of in(y * stride_h + t * dilation_h, n) * weight[t][n]
 *
 * and requant.h makes an output of it. Equals DepthwiseConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/depthwise_conv.h.
 */
#include "requant.h"

#if defined(__GNUC__) && !defined(__clang__)
/* GCC would load many weights ahead and then has no registers left for the sums. */
#pragma GCC optimize("no-schedule-insns", "no-tree-coalesce-vars")
#endif

#define NOINLINE static __attribute__((noinline))

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_column *const column = (const void *)op;
    const cpm_window *const w = &column->window;
    const bool fits =
        cpm_sums_fit(checker, op, &column->requant, w->kernel_h, column->in.c, column->weights) &&
        CPM_EXTENT(column->out.h, w->stride_h, w->kernel_h, w->dilation_h) <= column->in.h &&
        w->kernel_w == 1 && w->pad_h == 0 && w->pad_w == 0 && column->in.w == 1 && column->out.w == 1 &&
        column->in.c == column->out.c;
    return cpm_fits(fits);
}

/* The rows that an output sees: `first` of them from `x` on, the others from `again` on, `step` bytes apart.
 */
typedef struct {
    const int8_t *x, *again;
    uint32_t first, rest, step;
} rows;

/* The sums of blocks of `width` channels, 15 or 16, from channel c on. */
NOINLINE void wide(const rows *r, const int8_t *w, uint32_t width, const int32_t *bias, int32_t *sums,
                   uint32_t c, uint32_t blocks) {
    const uint32_t step = r->step, last = width - 1, size = r->first * width, more = r->rest * width;
    do {
        int32_t a0 = bias[0], a1 = bias[1], a2 = bias[2], a3 = bias[3], a4 = bias[4], a5 = bias[5],
                a6 = bias[6];
        int32_t a7 = bias[7], a8 = bias[8], a9 = bias[9], a10 = bias[10], a11 = bias[11], a12 = bias[12];
        int32_t a13 = bias[13], a14 = bias[14], a15 = bias[last];
        const int8_t *x = r->x + c;
        const int8_t *end = w + size, *const second = end + more;
        for (;;) {
            do {
                a0 += x[0] * w[0];
                a1 += x[1] * w[1];
                a2 += x[2] * w[2];
                a3 += x[3] * w[3];
                a4 += x[4] * w[4];
                a5 += x[5] * w[5];
                a6 += x[6] * w[6];
                a7 += x[7] * w[7];
                a8 += x[8] * w[8];
                a9 += x[9] * w[9];
                a10 += x[10] * w[10];
                a11 += x[11] * w[11];
                a12 += x[12] * w[12];
                a13 += x[13] * w[13];
                a14 += x[14] * w[14];
                if (last == 15) {
                    a15 += x[15] * w[15];
                }
                w += width;
                x += step;
            } while (w != end);
            if (end == second) {
                break;
            }
            end = second;
            x = r->again + c;
        }
        sums[last] = a15;
        sums[0] = a0;
        sums[1] = a1;
        sums[2] = a2;
        sums[3] = a3;
        sums[4] = a4;
        sums[5] = a5;
        sums[6] = a6;
        sums[7] = a7;
        sums[8] = a8;
        sums[9] = a9;
        sums[10] = a10;
        sums[11] = a11;
        sums[12] = a12;
        sums[13] = a13;
        sums[14] = a14;
        bias += width;
        sums += width;
        c += width;
    } while (--blocks != 0);
}

/* The sums of a few channels, one by one. */
NOINLINE void narrow(const rows *r, const int8_t *w, uint32_t width, const int32_t *bias, int32_t *sums,
                     uint32_t c) {
    for (uint32_t i = 0; i < width; i++) {
        int32_t sum = bias[i];
        const int8_t *x = r->x + c + i, *v = w + i;
        for (uint32_t left = r->first, more = r->rest; left != 0;
             left = more, more = 0, x = r->again + c + i) {
            do {
                sum += *x * *v;
                x += r->step;
                v += width;
            } while (--left != 0);
        }
        sums[i] = sum;
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_column *column = (const void *)op;
    const cpm_window *w = &column->window;
    const uint32_t n = column->out.c, taps = w->kernel_h, block = CPM_BLOCK(n);
    const int32_t *const bias = cpm_data(model, column->requant.at);
    for (uint32_t y = 0; y < column->out.h; y++) {
        const int8_t *const x = cpm_row(model, &column->in, op->in_ring, y * w->stride_h);
        rows r = {x, x, taps, 0, column->in.row * w->dilation_h};
        if (op->in_ring != 0) {
            /* The taps before the ring's end. The others are fewer than the ring has rows. */
            const cpm_ring *ring = cpm_ring_of(model, op->in_ring);
            const int8_t *const end = cpm_memory(model, ring->at + ring->row * ring->rows);
            const uint32_t before = ((uint32_t)(end - r.x) + r.step - 1) / r.step;
            if (before < taps) {
                r.first = before;
                r.rest = taps - before;
                r.again = r.x + before * r.step - ring->row * ring->rows;
            }
        }
        const int8_t *weight = cpm_data(model, column->weights);
        int8_t *const out = cpm_row(model, &column->out, op->out_ring, y);
        int32_t sums[64];
        for (uint32_t c = 0, size; c < n; c += size, weight += size * taps) {
            const uint32_t left = n - c;
            if (left >= block) {
                const uint32_t blocks = left < 4 * block ? left / block : 4;
                size = blocks * block;
                wide(&r, weight, block, bias + c, sums, c, blocks);
            } else {
                size = left;
                narrow(&r, weight, size, bias + c, sums, c);
            }
            cpm_finish(model, op, &column->requant, n, c, size, sums, out);
        }
    }
}

const cpm_kernel cpm_kernel_column = {check, run};
