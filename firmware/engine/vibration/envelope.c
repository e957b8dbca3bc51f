/* The envelope of the upper part of a window's spectrum, and its own spectrum, in the memory of the first.
 *
 * Sizes: amplitudes get the modulus 2^UNIT_BITS, and the first transform divides by its points. Of M points
 * 3/4 carry anything, so the quadratic mean of what it leaves is 2^29 sqrt(0.75 / M), less than 2^26
 * (Parseval), and so is the mean, which what the second transform leaves cannot exceed.
 */
#include "../frontend/stages.h"
#include "parts.h"

#define UNIT_BITS 29
#define LINE_BITS 8 /* fraction bits of edges */
#define BIN (1u << LINE_BITS)
#define ONE_LOG2 (1 << VIB_LOG_BITS)
/* log2(256/9), log2(60) and log2(3/4), the lowest order, with VIB_LOG_BITS fraction bits. */
#define POWER_LOG2 316544
#define MINUTE_LOG2 387114
#define FIRST_ORDER (-27200)
#define ORDERS (5 * ONE_LOG2) /* five octaves of them */

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

/* z / |z|, or 0. */
static vib_bin unit(vib_bin z) {
    const uint32_t any = (uint32_t)(z.r ^ (z.r >> 31)) | (uint32_t)(z.i ^ (z.i >> 31));
    const unsigned shift = 30 - fe_bit_length(any);
    z.r *= 1 << shift;
    z.i *= 1 << shift;
    /* 2^29 to 2^30.5, of which 16 to 17 bits are kept. */
    const int32_t modulus = root(vib_energy(z)) >> 14;
    if (modulus == 0) {
        return z;
    }
    const int32_t inverse = (int32_t)((1u << 31) / (uint32_t)modulus);
    const int64_t r = (int64_t)z.r * inverse, i = (int64_t)z.i * inverse;
    return (vib_bin){(int32_t)(r >> (45 - UNIT_BITS)), (int32_t)(i >> (45 - UNIT_BITS))};
}

/* Keeps the phases of what is from 1/8 of the sample rate up. */
static void take_carrier(vib_bin *bins, unsigned points) {
    for (unsigned k = 0; k < points / 4; k++) {
        bins[k] = (vib_bin){0, 0};
    }
    for (unsigned k = points / 4; k < points; k++) {
        bins[k] = unit(bins[k]);
    }
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

/* Half the windowed moduli in place of the points, two to a bin, without what is constant under the window.
 * Of points there are 2^bits. */
static void rectify(vib_bin *bins, unsigned bits) {
    const unsigned points = 1u << bits;
    int64_t sum = 0;
    for (unsigned n = 0; n < points; n += 2) {
        const int32_t first = vib_upper(root(vib_energy(bins[n])), vib_hann(n, points));
        const int32_t second = vib_upper(root(vib_energy(bins[n + 1])), vib_hann(n + 1, points));
        sum += first + second;
        bins[n / 2] = (vib_bin){first, second};
    }
    const int32_t twice = (int32_t)(sum >> (bits - 2)); /* the weights add up to half their number */
    for (unsigned n = 0; n < points; n += 2) {
        bins[n / 2].r -= vib_upper(twice, vib_hann(n, points));
        bins[n / 2].i -= vib_upper(twice, vib_hann(n + 1, points));
    }
}

void vib_envelope(vib_bin *bins, unsigned bits) {
    const unsigned points = 1u << (bits - 1);
    take_carrier(bins, points);
    reverse(bins, points);
    /* Backward in time, of which no modulus and no energy tells. */
    vib_transform(bins, points);
    rectify(bins, bits - 1);
    reverse(bins, points / 2);
    vib_transform(bins, points / 2);
    vib_split(bins, points / 2);
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

void vib_envelope_bands(const vib_state *s, const vib_bin *bins, int8_t *features) {
    /* The unit of FFT(u) / M is 2M / 2^UNIT_BITS, and 16/3 (2M)^2 / (3M/4) = 256/9 M. */
    const int32_t scale = POWER_LOG2 + (s->bits - 1 - 2 * UNIT_BITS - LINE_BITS) * ONE_LOG2;
    for (unsigned b = 0; b < s->envelope; b++) {
        const unsigned from = s->lines[b], to = s->lines[b + 1];
        uint64_t energy = 0; /* no more than 2^52 in all, and 8 bits of shares */
        for (unsigned k = (from + BIN / 2) / BIN, begin = from; begin < to; k++) {
            const unsigned upper = k * BIN + BIN / 2, end = upper < to ? upper : to;
            energy += (end - begin) * vib_energy(bins[k]);
            begin = end;
        }
        features[b] = energy == 0 ? INT8_MIN : vib_scaled(vib_log2(energy) + scale, 12, 127);
    }
}
