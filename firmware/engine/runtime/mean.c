/* MEAN over rows, columns or both:
 *
 *     out = clamp(MultiplyByQuantizedMultiplier(sum of n inputs - n * in_zero) + out_zero, low, high)
 *
 * where multiplier and shift already hold the division by n. Equals QuantizedMeanOrSum of
 * tensorflow/lite/kernels/internal/reference/reduce.h.
 */
#include "area.h"
#include "requant.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_mean *const mean = (const void *)op;
    if (!cpm_views_fit(checker, op, sizeof(cpm_mean)) || mean->in.c != mean->out.c ||
        (mean->out.h != 1 && mean->out.h != mean->in.h) || (mean->out.w != 1 && mean->out.w != mean->in.w) ||
        mean->shift < -30 || mean->shift > 31 || mean->low > mean->high ||
        (uint32_t)mean->in.h * mean->in.w > 1u << 23) {
        return cpm_unfit;
    }
    return NULL;
}

static void average(const cpm_model *model, const cpm_op *op, const cpm_area *area, int8_t *out) {
    const cpm_mean *const mean = (const void *)op;
    const cpm_requant range = {.out_zero = mean->out_zero, .low = mean->low, .high = mean->high};
    const uint32_t channels = mean->in.c;
    for (uint32_t k = 0, count; k < channels; k += count) {
        count = channels - k >= 4 ? 4 : 1;
        int32_t sums[4];
        cpm_sum(model, op, area, k, count, sums);
        for (uint32_t i = 0; i < count; i++) {
            const int32_t sum = (int32_t)((uint32_t)sums[i] + (uint32_t)mean->correction);
            out[k + i] = (int8_t)cpm_any(0, &range, sum, mean->multiplier, mean->shift);
        }
    }
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_mean *const mean = (const void *)op;
    const cpm_window window = {
        .kernel_h = mean->out.h == 1 ? mean->in.h : 1,
        .kernel_w = mean->out.w == 1 ? mean->in.w : 1,
        .stride_h = 1,
        .stride_w = 1,
    };
    cpm_areas(model, op, &window, average);
}

const cpm_kernel cpm_kernel_mean = {check, run};
