#include "scale.h"

/* The pixels of one axis that one output pixel covers, and their weights: lengths in units of 1/out of a
 * frame pixel, which makes them integers. A single pixel has all its weight in `head`. */
typedef struct {
    uint32_t first, last;
    uint32_t head, body, tail;
} span;

/* What output pixel `at` of `out` covers of `in` pixels. Products stay below 2^24. */
static span covered(uint32_t at, uint32_t in, uint32_t out) {
    const uint32_t begin = at * in, end = begin + in;
    span s = {begin / out, (end - 1) / out, in, out, 0};
    if (s.first != s.last) {
        s.head = (s.first + 1) * out - begin;
        s.tail = end - s.last * out;
    }
    return s;
}

static uint32_t weight(const span *s, uint32_t at) {
    return at == s->first ? s->head : at == s->last ? s->tail : s->body;
}

/* sum / area rounded half up. A weighted sum of bytes is at most 255 * 2^24, so this cannot overflow. */
static uint32_t mean(uint32_t sum, uint32_t area) {
    return (sum + area / 2) / area;
}

static uint8_t gray_mean(const uint8_t *corner, uint32_t stride, const span *h, const span *v,
                         uint32_t area) {
    uint32_t sum = 0;
    for (uint32_t y = v->first; y <= v->last; y++) {
        const uint8_t *row = corner + y * stride;
        uint32_t middle = 0, line = row[h->first] * h->head;
        for (uint32_t x = h->first + 1; x < h->last; x++) {
            middle += row[x];
        }
        line += middle * h->body + row[h->last] * h->tail;
        sum += line * weight(v, y);
    }
    return (uint8_t)mean(sum, area);
}

static void rgb565_mean(const uint8_t *corner, uint32_t stride, const span *h, const span *v, uint32_t area,
                        uint8_t out[2]) {
    uint32_t red = 0, green = 0, blue = 0;
    for (uint32_t y = v->first; y <= v->last; y++) {
        const uint8_t *row = corner + y * stride;
        const uint32_t down = weight(v, y);
        for (uint32_t x = h->first; x <= h->last; x++) {
            const uint32_t pixel = (uint32_t)row[2 * x] << 8 | row[2 * x + 1];
            const uint32_t w = weight(h, x) * down;
            red += (pixel >> 11) * w;
            green += (pixel >> 5 & 63) * w;
            blue += (pixel & 31) * w;
        }
    }
    const uint32_t pixel = mean(red, area) << 11 | mean(green, area) << 5 | mean(blue, area);
    out[0] = (uint8_t)(pixel >> 8);
    out[1] = (uint8_t)pixel;
}

uint32_t img_bytes(img_form form) {
    return form == IMG_RGB565 ? 2 : 1;
}

img_rect img_centred(uint32_t frame_width, uint32_t frame_height, uint32_t width, uint32_t height) {
    img_rect r = {0, 0, frame_width, frame_height};
    if (frame_width * height > frame_height * width) {
        r.width = frame_height * width / height;
    } else {
        r.height = frame_width * height / width;
    }
    /* A sliver of a frame still shows one pixel. */
    r.width += r.width == 0;
    r.height += r.height == 0;
    r.x = (frame_width - r.width) / 2;
    r.y = (frame_height - r.height) / 2;
    return r;
}

static bool side(uint32_t n) {
    return n >= 1 && n <= IMG_SIDE_MAX;
}

bool img_fits(uint32_t frame_width, uint32_t frame_height, const img_rect *crop, uint32_t width,
              uint32_t height) {
    return side(frame_width) && side(frame_height) && side(width) && side(height) && side(crop->width) &&
           side(crop->height) && crop->x <= frame_width - crop->width &&
           crop->y <= frame_height - crop->height && crop->width <= frame_width &&
           crop->height <= frame_height;
}

void img_scale(const uint8_t *frame, uint32_t frame_width, const img_rect *crop, uint8_t *out, uint32_t width,
               uint32_t height, img_form form) {
    const uint32_t bytes = img_bytes(form), stride = frame_width * bytes, area = crop->width * crop->height;
    const uint8_t *corner = frame + crop->y * stride + crop->x * bytes;
    const uint8_t flip = form == IMG_INT8 ? 0x80 : 0; /* gray - 128 as int8 has the bits of gray ^ 0x80 */
    for (uint32_t y = 0; y < height; y++) {
        const span v = covered(y, crop->height, height);
        for (uint32_t x = 0; x < width; x++, out += bytes) {
            const span h = covered(x, crop->width, width);
            if (form == IMG_RGB565) {
                rgb565_mean(corner, stride, &h, &v, area, out);
            } else {
                *out = gray_mean(corner, stride, &h, &v, area) ^ flip;
            }
        }
    }
}
