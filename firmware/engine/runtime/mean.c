/* MEAN over rows, columns or both:
 *
 *     out = clamp(MultiplyByQuantizedMultiplier(sum of n inputs - n * in_zero) + out_zero, low, high)
 *
 * where multiplier and shift already hold the division by n. Equals QuantizedMeanOrSum of
 * tensorflow/lite/kernels/internal/reference/reduce.h.
 */
#include "requant.h"
#include "sum.h"

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_mean *const mean = (const void *)op;
    if (!CPM_LENGTH(op, cpm_mean) || !cpm_view_fits(checker, &mean->in, op->in_ring) ||
        !cpm_view_fits(checker, &mean->out, op->out_ring) || mean->in.c != mean->out.c ||
        (mean->out.h != 1 && mean->out.h != mean->in.h) || (mean->out.w != 1 && mean->out.w != mean->in.w) ||
        mean->shift < -30 || mean->shift > 31 || mean->low > mean->high ||
        (uint32_t)mean->in.h * mean->in.w > 1u << 23) {
        return "a mean does not fit";
    }
    return NULL;
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_mean *const mean = (const void *)op;
    const uint32_t rows = mean->out.h == 1 ? mean->in.h : 1, columns = mean->out.w == 1 ? mean->in.w : 1;
    const uint32_t channels = mean->in.c;
    const int32_t zero = mean->out_zero, low = mean->low - zero, high = mean->high - zero;
    for (uint32_t y = 0; y < mean->out.h; y++) {
        int8_t *out = cpm_row(model, &mean->out, op->out_ring, y);
        for (uint32_t x = 0; x < mean->out.w; x++, out += mean->out.pitch) {
            const cpm_area area = {y, y + rows, x, x + columns};
            for (uint32_t k = 0, count; k < channels; k += count) {
                count = channels - k >= 4 ? 4 : 1;
                int32_t sums[4];
                cpm_sum(model, &mean->in, op->in_ring, &area, k, count, sums);
                for (uint32_t i = 0; i < count; i++) {
                    const int32_t sum = (int32_t)((uint32_t)sums[i] + (uint32_t)mean->correction);
                    const int32_t scaled = cpm_scale(sum, mean->multiplier, mean->shift);
                    out[k + i] = (int8_t)(cpm_clamp(scaled, low, high) + zero);
                }
            }
        }
    }
}

const cpm_kernel cpm_kernel_mean = {check, run};
