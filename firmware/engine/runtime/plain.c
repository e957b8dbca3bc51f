/* One loop for both plain kernels, made to be small: they run where an accelerated one does not. */
#include "plain.h"
#include "requant.h"

bool cpm_plain_fits(const cpm_checker *checker, const cpm_op *op, uint32_t depth) {
    const cpm_plain *const plain = (const void *)op;
    const cpm_window *const w = &plain->window;
    const uint32_t n = plain->out.c;
    const uint64_t taps = (uint64_t)((uint32_t)w->kernel_h * w->kernel_w) * depth;
    if (!cpm_in_blob(checker, plain->weights, taps * n) ||
        !cpm_in_blob(checker, plain->bias, (uint64_t)n * 12) ||
        !cpm_in_arena(checker, plain->scratch, plain->scratch_size) || plain->in_offset < -INT8_MAX ||
        plain->in_offset > -INT8_MIN || plain->out_zero < INT8_MIN || plain->out_zero > INT8_MAX ||
        plain->low > plain->high) {
        return false;
    }
    const int32_t *const multiplier = (const int32_t *)(const void *)(checker->blob + plain->bias) + n;
    for (uint32_t c = 0; c < n; c++) {
        const int32_t shift = multiplier[n + c];
        if (multiplier[c] < 0 || shift < -31 || shift > 30) {
            return false;
        }
    }
    return true;
}

/* The sum for the output value whose window begins at (y, x), padding counted; from input channel k on. Wraps
 * where 32 bits do not hold it. */
static uint32_t sum(const cpm_model *model, const cpm_plain *plain, uint32_t y, uint32_t x, uint32_t k,
                    uint32_t depth, const int8_t *weight, uint32_t step) {
    const cpm_window *const w = &plain->window;
    uint32_t found = 0;
    for (uint32_t i = 0; i < w->kernel_h; i++, y += w->dilation_h) {
        uint32_t column = x;
        for (uint32_t j = 0; j < w->kernel_w; j++, column += w->dilation_w, weight += step) {
            /* Of what lies before the first row or column, the difference is huge. */
            if (y - w->pad_h < plain->in.h && column - w->pad_w < plain->in.w) {
                const int8_t *const in = cpm_row_at(model, &plain->in, plain->op.in_ring, y - w->pad_h) +
                                         (column - w->pad_w) * plain->in.pitch + k;
                for (uint32_t d = 0; d < depth; d++) {
                    found += (uint32_t)((in[d] + plain->in_offset) * weight[d]);
                }
            }
        }
    }
    return found;
}

void cpm_plain_run(const cpm_model *model, const cpm_op *op, uint32_t depth) {
    const cpm_plain *const plain = (const void *)op;
    const cpm_window *const w = &plain->window;
    const int8_t *const weights = cpm_data(model, plain->weights);
    const int32_t *const bias = cpm_data(model, plain->bias);
    const uint32_t n = plain->out.c;
    const bool all = op->kind == CPM_PLAIN_CONV;
    const uint32_t taps = (uint32_t)w->kernel_h * w->kernel_w;
    for (uint32_t y = 0; y < plain->out.h; y++) {
        int8_t *out = cpm_row_at(model, &plain->out, op->out_ring, y);
        for (uint32_t x = 0; x < plain->out.w; x++, out += plain->out.pitch) {
            for (uint32_t c = 0; c < n; c++) {
                const uint32_t found =
                    sum(model, plain, y * w->stride_h, x * w->stride_w, all ? 0 : c / plain->multiplier,
                        depth, weights + c * (all ? taps * depth : 1), all ? depth : n);
                const int32_t scaled = cpm_scale((int32_t)(found + (uint32_t)bias[c]),
                                                 (uint32_t)bias[n + c] * 2, -bias[2 * n + c]);
                /* Clamped first, so that nothing overflows. */
                const int32_t zero = plain->out_zero;
                out[c] = (int8_t)(cpm_clamp(scaled, plain->low - zero, plain->high - zero) + zero);
            }
        }
    }
}
