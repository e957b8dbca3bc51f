/* Samples of an I2S microphone as the front end wants them. */
#ifndef CICADA_PCM_H
#define CICADA_PCM_H

#include <stddef.h>
#include <stdint.h>

/* Turns `count` stereo frames of 32-bit samples into mono of 16 bits.

   I2S microphones send up to 24 bits, left-justified in a slot of 32, in one of a frame's two slots
   (INMP441 datasheet, "Understanding sensitivity" and "I2S data interface"); the other slot is silent.
   `slot` is 0 or 1. `gain_bits` (0 to 16) says how many of the bits below the upper 16 are kept: each
   doubles the sound, and what no longer fits is clipped.

   Returns the distance from the lowest to the highest sample written, 0 to 65535: 0 for a slot that
   carries nothing. */
uint32_t pcm_mono16(const int32_t *frames, size_t count, unsigned slot, unsigned gain_bits, int16_t *out);

/* What `level` is before the first sample. */
#define PCM_NO_LEVEL INT32_MIN

/* The same without what is constant in the signal, for microphones that add a part of full scale to it: a
   high-pass filter of one pole, -3 dB at 1.2 Hz at 16 kHz, before the gain. It sees the upper 20 bits, and
   `gain_bits` is 0 to 8. `level` is its memory: where the signal lies, times 2^11; PCM_NO_LEVEL takes the
   first sample for it. */
uint32_t pcm_mono16_centred(const int32_t *frames, size_t count, unsigned slot, unsigned gain_bits,
                            int32_t *level, int16_t *out);

#endif
