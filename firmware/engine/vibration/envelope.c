/* The envelope of the upper part of a window's spectrum, and its own spectrum, in the memory of the first.
 *
 * Sizes: amplitudes are brought to just below 2^30, so every modulus stays below 2^30.5 through the first
 * transform, which divides by its points. Of M points, 3/4 of which carry anything, the quadratic mean of what
 * it leaves is at most 2^30.5 sqrt(0.75 / M), less than 2^27 (Parseval), and so is the mean; that is how large
 * what the second transform leaves can be. A single point may be as large as the largest amplitude.
 */
#include "../frontend/stages.h"
#include "parts.h"

#define CARRIER_BITS 30
#define LINE_BITS 8 /* fraction bits of edges */
#define BIN (1u << LINE_BITS)
#define ONE_LOG2 (1 << VIB_LOG_BITS)
/* log2(16/3) and log2(60) with VIB_LOG_BITS fraction bits. */
#define POWER_LOG2 158272
#define MINUTE_LOG2 387114
/* Orders with a known speed: 2^-1 to 2^5. */
#define FIRST_ORDER (-1 * ONE_LOG2)
#define ORDERS (6 * ONE_LOG2)

/* Square root, rounded down to 16 significant bits. */
static int32_t root(uint64_t x) {
    if (x == 0) {
        return 0;
    }
    const uint32_t high = (uint32_t)(x >> 32);
    const unsigned bits = high != 0 ? 32 + fe_bit_length(high) : fe_bit_length((uint32_t)x);
    const unsigned pairs = (64 - bits) / 2;
    const uint32_t word = (uint32_t)((x << 2 * pairs) >> 32);
    /* Heron's step from 8 bits is right or one too large. */
    const uint32_t seed = (uint32_t)fe_sqrt_seed[(word >> 24) - 64] << 8;
    uint32_t found = (seed + word / seed) / 2;
    found -= (word - found * found) >> 31;
    return (int32_t)((uint64_t)found << 16 >> pairs);
}

/* Keeps what is from 1/8 of the sample rate up, as large as it may be; returns how many bits it was shifted. */
static unsigned take_carrier(vib_bin *bins, unsigned points) {
    uint32_t any = 0;
    for (unsigned k = points / 4; k < points; k++) {
        any |= (uint32_t)(bins[k].r ^ (bins[k].r >> 31)) | (uint32_t)(bins[k].i ^ (bins[k].i >> 31));
    }
    const unsigned shift = CARRIER_BITS - fe_bit_length(any);
    for (unsigned k = 0; k < points / 4; k++) {
        bins[k] = (vib_bin){0, 0};
    }
    for (unsigned k = points / 4; k < points; k++) {
        bins[k].r *= 1 << shift;
        bins[k].i *= 1 << shift;
    }
    return shift;
}

/* Puts every point where the bits of its place are reversed. */
static void reverse(vib_bin *bins, unsigned points) {
    unsigned to = 0;
    for (unsigned n = 0; n < points; n++) {
        if (n < to) {
            const vib_bin here = bins[n];
            bins[n] = bins[to];
            bins[to] = here;
        }
        unsigned bit = points / 2;
        while ((to & bit) != 0) {
            to ^= bit;
            bit >>= 1;
        }
        to |= bit;
    }
}

/* Half the moduli in place of the points, two to a bin, without what is constant under the window. */
static void rectify(vib_bin *bins, unsigned bits) {
    const unsigned points = 1u << bits;
    int64_t sum = 0;
    for (unsigned n = 0; n < points; n += 2) {
        const int32_t first = root(vib_energy(bins[n])) >> 1, second = root(vib_energy(bins[n + 1])) >> 1;
        sum += first + second;
        bins[n / 2] = (vib_bin){first, second};
    }
    const int32_t mean = (int32_t)(sum >> (bits - 1)); /* the weights add up to half their number */
    for (unsigned n = 0; n < points; n += 2) {
        bins[n / 2].r -= vib_upper(2 * mean, vib_hann(n, points));
        bins[n / 2].i -= vib_upper(2 * mean, vib_hann(n + 1, points));
    }
}

int32_t vib_envelope(vib_bin *bins, unsigned bits) {
    const unsigned points = 1u << (bits - 1);
    const int32_t shift = (int32_t)take_carrier(bins, points);
    reverse(bins, points);
    /* Backward in time, of which no modulus and no energy tells. */
    vib_transform(bins, points);
    rectify(bins, bits - 1);
    reverse(bins, points / 2);
    vib_transform(bins, points / 2);
    vib_split(bins, points / 2);
    /* |a_n| is twice the sum, of which half was taken: 4 M = 2 N times what is here. */
    return POWER_LOG2 + 2 * ((int32_t)bits + 1 - VIB_SPECTRUM_BITS - shift) * ONE_LOG2;
}

void vib_divide_envelope(vib_state *s, uint32_t rate, uint32_t speed) {
    const int32_t bands = s->envelope;
    const unsigned last = s->samples * (BIN / 8);
    /* The fixed ones have N/8 - 1 bins to share. */
    int32_t first = LINE_BITS * ONE_LOG2, span = (s->bits - 3) * ONE_LOG2;
    if (speed != 0) {
        const int32_t order = vib_log2(speed) - vib_log2(rate) - MINUTE_LOG2; /* log2 of turns a frame */
        first += s->bits * ONE_LOG2 + order + FIRST_ORDER;
        span = ORDERS;
    }
    for (int32_t b = 0; b <= bands && bands != 0; b++) {
        const int32_t target = first + span * b / bands;
        unsigned low = BIN / 2, high = last; /* the first that reaches it, or the last */
        while (low < high) {
            const unsigned middle = (low + high) / 2;
            if (vib_log2(middle) < target) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        s->lines[b] = (uint16_t)low;
    }
}

void vib_envelope_bands(const vib_state *s, const vib_bin *bins, int32_t scale, int8_t *features) {
    for (unsigned b = 0; b < s->envelope; b++) {
        const unsigned from = s->lines[b], to = s->lines[b + 1];
        uint64_t energy = 0; /* no more than 2^54 in all, and 8 bits of shares */
        for (unsigned k = (from + BIN / 2) / BIN, begin = from; begin < to; k++) {
            const unsigned upper = k * BIN + BIN / 2, end = upper < to ? upper : to;
            energy += (end - begin) * vib_energy(bins[k]);
            begin = end;
        }
        features[b] = energy == 0 ? INT8_MIN
                                  : vib_scaled(vib_log2(energy) - LINE_BITS * ONE_LOG2 + scale, 6, -53);
    }
}
