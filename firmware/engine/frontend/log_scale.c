#include "stages.h"

#define ONE (1u << FE_LOG_BITS)
#define LN2 45426u /* 2^16 ln 2, rounded */
#define SCALE_BITS 6

/* Fraction of log2(x), for x < 2^16 that stand for the bits below x's highest: they themselves, plus a
 * correction interpolated between table points. */
static uint32_t log2_fraction(uint32_t mantissa) {
    const uint16_t *point = &fe_log2_correction[mantissa >> (FE_LOG_BITS - FE_LOG_SEGMENT_BITS)];
    const int32_t within = (int32_t)(mantissa & ((ONE >> FE_LOG_SEGMENT_BITS) - 1));
    const int32_t left = point[0], right = point[1];
    return mantissa + (uint32_t)(left + (((right - left) * within) >> FE_LOG_BITS));
}

void fe_log_scale(const uint32_t channels[FE_CHANNELS], uint16_t out[FE_CHANNELS]) {
    for (unsigned c = 0; c < FE_CHANNELS; c++) {
        const uint32_t x = channels[c] << FE_CORRECTION_BITS; /* wraps, as in the reference */
        uint32_t value = 0;
        if (x > 1) {
            const unsigned bits = fe_bit_length(x);
            const uint32_t fraction = log2_fraction(x << (33 - bits) >> (32 - FE_LOG_BITS));
            const uint32_t ln = (bits - 1) * LN2 + ((fraction * LN2 + ONE / 2) >> FE_LOG_BITS);
            value = (ln + (1u << (FE_LOG_BITS - SCALE_BITS - 1))) >> (FE_LOG_BITS - SCALE_BITS);
        }
        out[c] = (uint16_t)value; /* at most 64 ln 2^32 = 1420 */
    }
}
