/* FULLY_CONNECTED, and CONV_2D with one output pixel:
 *
 *     sum(n) = bias[n] + sum over k of in[k] * weight[n][k]
 *
 * and requant.h makes an output of it. Equals FullyConnected and FullyConnectedPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h.
 */
#include <string.h>

#include "requant.h"

#if defined(__GNUC__) && !defined(__clang__)
/* GCC would load many weights ahead, and mix up the sums' registers, and then has none left for the sums. */
#pragma GCC optimize("no-schedule-insns", "no-tree-coalesce-vars")
#endif

#define NOINLINE static __attribute__((noinline))

#define TAPS15(v, w)                                                                                         \
    a0 += (v) * (w)[0];                                                                                      \
    a1 += (v) * (w)[1];                                                                                      \
    a2 += (v) * (w)[2];                                                                                      \
    a3 += (v) * (w)[3];                                                                                      \
    a4 += (v) * (w)[4];                                                                                      \
    a5 += (v) * (w)[5];                                                                                      \
    a6 += (v) * (w)[6];                                                                                      \
    a7 += (v) * (w)[7];                                                                                      \
    a8 += (v) * (w)[8];                                                                                      \
    a9 += (v) * (w)[9];                                                                                      \
    a10 += (v) * (w)[10];                                                                                    \
    a11 += (v) * (w)[11];                                                                                    \
    a12 += (v) * (w)[12];                                                                                    \
    a13 += (v) * (w)[13];                                                                                    \
    a14 += (v) * (w)[14]
#define TAPS16(v, w)                                                                                         \
    TAPS15(v, w);                                                                                            \
    a15 += (v) * (w)[15]

/* The sums of blocks of 16 channels. */
NOINLINE void wide16(const int8_t *const x, const int8_t *const end, const int8_t *w, const int32_t *bias,
                     int32_t *sums, const int32_t *const last) {
    do {
        int32_t a0 = bias[0], a1 = bias[1], a2 = bias[2], a3 = bias[3];
        int32_t a4 = bias[4], a5 = bias[5], a6 = bias[6], a7 = bias[7];
        int32_t a8 = bias[8], a9 = bias[9], a10 = bias[10], a11 = bias[11];
        int32_t a12 = bias[12], a13 = bias[13], a14 = bias[14], a15 = bias[15];
        for (const int8_t *p = x; p != end; p += 4, w += 64) {
            const int32_t v0 = p[0];
            TAPS16(v0, w + 0);
            const int32_t v1 = p[1];
            TAPS16(v1, w + 16);
            const int32_t v2 = p[2];
            TAPS16(v2, w + 32);
            const int32_t v3 = p[3];
            TAPS16(v3, w + 48);
        }
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
        sums[15] = a15;
        bias += 16;
        sums += 16;
    } while (sums != last);
}

/* The sums of blocks of 15 channels. */
NOINLINE void wide15(const int8_t *const x, const int8_t *const end, const int8_t *w, const int32_t *bias,
                     int32_t *sums, const int32_t *const last) {
    do {
        int32_t a0 = bias[0], a1 = bias[1], a2 = bias[2], a3 = bias[3];
        int32_t a4 = bias[4], a5 = bias[5], a6 = bias[6], a7 = bias[7];
        int32_t a8 = bias[8], a9 = bias[9], a10 = bias[10], a11 = bias[11];
        int32_t a12 = bias[12], a13 = bias[13], a14 = bias[14];
        for (const int8_t *p = x; p != end; p += 4, w += 60) {
            const int32_t v0 = p[0];
            TAPS15(v0, w + 0);
            const int32_t v1 = p[1];
            TAPS15(v1, w + 15);
            const int32_t v2 = p[2];
            TAPS15(v2, w + 30);
            const int32_t v3 = p[3];
            TAPS15(v3, w + 45);
        }
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
        bias += 15;
        sums += 15;
    } while (sums != last);
}

