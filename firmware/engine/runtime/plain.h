/* What the two kernels of plain records share. Not for callers. */
#ifndef CICADA_RUNTIME_PLAIN_H
#define CICADA_RUNTIME_PLAIN_H

#include "kernel.h"

/* Shape, memory and scaling of a plain record fit; its weights have `depth` channels for each tap. */
bool cpm_plain_fits(const cpm_checker *checker, const cpm_op *op, uint32_t depth);

/* Runs it. An output value sees `depth` channels of the input: all of in.c, or 1. */
void cpm_plain_run(const cpm_model *model, const cpm_op *op, uint32_t depth);

#endif
