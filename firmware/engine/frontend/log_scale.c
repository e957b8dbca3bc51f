#include "stages.h"

#define ONE (1u << FE_LOG_BITS)
#define LN2 45426 /* 2^16 ln 2, rounded */
#define SCALE_BITS 6

/* Fraction of log2(x) for the x with its highest bit at `top`: the mantissa itself, plus a correction
 * interpolated between table points. */
static uint32_t log2_fraction(uint32_t x, unsigned top) {
    const uint32_t mantissa = x - (1u << top);
    const uint32_t fraction =
        top < FE_LOG_BITS ? mantissa << (FE_LOG_BITS - top) : mantissa >> (top - FE_LOG_BITS);
    const uint32_t segment = fraction >> (FE_LOG_BITS - FE_LOG_SEGMENT_BITS);
    const int32_t within = (int32_t)(fraction & ((ONE >> FE_LOG_SEGMENT_BITS) - 1));
    const int32_t left = fe_log2_correction[segment];
    const int32_t right = fe_log2_correction[segment + 1];
    return fraction + (uint32_t)(left + (((right - left) * within) >> FE_LOG_BITS));
}

void fe_log_scale(const uint32_t channels[FE_CHANNELS], uint16_t out[FE_CHANNELS]) {
    for (unsigned c = 0; c < FE_CHANNELS; c++) {
        const uint32_t x = channels[c] << FE_CORRECTION_BITS; /* wraps, as in the reference */
        uint32_t value = 0;
        if (x > 1) {
            const unsigned top = fe_bit_length(x) - 1;
            const uint32_t log2 = (top << FE_LOG_BITS) + log2_fraction(x, top);
            const uint32_t ln = (uint32_t)(((uint64_t)log2 * LN2 + ONE / 2) >> FE_LOG_BITS);
            value = ((ln << SCALE_BITS) + ONE / 2) >> FE_LOG_BITS;
        }
        out[c] = (uint16_t)value; /* at most 64 ln 2^32 = 1420 */
    }
}
