/* Streaming log-mel front end for 16 kHz speech: PCM in, 40 features a frame out.
 *
 * Fixed point throughout and bit-exact to TensorFlow Lite Micro's microfrontend as the package
 * pymicro-features configures it. The caller owns the state; nothing here allocates, calls the
 * operating system or touches floating point. See docs/frontend.md.
 */
#ifndef CICADA_FRONTEND_H
#define CICADA_FRONTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FE_RATE 16000  /* samples a second */
#define FE_WINDOW 480  /* samples a frame looks at: 30 ms */
#define FE_FFT 512     /* points of the real FFT: the window and zeros */
#define FE_CHANNELS 40 /* features a frame */

typedef struct {
    int16_t r, i;
} fe_complex;

/* One FFT bin, first as amplitude, then as energy in the same place. */
typedef union {
    fe_complex z;
    uint32_t energy;
} fe_bin;

/* All there is between two calls (and the work space within one). Its members are private. */
typedef struct fe_state {
    fe_bin bins[FE_FFT / 2];
    uint32_t noise[FE_CHANNELS];
    int16_t samples[FE_WINDOW];
    uint16_t filled; /* samples present in the window */
    uint16_t step;   /* samples from one frame to the next */
} fe_state;

/* Prepares a state for frames every step_ms milliseconds, 10 or 20; false for any other step. */
bool fe_init(fe_state *s, unsigned step_ms);

/* Forgets all sound heard so far; the step stays. */
void fe_reset(fe_state *s);

/* sizeof(fe_state), for callers that cannot include this header. */
size_t fe_sizeof(void);

/* Number of frames that n more samples complete. */
size_t fe_frames(const fe_state *s, size_t n);

/* Feeds up to n samples and stops after one frame is complete. *consumed becomes the number of
 * samples taken. Returns 1 if out[] holds a new frame, else 0 (then all n samples were taken). */
int fe_feed(fe_state *s, const int16_t *pcm, size_t n, size_t *consumed, uint16_t out[FE_CHANNELS]);

/* Turns features into a model's int8 input: clamp(round(v * 5 / 13) - 128). This is the scaling of
 * TFLM's micro_speech example (256 / (25.6 * 26)); v * 5 / 13 is never halfway between integers. */
void fe_quantise(const uint16_t *in, int8_t *out, size_t n);

/* Feeds all n samples. Each new frame is quantised and appended to window, int8[frames][FE_CHANNELS]
 * with the oldest frame first, which moves up by one. Returns the number of new frames. */
size_t fe_push(fe_state *s, const int16_t *pcm, size_t n, int8_t *window, size_t frames);

/* Feeds all n samples. The first max new frames are written: frame k to raw[k][FE_CHANNELS] and,
 * quantised, to quantised[k][FE_CHANNELS]; either may be NULL. Returns the number written. */
size_t fe_batch(fe_state *s, const int16_t *pcm, size_t n, uint16_t *raw, int8_t *quantised, size_t max);

#ifdef __cplusplus
}
#endif

#endif
