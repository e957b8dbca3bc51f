/* Windows without their padding, and sums over them: for pools and means. Not for callers. */
#ifndef CICADA_RUNTIME_AREA_H
#define CICADA_RUNTIME_AREA_H

#include "kernel.h"

/* Rows y0 to y1 - 1, pixels x0 to x1 - 1 of an input. */
typedef struct {
    uint32_t y0, y1, x0, x1;
} cpm_area;

/* One output pixel, at `out`, of an area of the input. */
typedef void (*cpm_area_fn)(const cpm_model *model, const cpm_op *op, const cpm_area *area, int8_t *out);

/* Calls `pixel` for each output pixel in raster order, with the part of its window that is no padding. The
 * record begins with its input and output views; dilations are 1. */
void cpm_areas(const cpm_model *model, const cpm_op *op, const cpm_window *window, cpm_area_fn pixel);

/* The record of a pool fits. */
bool cpm_pool_fits(const cpm_checker *checker, const cpm_op *op);

/* Sums of the record's input over an area, of each of `count` channels (1 or 4) from channel k on. The area
 * has at most 2^23 pixels. */
void cpm_sum(const cpm_model *model, const cpm_op *op, const cpm_area *area, uint32_t k, unsigned count,
             int32_t *sums);

#endif
