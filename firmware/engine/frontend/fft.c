/* 512-point real FFT as a 256-point complex one of radix 4 and a split, in place.
 *
 * The rounding is that of kissfft's 16-bit build: every pass first divides its inputs by 4 as
 * round(x * 8191 / 32768), products with a twiddle are rounded to 16 bits, and sums wrap. Working in 32
 * bits and truncating at the store gives the same bits, because sums wrap alike.
 *
 * Factors come from a table: a compiler that knows them makes two instructions of each product with them.
 */
#include "stages.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int32_t r, i;
} wide;

static int32_t round15(int32_t x) {
    return (x + (1 << 14)) >> 15;
}

static wide scaled(const fe_bin *x, int32_t factor) {
    return (wide){round15(x->z.r * factor), round15(x->z.i * factor)};
}

static wide rotated(wide a, fe_complex w) {
    return (wide){round15(a.r * w.r - a.i * w.i), round15(a.r * w.i + a.i * w.r)};
}

static void store(fe_bin *bin, int32_t r, int32_t i) {
    bin->z.r = (int16_t)r;
    bin->z.i = (int16_t)i;
}

/* The 4-point transform of inputs already divided and rotated; outputs lie m bins apart. */
INLINE void butterfly(fe_bin *out, unsigned m, wide a, wide b, wide c, wide d) {
    const wide even = {a.r + c.r, a.i + c.i}, even_odd = {a.r - c.r, a.i - c.i};
    const wide odd = {b.r + d.r, b.i + d.i}, odd_odd = {b.r - d.r, b.i - d.i};
    store(&out[0], even.r + odd.r, even.i + odd.i);
    store(&out[m], even_odd.r + odd_odd.i, even_odd.i - odd_odd.r);
    store(&out[2 * m], even.r - odd.r, even.i - odd.i);
    store(&out[3 * m], even_odd.r - odd_odd.i, even_odd.i + odd_odd.r);
}

/* Shift and division of the windowed samples are one product: no bit is shifted out, see fe_window. */
static void first_pass(fe_bin *bins, int32_t factor) {
    for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4) {
        butterfly(x, 1, scaled(&x[0], factor), scaled(&x[1], factor), scaled(&x[2], factor),
                  scaled(&x[3], factor));
    }
}

/* Combines groups of four m-point transforms. The outer loop is over twiddles, so each is loaded once.
 * Inlined for each m, as the offsets then are part of the load and store instructions.
 *
 * A quarter is at most 8191, where the reference's rotation by its first twiddle, 32767 / 32768, rounds
 * back to the same number, so a butterfly with that twiddle needs no product. Only for m = 4 are these
 * enough to earn their own code. */
INLINE void pass(fe_bin *bins, unsigned m, int32_t factor) {
    const unsigned stride = FE_FFT / 2 / 4 / m;
    unsigned k = 0;
    if (m == 4) {
        for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4 * m) {
            butterfly(x, m, scaled(x, factor), scaled(&x[m], factor), scaled(&x[2 * m], factor),
                      scaled(&x[3 * m], factor));
        }
        k = 1;
    }
    for (; k < m; k++) {
        const fe_complex *w = &fe_twiddle[3 * stride * k];
        const fe_complex w1 = w[0], w2 = w[1], w3 = w[2];
        fe_bin *x = bins + k;
        do {
            const wide b = rotated(scaled(&x[m], factor), w1), c = rotated(scaled(&x[2 * m], factor), w2),
                       d = rotated(scaled(&x[3 * m], factor), w3);
            butterfly(x, m, scaled(x, factor), b, c, d);
            x += 4 * m;
        } while (stride > 1 && x < bins + FE_FFT / 2);
    }
}

/* At most 2 * 32767^2, since the split halves sums of two 16-bit numbers: an int32_t holds it. */
static uint32_t energy(int32_t r, int32_t i) {
    return (uint32_t)(r * r + i * i);
}

/* Separates the spectra of even and odd samples (kiss_fftr) and squares: bins k and 256 - k together. */
static void split(fe_bin *bins, int32_t factor) {
    fe_bin *low = bins + FE_BIN_FIRST, *high = bins + FE_FFT / 2 - FE_BIN_FIRST;
    const fe_split *w = fe_split_twiddle;
    for (; low <= high; low++, high--, w++) {
        const wide p = scaled(low, factor);
        const wide q = {round15(high->z.r * factor), round15((int16_t)-high->z.i * factor)};
        const wide sum = {p.r + q.r, p.i + q.i};
        const uint32_t dr = (uint32_t)(p.r - q.r), di = (uint32_t)(p.i - q.i);
        /* Doubled twiddles leave the rounded product in the upper half, where it may wrap. */
        const wide t = {(int32_t)((1u << 15) - dr * w->r + di * w->i) >> 16,
                        (int32_t)((1u << 15) - dr * w->i - di * w->r) >> 16};
        low->energy = energy((sum.r + t.r) >> 1, (sum.i + t.i) >> 1);
        /* Second, because at k = 128 both are one bin and the reference keeps this value. */
        high->energy = energy((sum.r - t.r) >> 1, (t.i - sum.i) >> 1);
    }
}

void fe_power_spectrum(fe_bin bins[FE_FFT / 2], unsigned shift) {
    const int32_t quarter = fe_division[0], half = fe_division[1];
    first_pass(bins, quarter << shift);
    pass(bins, 4, quarter);
    pass(bins, 16, quarter);
    pass(bins, 64, quarter);
    split(bins, half);
}
