/* MAX_POOL_2D:
 *
 *     out = clamp(the largest input of the window, low, high)
 *
 * Equals MaxPool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
 */
#include "area.h"
#include "requant.h"

static void largest(const cpm_op *op, const cpm_area *area, const int32_t *found, uint32_t count,
                    int8_t *out) {
    const cpm_pool *const pool = (const void *)op;
    (void)area;
    for (; count != 0; count--) {
        *out++ = (int8_t)cpm_clamp(*found++, pool->low, pool->high);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_areas(model, op, &((const cpm_pool *)(const void *)op)->window, largest);
}

const cpm_kernel cpm_kernel_max_pool = {cpm_check_pool, run};
