/* Moves of bytes in four dimensions: slices, concatenations, transpositions, rows into and out of rings.
 *
 *     out[out_at + i * out_step[0] + ... + l * out_step[3]] = in[in_at + i * in_step[0] + ... + l *
 * in_step[3]]
 */
#include "small.h"

#include <string.h>

#include "kernel.h"

/* One side: where it begins, how far it goes, and in which ring. */
static bool side_fits(const cpm_checker *checker, uint32_t at, const uint16_t *dims, const int32_t *steps,
                      unsigned ring) {
    const cpm_header *const header = checker->header;
    const uint32_t arena = header->arena; /* less than 2^29 */
    uint32_t below = 0, above = 0;        /* bytes from `at` to the lowest and to the highest one */
    for (unsigned i = ring != 0; i < 4; i++) {
        const int32_t step = steps[i];
        const uint64_t reach = (uint64_t)(step < 0 ? 0 - (uint32_t)step : (uint32_t)step) * (dims[i] - 1u);
        if (dims[i] == 0 || reach > arena) {
            return false;
        }
        *(step < 0 ? &below : &above) += (uint32_t)reach;
    }
    uint32_t size = arena;
    if (ring != 0) { /* all but the rows stays within a row */
        const cpm_ring *const r =
            (const cpm_ring *)(const void *)(checker->blob + header->rings_at) + (ring - 1);
        size = r->row;
        if ((uint32_t)steps[0] != size || dims[0] - 1u >= r->rows || at >= size * r->rows) {
            return false;
        }
        at %= size;
    }
    return at < size && below <= at && above < size - at;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_copy *const copy = (const void *)op;
    return cpm_fits(side_fits(checker, copy->in_at, copy->dims, copy->in_step, op->in_ring) &&
                    side_fits(checker, copy->out_at, copy->dims, copy->out_step, op->out_ring) &&
                    (!copy->contiguous || (copy->in_step[3] == 1 && copy->out_step[3] == 1)));
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_copy *const copy = (const void *)op;
    const cpm_view from = {.at = copy->in_at, .row = (uint32_t)copy->in_step[0]};
    const cpm_view to = {.at = copy->out_at, .row = (uint32_t)copy->out_step[0]};
    for (uint32_t i = 0; i < copy->dims[0]; i++) {
        const int8_t *in_row = cpm_row_at(model, &from, op->in_ring, i);
        int8_t *out_row = cpm_row_at(model, &to, op->out_ring, i);
        for (unsigned j = copy->dims[1]; j != 0; j--) {
            const int8_t *in_pixel = in_row;
            int8_t *out_pixel = out_row;
            for (unsigned k = copy->dims[2]; k != 0; k--) {
                if (copy->contiguous) {
                    /* As a blob may name places that overlap; its results are then its own affair. */
                    memmove(out_pixel, in_pixel, copy->dims[3]);
                } else {
                    const int8_t *in = in_pixel;
                    int8_t *out = out_pixel;
                    for (unsigned l = copy->dims[3]; l != 0; l--) {
                        *out = *in;
                        in += copy->in_step[3];
                        out += copy->out_step[3];
                    }
                }
                in_pixel += copy->in_step[2];
                out_pixel += copy->out_step[2];
            }
            in_row += copy->in_step[1];
            out_row += copy->out_step[1];
        }
    }
}

const cpm_kernel cpm_kernel_copy = {check, run};
