#include "pcm.h"

uint32_t pcm_mono16(const int32_t *frames, size_t count, unsigned slot, unsigned gain_bits, int16_t *out) {
    /* A right shift of a negative number is arithmetic on every compiler this is built with. */
    const unsigned shift = 16u - gain_bits;
    int32_t low = INT16_MAX, high = INT16_MIN;
    for (size_t i = 0; i < count; i++) {
        int32_t sample = frames[2 * i + slot] >> shift;
        if (sample > INT16_MAX) {
            sample = INT16_MAX;
        } else if (sample < INT16_MIN) {
            sample = INT16_MIN;
        }
        low = sample < low ? sample : low;
        high = sample > high ? sample : high;
        out[i] = (int16_t)sample;
    }
    return count == 0 ? 0 : (uint32_t)(high - low);
}
