/* CONV_2D over several output pixels:
 *
 *     sum(y, x, n) = bias[n] + sum over kernel rows i, columns j, channels k of
 *                    in(y * stride_h - pad_h + i * dilation_h, x * stride_w - pad_w + j * dilation_w, k)
 *                    * weight[n][i][j][k]
 *
 * and requant.h makes an output of it. Equals ConvPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/conv.h. The bias has the input's zero point in it;
 * a tap on padding therefore sees that zero point.
 *
 * Four pixels are worked on at a time, and one multiplication serves two of them: with a and b an input of
 * two pixels, w * (a + b * 2^16) is the word w * a + w * b * 2^16. Two such products are added to p before
 * the halves are parted. Each half is then within -32512 (of 127 and -128, twice) and 32768 (of -128 and
 * -128, twice), so with 0x7fff added to both halves neither is negative nor has a carry:
 *
 *     high(p) = ((p + 0x7fff7fff) >> 16) - 0x7fff      low(p) = p - high(p) * 2^16
 *
 * Sums over all of p and high(p) therefore give the sums of both pixels, exactly modulo 2^32.
 */
#include <string.h>

#include "requant.h"

#if defined(__GNUC__) && !defined(__clang__)
/* GCC would load many weights ahead and then has no registers left for the sums. */
#pragma GCC optimize("no-schedule-insns")
#endif

#define INLINE static inline __attribute__((always_inline))
#define NOINLINE static __attribute__((noinline))
#define BATCH 32u /* channels whose outputs are made together */
#define HALVES 0x7fff7fffu

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_conv *const conv = (const void *)op;
    const cpm_window *const w = &conv->window;
    /* The window has at most 65535 taps, so none of these is 2^32. */
    const uint32_t run = (uint32_t)w->kernel_w * conv->in.c, taps = CPM_CONV_TAPS(w->kernel_h * run);
    const uint32_t size = CPM_CONV_SCRATCH(taps, w->kernel_h * w->kernel_w == 1 ? 0 : run);
    return cpm_fits(
        cpm_sums_fit(checker, op, &conv->requant, taps, (conv->out.c + 3u) / 4 * 4, conv->weights) &&
        conv->scratch % 4 == 0 && cpm_in_arena(checker, conv->scratch, size));
}

/* Puts the bytes that a pixel sees of one row together at `to`; `row` is NULL for a row of padding. x is
 * modulo 2^32, so what is left of the row is too large. If `joined`, columns lie side by side. */
NOINLINE int8_t *piece(const cpm_conv *conv, const int8_t *row, uint32_t x, bool joined, int8_t *to) {
    const cpm_window *const w = &conv->window;
    const uint32_t width = conv->in.w, channels = conv->in.c;
    int8_t *const start = to;
    for (uint32_t left = w->kernel_w, n; left != 0; left -= n) {
        const bool inside = row != NULL && x < width;
        n = 1;
        if (row == NULL) {
            n = left;
        } else if (joined) {
            const uint32_t same = inside ? width - x : 0 - x;
            n = same < left ? same : left;
        }
        if (inside) {
            memmove(to, row + x * conv->in.pitch, n * channels);
        } else {
            memset(to, w->pad_value, n * channels);
        }
        to += n * channels;
        x += n * w->dilation_w;
    }
    return start;
}

/* Words of two pixels' inputs. */
static uint32_t *weave(uint32_t *to, const int8_t *const run[4], uint32_t length) {
    const int8_t *a = run[0], *b = run[1], *c = run[2], *d = run[3];
#define WEAVE(i)                                                                                             \
    to[2 * i] = (uint32_t)a[i] + ((uint32_t)b[i] << 16);                                                     \
    to[2 * i + 1] = (uint32_t)c[i] + ((uint32_t)d[i] << 16)
    for (; length >= 2; length -= 2, a += 2, b += 2, c += 2, d += 2, to += 4) {
        WEAVE(0);
        WEAVE(1);
    }
    if (length != 0) {
        WEAVE(0);
        to += 2;
    }
    return to;
}

/* Two taps of one channel and two pixels. */
INLINE void two(uint32_t *all, uint32_t *high, uint32_t w0, uint32_t x0, uint32_t w1, uint32_t x1) {
    const uint32_t p = w0 * x0 + w1 * x1;
    *all += p;
    *high += (p + HALVES) >> 16;
}

