/* 512-point real FFT as a 256-point complex one of radix 4 and a split, in place.
 *
 * The rounding is that of kissfft's 16-bit build: every pass first divides its inputs by 4 as
 * round(x * 8191 / 32768), products with a twiddle are rounded to 16 bits, and sums wrap. Working in 32
 * bits and truncating at the store gives the same bits, because sums wrap alike.
 */
#include "stages.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    int32_t r, i;
} wide;

static int32_t round15(int32_t x) {
    return (x + (1 << 14)) >> 15;
}

static wide quarter(fe_complex z) {
    return (wide){round15(z.r * (32767 / 4)), round15(z.i * (32767 / 4))};
}

static wide rotate(wide a, fe_complex w) {
    return (wide){round15(a.r * w.r - a.i * w.i), round15(a.r * w.i + a.i * w.r)};
}

static void store(fe_bin *bin, int32_t r, int32_t i) {
    bin->z.r = (int16_t)r;
    bin->z.i = (int16_t)i;
}

/* The 4-point transform of inputs already divided and rotated; outputs lie m bins apart. */
static void butterfly(fe_bin *out, unsigned m, wide a, wide b, wide c, wide d) {
    const wide even = {a.r + c.r, a.i + c.i}, even_odd = {a.r - c.r, a.i - c.i};
    const wide odd = {b.r + d.r, b.i + d.i}, odd_odd = {b.r - d.r, b.i - d.i};
    store(&out[0], even.r + odd.r, even.i + odd.i);
    store(&out[m], even_odd.r + odd_odd.i, even_odd.i - odd_odd.r);
    store(&out[2 * m], even.r - odd.r, even.i - odd.i);
    store(&out[3 * m], even_odd.r - odd_odd.i, even_odd.i + odd_odd.r);
}

/* A quarter is at most 8191, where the reference's rotation by its first twiddle, 32767 / 32768, rounds
 * back to the same number. So a butterfly with that twiddle needs no product. */
INLINE void pass_without_rotation(fe_bin *bins, unsigned m) {
    for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4 * m) {
        butterfly(x, m, quarter(x[0].z), quarter(x[m].z), quarter(x[2 * m].z), quarter(x[3 * m].z));
    }
}

/* The low 16 bits of x * 2^shift, with their sign. */
static int16_t shifted(int16_t x, unsigned shift) {
    return (int16_t)((int32_t)((uint32_t)x << (16 + shift)) >> 16);
}

static wide first_quarter(fe_complex z, unsigned shift) {
    return quarter((fe_complex){shifted(z.r, shift), shifted(z.i, shift)});
}

static void first_pass(fe_bin *bins, unsigned shift) {
    for (fe_bin *x = bins; x < bins + FE_FFT / 2; x += 4) {
        butterfly(x, 1, first_quarter(x[0].z, shift), first_quarter(x[1].z, shift),
                  first_quarter(x[2].z, shift), first_quarter(x[3].z, shift));
    }
}

/* Combines groups of four m-point transforms. The outer loop is over twiddles, so each is loaded once.
 * Inlined for each m, as the offsets then are part of the load and store instructions. */
INLINE void pass(fe_bin *bins, unsigned m) {
    const unsigned stride = FE_FFT / 2 / 4 / m;
    pass_without_rotation(bins, m);
    for (unsigned k = 1; k < m; k++) {
        const fe_complex *w = &fe_twiddle[3 * stride * k];
        const fe_complex w1 = w[0], w2 = w[1], w3 = w[2];
        for (fe_bin *x = bins + k; x < bins + FE_FFT / 2; x += 4 * m) {
            butterfly(x, m, quarter(x[0].z), rotate(quarter(x[m].z), w1), rotate(quarter(x[2 * m].z), w2),
                      rotate(quarter(x[3 * m].z), w3));
        }
    }
}

static int32_t half(int16_t x) {
    return round15(x * (32767 / 2));
}

/* At most 2 * 32767^2, since the split halves sums of two 16-bit numbers: an int32_t holds it. */
static uint32_t energy(int32_t r, int32_t i) {
    return (uint32_t)(r * r + i * i);
}

/* Separates the spectra of even and odd samples (kiss_fftr) and squares: bins k and 256 - k together. */
static void split(fe_bin *bins) {
    for (unsigned k = FE_BIN_FIRST; k <= FE_FFT / 4; k++) {
        fe_bin *low = &bins[k], *high = &bins[FE_FFT / 2 - k];
        const wide p = {half(low->z.r), half(low->z.i)};
        const wide q = {half(high->z.r), half((int16_t)-high->z.i)};
        const wide sum = {p.r + q.r, p.i + q.i}, difference = {p.r - q.r, p.i - q.i};
        wide t = rotate(difference, fe_split_twiddle[k]);
        t = (wide){(int16_t)t.r, (int16_t)t.i};
        low->energy = energy((sum.r + t.r) >> 1, (sum.i + t.i) >> 1);
        /* Second, because at k = 128 both are one bin and the reference keeps this value. */
        high->energy = energy((sum.r - t.r) >> 1, (t.i - sum.i) >> 1);
    }
}

void fe_power_spectrum(fe_bin bins[FE_FFT / 2], unsigned shift) {
    first_pass(bins, shift);
    pass(bins, 4);
    pass(bins, 16);
    pass(bins, 64);
    split(bins);
}
