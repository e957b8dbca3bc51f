/* What both pools have in common. Not for callers. */
#ifndef CICADA_RUNTIME_POOL_H
#define CICADA_RUNTIME_POOL_H

#include "sum.h"

/* NULL, or what is wrong with a pool's record. */
const char *cpm_pool_check(const cpm_checker *checker, const cpm_op *op);

/* One output pixel: its values, from the input of one area. */
typedef void (*cpm_pool_fn)(const cpm_model *model, const cpm_pool *pool, const cpm_area *area, int8_t *out);

/* Calls `pixel` for each output pixel in raster order, with the part of its window that is no padding. */
void cpm_pool_each(const cpm_model *model, const cpm_op *op, cpm_pool_fn pixel);

#endif
