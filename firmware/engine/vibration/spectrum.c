/* Real FFT of 2^bits samples: a complex one of half as many points, radix 2, and a split, in place.
 *
 * The audio front end's FFT keeps 16 bits, has one length and leaves out the lowest bins, where machines
 * vibrate. This one keeps 32 bits: every stage halves its sums, so nothing grows and nothing is scaled at run
 * time, and half a product is the upper word of 32 times 32 bits, one instruction.
 *
 * Sizes: a deviation has at most 2^16 counts and 13 fraction bits after the window, so |z| of two samples
 * stays below 2^29.5; a stage's result is the mean of two such numbers, one of them rotated, and no larger.
 */
#include "../frontend/stages.h"
#include "parts.h"
#include "tables.h"

#define CIRCLE 1024 /* steps of vib_cosine around it */
#define DEVIATION_BITS 14

typedef struct {
    int32_t r, i;
} wide;

/* a b / 2^32, rounded down. */
static inline int32_t upper(int32_t a, int32_t b) {
    return (int32_t)(((int64_t)a * b) >> 32);
}

/* exp(-2 pi j k / CIRCLE) with 31 fraction bits, for k up to CIRCLE / 2. */
static wide phasor(unsigned k) {
    if (k <= CIRCLE / 4) {
        return (wide){vib_cosine[k], -vib_cosine[CIRCLE / 4 - k]};
    }
    return (wide){-vib_cosine[CIRCLE / 2 - k], -vib_cosine[k - CIRCLE / 4]};
}

/* Sample n without its mean (sum is N times that) and windowed. N times the deviation is an integer below
 * 2^26, and shifted left it is the deviation with DEVIATION_BITS fraction bits, exactly. */
static int32_t windowed(const int16_t *x, unsigned n, unsigned bits, int32_t sum, int32_t weight) {
    const int32_t deviation = (x[n] * (1 << bits) - sum) * (1 << (DEVIATION_BITS - bits));
    return upper(deviation, weight);
}

/* Two samples to a bin, at the place whose bits are reversed. Sample N - n has the weight of n. */
static void load(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins) {
    const unsigned samples = 1u << bits;
    unsigned to = 0; /* n / 2 with its bits reversed */
    for (unsigned n = 0; n < samples; n += 2) {
        const unsigned here = n <= samples / 2 ? n : samples - n;
        const unsigned next = n < samples / 2 ? n + 1 : samples - n - 1;
        /* 1/2 - cos/2 with 31 fraction bits. */
        const int32_t w = (INT32_MAX >> 1) - (phasor(here << (10 - bits)).r >> 1);
        const int32_t w1 = (INT32_MAX >> 1) - (phasor(next << (10 - bits)).r >> 1);
        bins[to].z.r = windowed(x, n, bits, sum, w);
        bins[to].z.i = windowed(x, n + 1, bits, sum, w1);
        unsigned bit = samples / 4;
        while ((to & bit) != 0) {
            to ^= bit;
            bit >>= 1;
        }
        to |= bit;
    }
}

/* Joins pairs of transforms of m points into ones of 2 m, halved. */
static void stage(vib_bin *bins, unsigned points, unsigned m) {
    for (unsigned k = 0; k < m; k++) {
        const wide w = phasor(k * (CIRCLE / 2 / m));
        for (vib_bin *a = bins + k; a < bins + points; a += 2 * m) {
            vib_bin *b = a + m;
            const int32_t r = upper(b->z.r, w.r) - upper(b->z.i, w.i);
            const int32_t i = upper(b->z.r, w.i) + upper(b->z.i, w.r);
            const int32_t ar = a->z.r >> 1, ai = a->z.i >> 1;
            a->z.r = ar + r;
            a->z.i = ai + i;
            b->z.r = ar - r;
            b->z.i = ai - i;
        }
    }
}

static uint64_t energy(int32_t r, int32_t i) {
    return (uint64_t)((int64_t)r * r) + (uint64_t)((int64_t)i * i);
}

/* Separates the spectra E and O of the even and the odd samples: X_k = E_k + w^k O_k, and X_(M - k) is the
 * conjugate of E_k - w^k O_k, M = N / 2. So the bins of k and M - k are done together. */
static void split(vib_bin *bins, unsigned points) {
    for (unsigned k = 1; k <= points / 2; k++) {
        vib_bin *low = &bins[k], *high = &bins[points - k];
        const wide w = phasor(k * (CIRCLE / 2 / points));
        const int32_t even_r = (low->z.r + high->z.r) >> 2, even_i = (low->z.i - high->z.i) >> 2;
        const int32_t odd_r = (low->z.i + high->z.i) >> 1, odd_i = (high->z.r - low->z.r) >> 1;
        const int32_t r = upper(odd_r, w.r) - upper(odd_i, w.i), i = upper(odd_r, w.i) + upper(odd_i, w.r);
        low->energy = energy(even_r + r, even_i + i);
        high->energy = energy(even_r - r, even_i - i);
    }
}

void vib_spectrum(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins) {
    const unsigned points = 1u << (bits - 1);
    load(x, bits, sum, bins);
    for (unsigned m = 1; m < points; m *= 2) {
        stage(bins, points, m);
    }
    split(bins, points);
}
