/* MAX_POOL_2D:
 *
 *     out = clamp(the largest input of the window, low, high)
 *
 * Equals MaxPool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
 */
#include "area.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    return cpm_pool_fits(checker, op) ? NULL : cpm_unfit;
}

static void largest(const cpm_model *model, const cpm_op *op, const cpm_area *area, int8_t *out) {
    const cpm_pool *const pool = (const void *)op;
    const uint32_t pitch = pool->in.pitch;
    for (uint32_t k = 0; k < pool->in.c; k++) {
        int32_t found = pool->low; /* a clamped maximum is the maximum from low on, cut at high */
        for (uint32_t y = area->y0; y < area->y1; y++) {
            const int8_t *in = cpm_row_at(model, &pool->in, op->in_ring, y) + area->x0 * pitch + k;
            for (uint32_t left = area->x1 - area->x0; left != 0; left--, in += pitch) {
                found = *in > found ? *in : found;
            }
        }
        out[k] = (int8_t)(found > pool->high ? pool->high : found);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_areas(model, op, &((const cpm_pool *)(const void *)op)->window, largest);
}

const cpm_kernel cpm_kernel_max_pool = {check, run};
