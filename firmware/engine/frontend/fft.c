/* 512-point real FFT as a 256-point complex one of radix 4 and a split, in place.
 *
 * The rounding is that of kissfft's 16-bit build: every pass first divides its inputs by 4 as
 * round(x * 8191 / 32768), products with a twiddle are rounded to 16 bits, and sums wrap.
 *
 * Between two passes a 16-bit number x stands as x * 2^16 + bias. Sums in 32 bits then wrap as those of
 * 16 bits do, and the upper word of one product is the next pass's division, rounded: the bias is the
 * half that rounding adds. Any bias will do that the factor turns into 2^14 and a fraction of 2^15.
 */
#include "stages.h"

#define INLINE static inline __attribute__((always_inline))

#define QUARTER (2 * (32767 / 4))
#define QUARTER_BIAS 131089
#define HALF (2 * (32767 / 2))
#define HALF_BIAS 65541

/* Whether bias * factor / 2^17, the half that it stands for, is 2^14 when rounded down. */
#define FITS(bias, factor) ((int64_t)(bias) * (factor) >> 17 == 1 << 14)
typedef char biases_round[FITS(QUARTER_BIAS, QUARTER) && FITS(HALF_BIAS, HALF) ? 1 : -1];

typedef struct {
    uint32_t r, i;
} aligned;

/* x * factor / 2^16, of an x that stands with its bias. */
static int32_t scaled(uint32_t x, int32_t factor) {
    return (int32_t)(((int64_t)(int32_t)x * factor) >> 32);
}

/* round(x / 2^16), and that times 2^16 */
static uint32_t rounded(int32_t x) {
    return (uint32_t)(x + (1 << 15)) & 0xffff0000;
}

static aligned quarter(const fe_bin *x, uint32_t bias) {
    return (aligned){((uint32_t)scaled(x->r, QUARTER) << 16) + bias,
                     ((uint32_t)scaled(x->i, QUARTER) << 16) + bias};
}

/* The twiddle is doubled, so that the product has 16 bits of fraction. */
static aligned rotated_quarter(const fe_bin *x, fe_complex w) {
    const int32_t r = scaled(x->r, QUARTER), i = scaled(x->i, QUARTER);
    return (aligned){rounded(r * w.r - i * w.i), rounded(r * w.i + i * w.r)};
}

/* The 4-point transform of inputs already divided and rotated; outputs lie m bins apart. All have the
 * bias of a. */
INLINE void butterfly(fe_bin *out, unsigned m, aligned a, aligned b, aligned c, aligned d) {
    const aligned even = {a.r + c.r, a.i + c.i}, even_odd = {a.r - c.r, a.i - c.i};
    const aligned odd = {b.r + d.r, b.i + d.i}, odd_odd = {b.r - d.r, b.i - d.i};
    out[0] = (fe_bin){even.r + odd.r, even.i + odd.i};
    out[m] = (fe_bin){even_odd.r + odd_odd.i, even_odd.i - odd_odd.r};
    out[2 * m] = (fe_bin){even.r - odd.r, even.i - odd.i};
    out[3 * m] = (fe_bin){even_odd.r - odd_odd.i, even_odd.i + odd_odd.r};
}

/* Of a windowed sample as it comes; shift and division are one product. */
static aligned first_quarter(const fe_bin *x, int32_t factor, uint32_t bias) {
    return (aligned){rounded((int32_t)x->r * factor) + bias, rounded((int32_t)x->i * factor) + bias};
}

static void first_pass(fe_bin *bins, unsigned shift) {
    const int32_t factor = QUARTER << shift;
    for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4) {
        butterfly(x, 1, first_quarter(&x[0], factor, QUARTER_BIAS), first_quarter(&x[1], factor, 0),
                  first_quarter(&x[2], factor, 0), first_quarter(&x[3], factor, 0));
    }
}

/* Combines groups of four m-point transforms. The outer loop is over twiddles, so each is loaded once.
 * Inlined for each m, as the offsets then are part of the load and store instructions.
 *
 * A quarter is at most 8191, where the reference's rotation by its first twiddle, 32767 / 32768, rounds
 * back to the same number. So a butterfly with that twiddle needs no product. */
INLINE void pass(fe_bin *bins, unsigned m, uint32_t bias) {
    for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4 * m) {
        butterfly(x, m, quarter(x, bias), quarter(&x[m], 0), quarter(&x[2 * m], 0), quarter(&x[3 * m], 0));
    }
    const unsigned stride = FE_FFT / 2 / 4 / m;
    const fe_complex *w = fe_twiddle;
    for (unsigned k = 1; k < m; k++) {
        w += 3 * stride;
        const fe_complex w1 = w[0], w2 = w[1], w3 = w[2];
        fe_bin *x = bins + k;
        do {
            butterfly(x, m, quarter(x, bias), rotated_quarter(&x[m], w1), rotated_quarter(&x[2 * m], w2),
                      rotated_quarter(&x[3 * m], w3));
            x += 4 * m;
        } while (stride > 1 && x < bins + FE_FFT / 2);
    }
}

/* At most 2 * 32767^2, since the split halves sums of two 16-bit numbers: an int32_t holds it. */
static uint32_t energy(int32_t r, int32_t i) {
    return (uint32_t)(r * r + i * i);
}

/* Separates the spectra of even and odd samples (kiss_fftr) and squares: bins k and 256 - k together. */
static void split(fe_bin *bins) {
    fe_bin *low = bins + FE_BIN_FIRST, *high = bins + FE_FFT / 2 - FE_BIN_FIRST;
    const fe_split *w = fe_split_twiddle;
    for (; low <= high; low++, high--, w++) {
        const int32_t pr = scaled(low->r, HALF), pi = scaled(low->i, HALF);
        /* Negated in 16 bits, where -32768 stays what it is. */
        const int32_t qr = scaled(high->r, HALF), qi = scaled(2 * HALF_BIAS - high->i, HALF);
        const int32_t sr = pr + qr, si = pi + qi;
        const uint32_t dr = (uint32_t)(pr - qr), di = (uint32_t)(pi - qi);
        /* Rounded to 16 bits, which may wrap. */
        const int32_t tr = (int32_t)((1u << 15) - dr * w->r + di * w->i) >> 16;
        const int32_t ti = (int32_t)((1u << 15) - dr * w->i - di * w->r) >> 16;
        low->r = energy((sr + tr) >> 1, (si + ti) >> 1);
        /* Second, because at k = 128 both are one bin and the reference keeps this value. */
        high->r = energy((sr - tr) >> 1, (ti - si) >> 1);
    }
}

void fe_power_spectrum(fe_bin bins[FE_FFT / 2], unsigned shift) {
    first_pass(bins, shift);
    pass(bins, 4, QUARTER_BIAS);
    pass(bins, 16, QUARTER_BIAS);
    pass(bins, 64, HALF_BIAS);
    split(bins);
}
