/* Crops a camera's frame and scales the crop to a model's input.
 *
 * Every output pixel is the mean of the part of the frame it covers, each frame pixel weighted by the area
 * of its overlap, rounded half up. The arithmetic is exact in 32-bit integers, so that all machines give the
 * same bytes. An area mean is used because models take small pictures: bilinear sampling would look at four
 * pixels and skip the rest, which turns fine texture and noise into false shapes. Enlarging works, too, and
 * gives hard-edged blocks. No heap, no float, no state.
 */
#ifndef CICADA_SCALE_H
#define CICADA_SCALE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Largest width and height of frames and of results, so that 32-bit sums cannot overflow. */
#define IMG_SIDE_MAX 4096

/* Left upper corner and size, in pixels of the frame. */
typedef struct {
    uint32_t x, y, width, height;
} img_rect;

/* How one pixel is stored. */
typedef enum {
    IMG_GRAY,   /* a byte, 0 black */
    IMG_INT8,   /* as a result only: gray minus 128, int8, what quantised models take */
    IMG_RGB565, /* two bytes, high byte first, as the OV2640 and esp32-camera deliver it */
} img_form;

/* Bytes of one pixel. */
uint32_t img_bytes(img_form form);

/* The largest rectangle of the aspect ratio width:height in the middle of a frame; all sizes 1 to
 * IMG_SIDE_MAX. */
img_rect img_centred(uint32_t frame_width, uint32_t frame_height, uint32_t width, uint32_t height);

/* Whether all sizes are 1 to IMG_SIDE_MAX and the crop lies within the frame. */
bool img_fits(uint32_t frame_width, uint32_t frame_height, const img_rect *crop, uint32_t width,
              uint32_t height);

/* Scales the crop of a frame to width x height pixels at out. frame_width is that of the whole frame, whose
 * rows lie without gaps; the frame holds RGB565 if form is that, else gray bytes. Channels of RGB565 are
 * averaged in their own 5 and 6 bits. The caller has checked img_fits; out overlaps no frame. */
void img_scale(const uint8_t *frame, uint32_t frame_width, const img_rect *crop, uint8_t *out, uint32_t width,
               uint32_t height, img_form form);

#ifdef __cplusplus
}
#endif

#endif
