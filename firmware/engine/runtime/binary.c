#include "binary.h"

/* A dimension of a or b is that of out, or 1 and repeats. */
static bool repeats(const cpm_view *view, const cpm_view *out) {
    return (view->h == out->h || view->h == 1) && (view->w == out->w || view->w == 1) &&
           (view->c == out->c || view->c == 1);
}

bool cpm_binary_fits(const cpm_checker *checker, const cpm_op *op) {
    const cpm_binary *const binary = (const void *)op;
    return CPM_LENGTH(op, cpm_binary) && op->in_ring == 0 && cpm_view_fits(checker, &binary->a, 0) &&
           cpm_view_fits(checker, &binary->b, 0) && cpm_view_fits(checker, &binary->out, op->out_ring) &&
           repeats(&binary->a, &binary->out) && repeats(&binary->b, &binary->out) &&
           (unsigned)(binary->a_offset + 255) <= 510 && (unsigned)(binary->b_offset + 255) <= 510 &&
           binary->low <= binary->high;
}

/* Bytes from a row's or pixel's start to the next one's, or 0 where there is one alone. */
static uint32_t step(uint32_t count, uint32_t distance) {
    return count == 1 ? 0 : distance;
}

void cpm_binary_each(const cpm_model *model, const cpm_op *op, cpm_binary_fn values) {
    const cpm_binary *const binary = (const void *)op;
    const cpm_view *const a = &binary->a, *const b = &binary->b, *const out = &binary->out;
    const uint32_t step_a = a->c != 1 || out->c == 1, step_b = b->c != 1 || out->c == 1;
    const uint32_t pixel_a = step(a->w, a->pitch), pixel_b = step(b->w, b->pitch);
    /* A row is one stretch if no pixel of it is followed by a gap or repeats. */
    const bool whole = (out->w == 1 || (pixel_a == out->c && pixel_b == out->c && out->pitch == out->c)) &&
                       step_a == 1 && step_b == 1;
    const uint32_t count = whole ? (uint32_t)out->w * out->c : out->c, pixels = whole ? 1 : out->w;
    for (uint32_t y = 0; y < out->h; y++) {
        const int8_t *from_a = cpm_memory(model, a->at + y * step(a->h, a->row));
        const int8_t *from_b = cpm_memory(model, b->at + y * step(b->h, b->row));
        int8_t *to = cpm_row_at(model, out, op->out_ring, y);
        for (uint32_t x = 0; x < pixels; x++) {
            values(binary, from_a, step_a, from_b, step_b, to, count);
            from_a += pixel_a;
            from_b += pixel_b;
            to += out->pitch;
        }
    }
}
