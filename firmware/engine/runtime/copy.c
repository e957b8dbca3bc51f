/* Moves of bytes in four dimensions: slices, concatenations, transpositions, rows into and out of rings.
 *
 *     out[out_at + i * out_step[0] + ... + l * out_step[3]] = in[in_at + i * in_step[0] + ... + l *
 * in_step[3]]
 */
#include <string.h>

#include "kernel.h"

/* One side: where it begins, how far it goes, and in which ring. */
static bool side_fits(const cpm_checker *checker, uint32_t at, const uint16_t *dims, const int32_t *steps,
                      unsigned ring) {
    /* The lowest and highest byte, from `at` on, that dimensions 1 to 3 reach; at most 2^49. */
    int64_t low = 0, high = 0;
    for (unsigned i = 1; i < 4; i++) {
        const int64_t reach = (int64_t)steps[i] * (dims[i] - 1);
        *(reach < 0 ? &low : &high) += reach;
    }
    const int64_t rows = (int64_t)steps[0] * (dims[0] - 1);
    if (ring == 0) {
        low += rows < 0 ? rows : 0;
        high += rows > 0 ? rows : 0;
        return (int64_t)at + low >= 0 && (int64_t)at + high < checker->header->arena;
    }
    const cpm_header *const header = checker->header;
    const cpm_ring *const r = (const cpm_ring *)(const void *)(checker->blob + header->rings_at) + (ring - 1);
    const int64_t column = at % r->row;
    return steps[0] >= 0 && (uint32_t)steps[0] == r->row && dims[0] <= r->rows && at < r->row * r->rows &&
           column + low >= 0 && column + high < r->row;
}

static const char *check(const cpm_checker *checker, const cpm_op *op) {
    const cpm_copy *const copy = (const void *)op;
    if (!CPM_LENGTH(op, cpm_copy) || copy->dims[0] == 0 || copy->dims[1] == 0 || copy->dims[2] == 0 ||
        copy->dims[3] == 0 || !side_fits(checker, copy->in_at, copy->dims, copy->in_step, op->in_ring) ||
        !side_fits(checker, copy->out_at, copy->dims, copy->out_step, op->out_ring) ||
        (copy->contiguous && (copy->in_step[3] != 1 || copy->out_step[3] != 1))) {
        return "a copy does not fit";
    }
    return NULL;
}

static void run(const cpm_model *model, const cpm_op *op) {
    const cpm_copy *const copy = (const void *)op;
    const cpm_view from = {.at = copy->in_at, .row = (uint32_t)copy->in_step[0]};
    const cpm_view to = {.at = copy->out_at, .row = (uint32_t)copy->out_step[0]};
    for (uint32_t i = 0; i < copy->dims[0]; i++) {
        const int8_t *in_row = cpm_row(model, &from, op->in_ring, i);
        int8_t *out_row = cpm_row(model, &to, op->out_ring, i);
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