/* The sums of 4 channels. */
NOINLINE void block4(const int8_t *x, const int8_t *w, uint32_t taps, const int32_t *bias, int32_t *sums) {
    int32_t a = bias[0], b = bias[1], c = bias[2], d = bias[3];
    for (const int8_t *const end = x + taps; x != end; x++, w += 4) {
        const int32_t v = *x;
        a += v * w[0];
        b += v * w[1];
        c += v * w[2];
        d += v * w[3];
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

/* The sum of one channel. */
NOINLINE void block1(const int8_t *x, const int8_t *w, uint32_t taps, const int32_t *bias, int32_t *sums) {
    int32_t sum = *bias;
    const int8_t *const end = x + taps;
#define TAP(k) sum += x[k] * w[k]
    for (; end - x >= 8; x += 8, w += 8) {
        TAP(0);
        TAP(1);
        TAP(2);
        TAP(3);
        TAP(4);
        TAP(5);
        TAP(6);
        TAP(7);
    }
    for (; x != end; x++, w++) {
        TAP(0);
    }
    *sums = sum;
}

static void few(uint32_t size, const int8_t *x, const int8_t *w, uint32_t taps, const int32_t *bias,
                int32_t *sums) {
    if (size == 4) {
        block4(x, w, taps, bias, sums);
    } else {
        block1(x, w, taps, bias, sums);
    }
}

/* Whether the input must be copied together. */
static bool copied(const cpm_dense *dense, uint32_t width) {
    return dense->op.in_ring != 0 || (dense->in.h != 1 && dense->in.row != width) ||
           width * dense->in.h % 4 != 0;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_dense *const dense = (const void *)op;
    const uint32_t width = (uint32_t)dense->in.w * dense->in.c, taps = CPM_DENSE_TAPS(width * dense->in.h);
    const bool fits = width <= UINT16_MAX &&
                      cpm_sums_fit(checker, op, &dense->requant, taps, dense->out.c, dense->weights) &&
                      dense->in.pitch == dense->in.c && dense->out.h == 1 && dense->out.w == 1 &&
                      (!copied(dense, width) || cpm_in_arena(checker, dense->scratch, taps));
    return cpm_fits(fits);
}

/* Copies the input together. */
NOINLINE const int8_t *gather(const cpm_model *model, const cpm_dense *dense, uint32_t width) {
    const cpm_view *const in = &dense->in;
    int8_t *const scratch = cpm_memory(model, dense->scratch);
    const uint32_t taps = width * in->h;
    for (uint32_t done = 0, size; done < taps; done += size) {
        const int8_t *const from = cpm_row(model, in, dense->op.in_ring, done / width);
        size = width;
        if (in->row == width) {
            /* Rows without gaps: all, or those before the ring's end. */
            size = taps - done;
            if (dense->op.in_ring != 0) {
                const cpm_ring *const ring = cpm_ring_of(model, dense->op.in_ring);
                const uint32_t before =
                    (uint32_t)(cpm_memory(model, ring->at + ring->row * ring->rows) - from);
                size = size < before ? size : before;
            }
        }
        memmove(scratch + done, from, size);
    }
    return scratch;
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_dense *const dense = (const void *)op;
    const uint32_t width = (uint32_t)dense->in.w * dense->in.c, n = dense->out.c;
    const uint32_t taps = CPM_DENSE_TAPS(width * dense->in.h), block = CPM_BLOCK(n);
    /* `first` taps lie at x, and the rest at `again`. */
    const int8_t *x = cpm_memory(model, dense->in.at), *again = x;
    uint32_t first = taps;
    if (op->in_ring != 0 && op->in_ring != op->out_ring && n < block && dense->in.row == width &&
        width % 4 == 0) {
        /* A few channels take less than to copy a ring. */
        const cpm_ring *const ring = cpm_ring_of(model, op->in_ring);
        x = cpm_row(model, &dense->in, op->in_ring, 0);
        again = cpm_memory(model, ring->at);
        const uint32_t before = (uint32_t)(again + ring->row * ring->rows - x);
        first = before < taps ? before : taps;
    } else if (copied(dense, width)) {
        x = gather(model, dense, width);
    }
    const int8_t *w = cpm_data(model, dense->weights);
    const int32_t *const bias = cpm_data(model, dense->requant.at);
    int8_t *const out = cpm_row(model, &dense->out, op->out_ring, 0);
    int32_t sums[64];
    uint32_t size;
    for (uint32_t c = 0; c < n; c += size, w += size * taps) {
        const uint32_t left = n - c;
        if (left >= block) {
            const uint32_t blocks = left < 4 * block ? left / block : 4;
            size = blocks * block;
            if (block == 16) {
                wide16(x, x + taps, w, bias + c, sums, sums + size);
            } else {
                wide15(x, x + taps, w, bias + c, sums, sums + size);
            }
        } else {
            size = left >= 4 ? 4 : 1;
            few(size, x, w, first, bias + c, sums);
            if (first != taps) {
                few(size, again, w + size * first, taps - first, sums, sums);
            }
        }
        cpm_finish(model, op, &dense->requant, n, c, size, sums, out);
    }
}

const cpm_kernel cpm_kernel_dense = {check, run};
