#include "../frontend/stages.h"
#include "parts.h"

#define PEAK_BITS 13 /* kept of a deviation for its fourth power */

int32_t vib_log2(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    const unsigned bits = high != 0 ? 32 + fe_bit_length(high) : fe_bit_length((uint32_t)x);
    /* The 16 bits below the highest, and what the straight line through them lacks of the logarithm. */
    const uint32_t mantissa = (uint32_t)((x << (64 - bits)) >> 47) & 0xffff;
    const uint16_t *point = &fe_log2_correction[mantissa >> (FE_LOG_BITS - FE_LOG_SEGMENT_BITS)];
    const int32_t within = (int32_t)(mantissa & ((1u << (FE_LOG_BITS - FE_LOG_SEGMENT_BITS)) - 1));
    const int32_t left = point[0], right = point[1];
    const int32_t correction = left + (((right - left) * within) >> (FE_LOG_BITS - FE_LOG_SEGMENT_BITS));
    return (int32_t)((bits - 1) << VIB_LOG_BITS) + (int32_t)mantissa + correction;
}

int8_t vib_scaled(int32_t log, int32_t steps, int32_t offset) {
    const int32_t value = ((log * steps + (1 << (VIB_LOG_BITS - 1))) >> VIB_LOG_BITS) + offset;
    return (int8_t)(value < INT8_MIN ? INT8_MIN : value > INT8_MAX ? INT8_MAX : value);
}

int32_t vib_sum(const int16_t *x, unsigned samples) {
    int32_t sum = 0; /* at most 2^10 * 2^15 */
    for (unsigned n = 0; n < samples; n++) {
        sum += x[n];
    }
    return sum;
}

/* 24 log2 of the kurtosis N sum(d^4) / sum(d^2)^2. peak is N max|x - m|, less than 2^26. With d of 13 bits
 * and the sign, d^4 has up to 52 and their sum 62. */
static int8_t kurtosis(const int16_t *x, unsigned bits, int32_t sum, uint32_t peak) {
    const unsigned length = fe_bit_length(peak);
    const unsigned drop = length > PEAK_BITS ? length - PEAK_BITS : 0;
    const int32_t half = (1 << drop) >> 1;
    uint64_t second = 0, fourth = 0;
    for (unsigned n = 0; n < 1u << bits; n++) {
        const int32_t d = (x[n] * (1 << bits) - sum + half) >> drop;
        const uint32_t square = (uint32_t)(d * d);
        second += square;
        fourth += (uint64_t)square * square;
    }
    const int32_t log = vib_log2(fourth) + (int32_t)(bits << VIB_LOG_BITS) - 2 * vib_log2(second);
    return vib_scaled(log, 24, -128);
}

void vib_statistics(const int16_t *x, unsigned bits, int32_t sum, int8_t features[VIB_STATISTICS]) {
    uint64_t squares = 0; /* at most 2^40 */
    int32_t low = x[0], high = x[0];
    for (unsigned n = 0; n < 1u << bits; n++) {
        const int32_t v = x[n];
        low = v < low ? v : low;
        high = v > high ? v : high;
        squares += (uint32_t)(v * v);
    }
    /* N^2 V, which is not negative (Cauchy and Schwarz). */
    const uint64_t variance = (squares << bits) - (uint64_t)((int64_t)sum * sum);
    if (variance == 0) {
        features[0] = features[1] = features[2] = INT8_MIN;
        return;
    }
    const int32_t above = high * (1 << bits) - sum, below = sum - low * (1 << bits);
    const uint32_t peak = (uint32_t)(above > below ? above : below);
    const int32_t log = vib_log2(variance);
    features[0] = vib_scaled(log - (int32_t)(2 * bits << VIB_LOG_BITS), 6, -53);
    features[1] = vib_scaled(2 * vib_log2(peak) - log, 24, -128);
    features[2] = kurtosis(x, bits, sum, peak);
}
