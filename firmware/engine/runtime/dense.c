/* FULLY_CONNECTED, and CONV_2D with one output pixel:
 *
 *     sum(n) = bias[n] + sum over k of in[k] * weight[n][k]
 *
 * and requant.h makes an output of it. Equals FullyConnected and FullyConnectedPerChannel of
 * tensorflow/lite/kernels/internal/reference/integer_ops/fully_connected.h.
 */
#include <string.h>

#include "kernel.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_dense *dense = (const void *)op;
    if (!CPM_LENGTH(op, cpm_dense) || !cpm_view_fits(checker, &dense->in, op->in_ring) ||
        !cpm_view_fits(checker, &dense->out, op->out_ring) || dense->in.pitch != dense->in.c ||
        dense->out.h != 1 || dense->out.w != 1) {
        return "a dense layer's shape";
    }
    const uint64_t width = (uint64_t)dense->in.w * dense->in.c, taps = width * dense->in.h;
    const bool contiguous = op->in_ring == 0 && (dense->in.h == 1 || dense->in.row == width);
    if (taps > UINT16_MAX || !cpm_in_blob(checker, dense->weights, taps * dense->out.c) ||
        (!contiguous && !cpm_in_arena(checker, dense->scratch, taps))) {
        return "a dense layer's memory";
    }
    return cpm_requant_fits(checker, &dense->requant, op->flags, dense->out.c) ? NULL
                                                                               : "a dense layer's scaling";
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_dense *dense = (const void *)op;
    const uint32_t width = (uint32_t)dense->in.w * dense->in.c, taps = width * dense->in.h;
    const uint32_t n = dense->out.c;
    const int8_t *in = cpm_row(model, &dense->in, op->in_ring, 0);
    if (op->in_ring != 0 || (dense->in.h != 1 && dense->in.row != width)) {
        int8_t *const scratch = cpm_memory(model, dense->scratch);
        for (uint32_t y = 0; y < dense->in.h; y++) {
            memmove(scratch + y * width, cpm_row(model, &dense->in, op->in_ring, y), width);
        }
        in = scratch;
    }
    const int8_t *weight = (const int8_t *)cpm_data(model, dense->weights);
    int8_t *const out = cpm_row(model, &dense->out, op->out_ring, 0);
    uint32_t block = 16;
    for (uint32_t first = 0; first < n; first += block) {
        while (n - first < block) {
            block /= 2;
        }
        for (uint32_t c = 0; c < block; c++) {
            int32_t sum = 0;
            for (uint32_t k = 0; k < taps; k++) {
                sum += in[k] * weight[k * block + c];
            }
            out[first + c] =
                cpm_requantise(cpm_data(model, dense->requant.at), &dense->requant, n, first + c, sum);
        }
        weight += taps * block;
    }
}

const cpm_kernel cpm_kernel_dense = {check, run};
