/* AVERAGE_POOL_2D:
 *
 *     out = clamp(round(sum of the n inputs of the window / n), low, high), halves away from zero
 *
 * Equals AveragePool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
 */
#include "area.h"
#include "requant.h"

static void average(const cpm_op *op, const cpm_area *area, const int32_t *sums, uint32_t count,
                    int8_t *out) {
    const cpm_pool *const pool = (const void *)op;
    const uint32_t n = area->n, reciprocal = area->reciprocal;
    /* x / n is x * (1 / n) or one more: the reciprocal is at most 2^-32 too small, and x less than 2^32. */
    for (; count != 0; count--) {
        const int32_t sum = *sums++;
        const uint32_t x = (uint32_t)(sum < 0 ? -sum : sum) + n / 2;
        uint32_t mean = (uint32_t)((uint64_t)x * reciprocal >> 32);
        mean += x - mean * n >= n;
        const int32_t value = sum < 0 ? -(int32_t)mean : (int32_t)mean;
        *out++ = (int8_t)cpm_clamp(value, pool->low, pool->high);
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_areas(model, op, &((const cpm_pool *)(const void *)op)->window, average);
}

const cpm_kernel cpm_kernel_average_pool = {cpm_check_pool, run};
