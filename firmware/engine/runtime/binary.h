/* What the kernels that make each value of the values at its place share. Not for callers. */
#ifndef CICADA_RUNTIME_BINARY_H
#define CICADA_RUNTIME_BINARY_H

#include "kernel.h"

/* Shapes, offsets and clamps of the record of an ADD, SUB or MUL are right. */
bool cpm_binary_fits(const cpm_op *op);

/* Input and output of the record have one shape. */
bool cpm_unary_fits(const cpm_op *op);

/* `count` values of out; those of a and b lie `step_a` and `step_b` bytes apart, 0 or 1. */
typedef void (*cpm_values_fn)(const cpm_model *model, const cpm_op *op, const int8_t *a, uint32_t step_a,
                              const int8_t *b, uint32_t step_b, int8_t *out, uint32_t count);

/* Calls `values` for stretches of whole pixels of the output, in raster order. The record begins with the
 * views of its inputs, one (which is a and b then) or two, and of its output. */
void cpm_each(const cpm_model *model, const cpm_op *op, unsigned inputs, cpm_values_fn values);

#endif
