/* Streaming features of vibration: frames of an accelerometer in, log band powers and statistics out.
 *
 * A window is `samples` frames, and the next one begins where it ends. For each axis of a window, with
 * x its samples, N their number and m = sum(x) / N:
 *
 *   variance  V = sum((x - m)^2) / N                                         exact
 *   spectrum  X = FFT of (x - m) (1/2 - cos(2 pi n / N) / 2), n = 0..N-1      Hann's window, periodic
 *   band      B_b = 16/3 sum(|X_k|^2) / N^2, k = edge[b] .. edge[b+1] - 1
 *
 * 16/3 is 2 for the other half of the spectrum times 8/3, what the window takes off the power of noise
 * (F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform", Proc.
 * IEEE 66, 1978: 1 / mean(w^2)). So the bands of noise add up to V. Without the mean, gravity and the offset
 * of the sensor leave no trace. edge[0] = 1, edge[bands] = N / 2, and each other edge is the first k above
 * the last edge that divides what is left at least evenly, by the logarithm: log2(k) >= log2(edge[b]) +
 * (log2(N / 2) - log2(edge[b])) / (bands - b). The bins 0 and N / 2 belong to no band.
 *
 * Features of an axis, int8, saturating at -128 and 127, with p = max|x - m|:
 *
 *   bands     round(6 log2(B_b)) - 53     a step is half a decibel; 0 is a band of 21 counts RMS
 *   level     round(6 log2(V)) - 53       the same scale; 127 is full scale
 *   crest     round(24 log2(p^2 / V)) - 128                        crest factor, a step is 1/8 decibel
 *   kurtosis  round(24 log2(N sum(d^4) / sum(d^2)^2)) - 128        a sine -114, Gauss -90; shocks more
 *   envelope  round(12 log2(E_b)) + 127   a step is 1/4 decibel; see below
 *
 * d is x - m, rounded to 13 bits below p where it has more. -128 is all that a constant axis gives. Crest
 * and kurtosis are the usual first signs of a damaged bearing (R. B. Randall, J. Antoni, "Rolling element
 * bearing diagnostics: a tutorial", Mechanical Systems and Signal Processing 25, 2011).
 *
 * The envelope is what that tutorial finds bearing faults with: each rolling over a damaged place rings a
 * resonance of the structure, so how often that happens shows in the amplitude of the high frequencies, not
 * in the spectrum itself. If it is wanted, with M = N/2 points at half the sample rate, K = 3N/8 and Hann's
 * window h_n = 1/2 - cos(2 pi n / M) / 2:
 *
 *   carrier   a_n = sum(X_k / |X_k| exp(2 pi j k n / M)), k = N/8 .. N/2 - 1      from 1/8 of the sample rate
 *   envelope  u_n = h_n (|a_n| - sum(h |a|) / sum(h))
 *   band      E_b = 16/3 sum(o_k |FFT(u)_k|^2) / (K M^2)
 *
 * a is the analytic signal of the upper three quarters of the spectrum with all amplitudes made equal. So a
 * tone that is louder than the resonance does not hide it, nor need one know where it lies (P. Borghesani, P.
 * Pennacchi, R. B. Randall, N. Sawalhi, R. Ricci, "Application of cepstrum pre-whitening for the diagnosis of
 * bearing faults under variable speed conditions", Mechanical Systems and Signal Processing 36, 2013). K is
 * the mean of |a|^2, so E_b is a share of it, whatever the gain: 127 is all of it. Where X_k is 0 so is its
 * share of a. Noise has 12 to 20 in a bin of 1024 samples, but 67 in bins 1 and 2: some of the window of X is
 * left in a, so modulation as slow as that does not show.
 *
 * Up to N/8 the spectrum of |a|^2 has no alias, so the bands end there. Bin k covers k - 1/2 .. k + 1/2, and
 * o_k is how much of it the band does. The edges are fractions of bins, evenly spaced by the logarithm and
 * rounded up to 1/256. They go from bin 1 to N/8; or, once vib_set_speed has told the speed of the shaft,
 * from 3/4 of an order, which is a multiple of its frequency, to 24 orders: then bands mean the same at any
 * speed. Edges outside 1/2 .. N/8 are moved there, and a band that covers nothing is -128. The bands of the
 * spectrum do not follow the speed: they show resonances of the structure, which do not either.
 *
 * Integers throughout: N = 256, 512 or 1024 keeps every sum exact in 64 bits, see the files. The caller owns
 * the memory; nothing here allocates, calls the operating system or touches floating point.
 */
#ifndef CICADA_VIBRATION_H
#define CICADA_VIBRATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VIB_BANDS_MIN 8
#define VIB_BANDS_MAX 32
#define VIB_ENVELOPE_MIN 8
#define VIB_ENVELOPE_MAX 32
#define VIB_AXES_MAX 3
#define VIB_STATISTICS 3 /* features of an axis beside its bands: level, crest, kurtosis */

/* Lies at the start of a stream's memory. Its members are private. */
typedef struct {
    uint16_t samples; /* of a window */
    uint16_t filled;  /* frames of the window that are there */
    uint8_t bits;     /* log2(samples) */
    uint8_t bands;
    uint8_t axes;
    uint8_t envelope;                     /* bands of it */
    uint16_t edges[VIB_BANDS_MAX + 1];    /* bands[b] is the bins edges[b] .. edges[b + 1] - 1 */
    uint16_t lines[VIB_ENVELOPE_MAX + 1]; /* edges of the envelope's bands, in 1/256 of a bin */
} vib_state;

/* Bytes of memory one stream takes, 0 for numbers that vib_init refuses: 4 a sample to work in and 2 a sample
 * and axis. */
size_t vib_size(unsigned samples, unsigned bands, unsigned axes, unsigned envelope);

/* Prepares vib_size() bytes, aligned as for a uint64_t. False unless samples is 256, 512 or 1024, bands 8 to
 * 32, axes 1 or 3 and envelope 0 (none) or 8 to 32. */
bool vib_init(vib_state *s, unsigned samples, unsigned bands, unsigned axes, unsigned envelope);

/* Lets the envelope's bands follow the orders of a shaft from the next window on: rate in tenths of frames a
 * second, speed in tenths of revolutions a minute. Speed 0, as after vib_init, is one that is not known.
 * False, and nothing is changed, if there is no envelope, or the rate is 0. */
bool vib_set_speed(vib_state *s, uint32_t rate, uint32_t speed);

/* Forgets the frames of the window that is not complete. */
void vib_reset(vib_state *s);

/* Features of a window: axes * (bands + VIB_STATISTICS + envelope). */
size_t vib_features(const vib_state *s);

/* Takes n frames of axes samples each, and returns the number of windows they complete. If it is not 0,
 * features[axes][bands + VIB_STATISTICS + envelope] are those of the last one. */
size_t vib_feed(vib_state *s, const int16_t *frames, size_t n, int8_t *features);

#ifdef __cplusplus
}
#endif

#endif
