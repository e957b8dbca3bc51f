/* AVERAGE_POOL_2D:
 *
 *     out = clamp(round(sum of the n inputs of the window / n), low, high), halves away from zero
 *
 * Equals AveragePool of tensorflow/lite/kernels/internal/reference/integer_ops/pooling.h.
 */
#include "area.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    return cpm_pool_fits(checker, op) ? NULL : cpm_unfit;
}

static void average(const cpm_model *model, const cpm_op *op, const cpm_area *area, int8_t *out) {
    const cpm_pool *const pool = (const void *)op;
    const uint32_t n = (area->y1 - area->y0) * (area->x1 - area->x0);
    /* x / n is x * (1 / n) or one more: the reciprocal is at most 2^-32 too small, and x less than 2^32.
     * Division takes the small CPUs up to 34 cycles. */
    const uint32_t reciprocal = UINT32_MAX / n;
    const uint32_t channels = pool->in.c;
    for (uint32_t k = 0, count; k < channels; k += count) {
        count = channels - k >= 4 ? 4 : 1;
        int32_t sums[4];
        cpm_sum(model, op, area, k, count, sums);
        for (uint32_t i = 0; i < count; i++) {
            const bool negative = sums[i] < 0;
            const uint32_t x = (uint32_t)(negative ? -sums[i] : sums[i]) + n / 2;
            uint32_t mean = (uint32_t)((uint64_t)x * reciprocal >> 32);
            mean += x - mean * n >= n;
            const int32_t value = negative ? -(int32_t)mean : (int32_t)mean;
            out[k + i] = (int8_t)cpm_clamp(value, pool->low, pool->high);
        }
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    cpm_areas(model, op, &((const cpm_pool *)(const void *)op)->window, average);
}

const cpm_kernel cpm_kernel_average_pool = {check, run};
