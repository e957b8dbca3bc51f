/* Sums over a rectangle of pixels, for means and average pools. Not for callers. */
#ifndef CICADA_RUNTIME_SUM_H
#define CICADA_RUNTIME_SUM_H

#include "kernel.h"

/* Rows y0 to y1 - 1, pixels x0 to x1 - 1. */
typedef struct {
    uint32_t y0, y1, x0, x1;
} cpm_area;

/* Of each of `count` channels (1 or 4) from channel k on. The area has at most 2^23 pixels. */
void cpm_sum(const cpm_model *model, const cpm_view *view, unsigned ring, const cpm_area *area, uint32_t k,
             unsigned count, int32_t *sums);

#endif
