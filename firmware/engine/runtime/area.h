/* Windows without their padding, and sums and maxima over them: for pools and means. Not for callers. */
#ifndef CICADA_RUNTIME_AREA_H
#define CICADA_RUNTIME_AREA_H

#include "kernel.h"

/* What a window covers of the input: rows y0 to y1 - 1, columns x0 to x1 - 1, together n pixels; `reciprocal`
 * is 2^32 / n cut down, made once as division takes the small CPUs up to 34 cycles. */
typedef struct {
    uint32_t y0, y1, x0, x1, n, reciprocal;
} cpm_area;

/* Makes the outputs of `count` channels of a pixel, at `out`, of what was found of each in an area. */
typedef void (*cpm_area_fn)(const cpm_op *op, const cpm_area *area, const int32_t *found, uint32_t count,
                            int8_t *out);

/* Calls `finish` for a few channels of an output pixel after the others, in raster order, with the sums over
 * their window's part that is no padding, or, of a maximum pool, the largest value there. The record begins
 * with its input and output views; dilations are 1. A window has at most 2^23 pixels. */
void cpm_areas(const cpm_model *model, const cpm_op *op, const cpm_window *window, cpm_area_fn finish);

/* The check of both pools. */
const char *cpm_check_pool(const cpm_checker *checker, const cpm_op *op);

#endif
