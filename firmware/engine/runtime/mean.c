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
    (void)checker;
    return cpm_fits(mean->in.c == mean->out.c && (mean->out.h == 1 || mean->out.h == mean->in.h) &&
                    (mean->out.w == 1 || mean->out.w == mean->in.w) && mean->shift >= -30 &&
                    mean->shift <= 31 && mean->low <= mean->high &&
                    (uint32_t)mean->in.h * mean->in.w <= 1u << 23);
}

static void average(const cpm_op *op, const cpm_area *area, const int32_t *sums, uint32_t count,
                    int8_t *out) {
    const cpm_mean *const mean = (const void *)op;
    const cpm_requant range = {.out_zero = mean->out_zero, .low = mean->low, .high = mean->high};
    (void)area;
    for (; count != 0; count--) {
        const int32_t sum = (int32_t)((uint32_t)*sums++ + (uint32_t)mean->correction);
        *out++ = (int8_t)cpm_any(0, &range, sum, mean->multiplier, mean->shift);
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