/* Sums of 4 pixels and `count` channels (filled up to a multiple of 4), biases in them. */
NOINLINE void quad(const uint32_t *const woven, const int8_t *w, uint32_t taps, const int32_t *bias,
                   uint32_t count, int32_t sums[4][BATCH]) {
    const uint32_t *const end = woven + 2 * taps;
    const uint32_t start = taps / 2 * (0u - 0x7fff);
    for (int32_t *to = sums[0]; to < sums[0] + count; to += 4, bias += 4) {
        uint32_t a0 = 0, a1 = 0, a2 = 0, a3 = 0, a4 = 0, a5 = 0, a6 = 0, a7 = 0;
        uint32_t h0 = start, h1 = start, h2 = start, h3 = start, h4 = start, h5 = start, h6 = start,
                 h7 = start;
        const uint32_t *x = woven;
        do {
            const uint32_t x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
#define CHANNEL(c, a, b, g, h)                                                                               \
    two(&a, &g, (uint32_t)w[c], x0, (uint32_t)w[4 + c], x2);                                                 \
    two(&b, &h, (uint32_t)w[c], x1, (uint32_t)w[4 + c], x3)
            CHANNEL(0, a0, a1, h0, h1);
            CHANNEL(1, a2, a3, h2, h3);
            CHANNEL(2, a4, a5, h4, h5);
            CHANNEL(3, a6, a7, h6, h7);
            w += 8;
            x += 4;
        } while (x != end);
#define SUMS(c, a, b, g, h)                                                                                  \
    {                                                                                                        \
        const uint32_t more = (uint32_t)bias[c];                                                             \
        to[c] = (int32_t)(a - (g << 16) + more);                                                             \
        to[c + BATCH] = (int32_t)(g + more);                                                                 \
        to[c + 2 * BATCH] = (int32_t)(b - (h << 16) + more);                                                 \
        to[c + 3 * BATCH] = (int32_t)(h + more);                                                             \
    }
        SUMS(0, a0, a1, h0, h1)
        SUMS(1, a2, a3, h2, h3)
        SUMS(2, a4, a5, h4, h5)
        SUMS(3, a6, a7, h6, h7)
    }
}

/* A pixel being computed: the input row and column that it begins at, modulo 2^32, the bytes to that column,
 * whether what it sees of a row lies in one piece there, and its output. */
typedef struct {
    uint32_t y, x, at;
    bool whole;
    int8_t *out;
} pixel;

/* Words of all that 4 pixels see. */
INLINE void gather(const cpm_model *model, const cpm_conv *conv, const pixel pixels[4], uint32_t length,
                   bool joined, uint32_t *to, int8_t *side) {
    const cpm_window *const w = &conv->window;
    for (uint32_t i = 0; i < w->kernel_h; i++) {
        const int8_t *run[4], *row = NULL;
        uint32_t before = UINT32_MAX; /* not a row: rows of padding are less than 2^24 away */
        for (uint32_t p = 0; p < 4; p++) {
            const uint32_t y = pixels[p].y + i * w->dilation_h;
            if (y != before) {
                before = y;
                row = y < conv->in.h ? cpm_row(model, &conv->in, conv->op.in_ring, y) : NULL;
            }
            run[p] = row != NULL && pixels[p].whole
                         ? row + pixels[p].at
                         : piece(conv, row, pixels[p].x, joined, side + p * length);
        }
        to = weave(to, run, length);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_conv *const conv = (const void *)op;
    const cpm_window *const w = &conv->window;
    const uint32_t length = (uint32_t)w->kernel_w * conv->in.c, n = conv->out.c;
    const uint32_t taps = CPM_CONV_TAPS(w->kernel_h * length);
    const bool joined = w->kernel_w == 1 || (w->dilation_w == 1 && conv->in.pitch == conv->in.c);
    const int32_t *const bias = cpm_data(model, conv->requant.at);
    uint32_t *const woven = (void *)cpm_memory(model, conv->scratch);
    pixel next = {0u - w->pad_h, 0u - w->pad_w, 0, false, cpm_row_at(model, &conv->out, op->out_ring, 0)};
    uint32_t y = 0, x = 0;
    while (y < conv->out.h) {
        pixel pixels[4];
        for (uint32_t p = 0; p < 4; p++) {
            if (y == conv->out.h) {
                /* There are no more: the one before again. */
                pixels[p] = pixels[p - 1];
                continue;
            }
            next.at = next.x * conv->in.pitch;
            next.whole = joined && next.x < conv->in.w && w->kernel_w <= conv->in.w - next.x;
            pixels[p] = next;
            next.x += w->stride_w;
            next.out += conv->out.pitch;
            if (++x == conv->out.w) {
                x = 0;
                y++;
                next.x = 0u - w->pad_w;
                next.y += w->stride_h;
                next.out = cpm_row_at(model, &conv->out, op->out_ring, y < conv->out.h ? y : 0);
            }
        }
        gather(model, conv, pixels, length, joined, woven, (int8_t *)(woven + 2 * taps));
        const int8_t *weights = cpm_data(model, conv->weights);
        for (uint32_t c = 0; c < n; c += BATCH, weights += BATCH * taps) {
            const uint32_t count = n - c < BATCH ? n - c : BATCH;
            int32_t sums[4][BATCH];
            quad(woven, weights, taps, bias + c, count, sums);
            for (uint32_t p = 0; p < 4; p++) {
                cpm_finish(model, op, &conv->requant, n, c, count, sums[p], pixels[p].out);
            }
        }
    }
}

const cpm_kernel cpm_kernel_conv = {check, run};
