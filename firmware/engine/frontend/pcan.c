/* Per-channel amplitude normalisation (Wang et al. 2017, "Trainable frontend for robust and far-field
 * keyword spotting", arXiv:1607.05666), in the fixed point of TFLM's pcan_gain_control.c. */
#include "stages.h"

#define FRACTION_BITS 10
#define OUTPUT_BITS 6

static uint32_t gain_at(uint32_t noise) {
    const unsigned bits = fe_bit_length(noise);
    const int32_t t = (int32_t)(noise << (-bits & 31) << 1 >> (32 - FRACTION_BITS));
    const fe_gain *g = &fe_pcan_gain[bits];
    const int32_t slope = ((g->curve * t) >> 5) + g->slope * 32;
    return (uint32_t)(g->value + ((slope * t + (1 << 14)) >> 15));
}

/* Quadratic for a small ratio, linear above: both meet at 2 with the same slope. */
static uint32_t shrink(uint32_t ratio) {
    if (ratio < 2u << FE_PCAN_SNR_BITS) {
        return (ratio * ratio) >> (2 + 2 * FE_PCAN_SNR_BITS - OUTPUT_BITS);
    }
    return (ratio >> (FE_PCAN_SNR_BITS - OUTPUT_BITS)) - (1u << OUTPUT_BITS);
}

void fe_pcan(const uint32_t noise[FE_CHANNELS], uint32_t channels[FE_CHANNELS]) {
    for (unsigned c = 0; c < FE_CHANNELS; c++) {
        const uint64_t product = (uint64_t)channels[c] * gain_at(noise[c]);
        channels[c] = shrink((uint32_t)(product >> FE_PCAN_SHIFT));
    }
}
