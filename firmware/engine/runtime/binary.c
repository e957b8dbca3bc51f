#include "small.h"

#include "binary.h"

/* Each dimension is that of out, or 1 and repeats. */
static bool repeats(const cpm_view *view, const cpm_view *out) {
    return (view->h == out->h || view->h == 1) && (view->w == out->w || view->w == 1) &&
           (view->c == out->c || view->c == 1);
}

bool cpm_binary_fits(const cpm_op *op) {
    const cpm_binary *const binary = (const void *)op;
    return op->in_ring == 0 && repeats(&binary->a, &binary->out) && repeats(&binary->b, &binary->out) &&
           (unsigned)(binary->a_offset + 255) <= 510 && (unsigned)(binary->b_offset + 255) <= 510 &&
           binary->low <= binary->high;
}

bool cpm_unary_fits(const cpm_op *op) {
    const cpm_view *const in = &((const cpm_lut *)(const void *)op)->in, *const out = in + 1;
    return in->h == out->h && in->w == out->w && in->c == out->c;
}

/* Bytes from a row's or pixel's start to the next one's, or 0 where there is one alone. */
static uint32_t step(uint32_t count, uint32_t distance) {
    return count == 1 ? 0 : distance;
}

void cpm_each(const cpm_model *model, const cpm_op *op, unsigned inputs, cpm_values_fn values) {
    const cpm_view *const a = &((const cpm_binary *)(const void *)op)->a;
    const cpm_view *const b = inputs == 2 ? a + 1 : a, *const out = a + inputs;
    const uint32_t step_a = a->c != 1 || out->c == 1, step_b = b->c != 1 || out->c == 1;
    const uint32_t pixel_a = step(a->w, a->pitch), pixel_b = step(b->w, b->pitch);
    uint32_t count = out->c, pixels = out->w;
    /* A row is one stretch if no pixel of it is followed by a gap or repeats. */
    if ((pixels == 1 || (pixel_a == count && pixel_b == count && out->pitch == count)) && step_a & step_b) {
        count *= pixels;
        pixels = 1;
    }
    for (uint32_t y = 0; y < out->h; y++) {
        int8_t *to = cpm_row_at(model, out, op->out_ring, y);
        const int8_t *from_a = to, *from_b = to;
        if (inputs != 0) {
            from_a = cpm_row_at(model, a, op->in_ring, a->h == 1 ? 0 : y);
        }
        if (inputs == 2) {
            from_b = cpm_memory(model, b->at + y * step(b->h, b->row));
        }
        for (uint32_t x = pixels; x != 0; x--) {
            values(model, op, from_a, step_a, from_b, step_b, to, count);
            from_a += pixel_a;
            from_b += pixel_b;
            to += out->pitch;
        }
    }
}
