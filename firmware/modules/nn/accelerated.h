/* Kernels for this chip that run plain records of packed models, where a build has them (NN_ACCELERATED). */
#ifndef CICADA_NN_ACCELERATED_H
#define CICADA_NN_ACCELERATED_H

#include "runtime/kernel.h"

/* By kind, NULL for those that the portable kernels run: for cpm_accelerate. */
extern const cpm_kernel *const nn_accelerated[CPM_KINDS];

#endif
