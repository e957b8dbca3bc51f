/* What ADD, SUB and MUL have in common. Not for callers. */
#ifndef CICADA_RUNTIME_BINARY_H
#define CICADA_RUNTIME_BINARY_H

#include "kernel.h"

/* Views, offsets and clamps of the record are right. */
bool cpm_binary_fits(const cpm_checker *checker, const cpm_op *op);

/* `count` values of out; those of a and b lie `step_a` and `step_b` bytes apart, 0 or 1. */
typedef void (*cpm_binary_fn)(const cpm_binary *binary, const int8_t *a, uint32_t step_a, const int8_t *b,
                              uint32_t step_b, int8_t *out, uint32_t count);

/* Calls `values` for stretches of the output, in raster order. */
void cpm_binary_each(const cpm_model *model, const cpm_op *op, cpm_binary_fn values);

#endif
