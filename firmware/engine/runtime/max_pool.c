/* MAX_POOL_2D:
 *
 *     out = clamp(the largest input of the window, low, high)
 *
 * Equals MaxPool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
 */
#include "area.h"
#include "requant.h"

static inline int32_t larger(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    return cpm_pool_fits(checker, op) ? NULL : "a maximum pool does not fit";
}

static void largest(const cpm_model *model, const cpm_op *op, const cpm_area *area, int8_t *out) {
    const cpm_pool *const pool = (const void *)op;
    const uint32_t pitch = pool->in.pitch, channels = pool->in.c;
    for (uint32_t k = 0, count; k < channels; k += count) {
        count = channels - k >= 4 ? 4 : 1;
        /* A clamped maximum is the maximum from `low` on, cut at `high`. */
        int32_t a = pool->low, b = a, c = a, d = a;
        for (uint32_t y = area->y0; y < area->y1; y++) {
            const int8_t *in = cpm_row_at(model, &pool->in, op->in_ring, y) + area->x0 * pitch + k;
            for (uint32_t x = area->x0; x < area->x1; x++, in += pitch) {
                a = larger(a, in[0]);
                if (count == 4) {
                    b = larger(b, in[1]);
                    c = larger(c, in[2]);
                    d = larger(d, in[3]);
                }
            }
        }
        out[k] = (int8_t)cpm_clamp(a, pool->low, pool->high);
        if (count == 4) {
            out[k + 1] = (int8_t)cpm_clamp(b, pool->low, pool->high);
            out[k + 2] = (int8_t)cpm_clamp(c, pool->low, pool->high);
            out[k + 3] = (int8_t)cpm_clamp(d, pool->low, pool->high);
        }
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_areas(model, op, &((const cpm_pool *)(const void *)op)->window, largest);
}

const cpm_kernel cpm_kernel_max_pool = {check, run};
