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
    return vib_upper(deviation, weight);
}

int32_t vib_hann(unsigned n, unsigned samples) {
    const unsigned here = n <= samples / 2 ? n : samples - n;
    return (INT32_MAX >> 1) - (phasor(here * (CIRCLE / samples)).r >> 1);
}

/* Two samples to a bin, at the place whose bits are reversed. */
static void load(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins) {
    const unsigned samples = 1u << bits;
    unsigned to = 0; /* n / 2 with its bits reversed */
    for (unsigned n = 0; n < samples; n += 2) {
        bins[to].r = windowed(x, n, bits, sum, vib_hann(n, samples));
        bins[to].i = windowed(x, n + 1, bits, sum, vib_hann(n + 1, samples));
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
            const int32_t r = vib_upper(b->r, w.r) - vib_upper(b->i, w.i);
            const int32_t i = vib_upper(b->r, w.i) + vib_upper(b->i, w.r);
            const int32_t ar = a->r >> 1, ai = a->i >> 1;
            a->r = ar + r;
            a->i = ai + i;
            b->r = ar - r;
            b->i = ai - i;
        }
    }
}

/* Separates the spectra E and O of the even and the odd samples: X_k = E_k + w^k O_k, and X_(M - k) is the
 * conjugate of E_k - w^k O_k, M = N / 2. So the bins of k and M - k are done together. */
void vib_split(vib_bin *bins, unsigned points) {
    for (unsigned k = 1; k <= points / 2; k++) {
        vib_bin *low = &bins[k], *high = &bins[points - k];
        const wide w = phasor(k * (CIRCLE / 2 / points));
        const int32_t even_r = (low->r + high->r) >> 2, even_i = (low->i - high->i) >> 2;
        const int32_t odd_r = (low->i + high->i) >> 1, odd_i = (high->r - low->r) >> 1;
        const int32_t r = vib_upper(odd_r, w.r) - vib_upper(odd_i, w.i);
        const int32_t i = vib_upper(odd_r, w.i) + vib_upper(odd_i, w.r);
        *low = (vib_bin){even_r + r, even_i + i};
        *high = (vib_bin){even_r - r, i - even_i};
    }
}

void vib_transform(vib_bin *bins, unsigned points) {
    for (unsigned m = 1; m < points; m *= 2) {
        stage(bins, points, m);
    }
}

void vib_spectrum(const int16_t *x, unsigned bits, int32_t sum, vib_bin *bins) {
    const unsigned points = 1u << (bits - 1);
    load(x, bits, sum, bins);
    vib_transform(bins, points);
    vib_split(bins, points);
}
