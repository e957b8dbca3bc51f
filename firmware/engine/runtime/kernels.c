/* All portable kernels. With CPM_NO_PLAIN without those for plain records, which only builds with accelerated
 * kernels have a use for: they stand in where such a kernel is wrong. */
#include "kernel.h"

const cpm_kernel *const cpm_kernels[CPM_KINDS] = {
    [CPM_CONV] = &cpm_kernel_conv,
    [CPM_DENSE] = &cpm_kernel_dense,
    [CPM_DEPTHWISE] = &cpm_kernel_depthwise,
    [CPM_COLUMN] = &cpm_kernel_column,
    [CPM_AVERAGE_POOL] = &cpm_kernel_average_pool,
    [CPM_MAX_POOL] = &cpm_kernel_max_pool,
    [CPM_MEAN] = &cpm_kernel_mean,
    [CPM_ADD] = &cpm_kernel_add,
    [CPM_MUL] = &cpm_kernel_mul,
    [CPM_SOFTMAX] = &cpm_kernel_softmax,
    [CPM_LUT] = &cpm_kernel_lut,
    [CPM_COPY] = &cpm_kernel_copy,
    [CPM_FILL] = &cpm_kernel_fill,
#ifndef CPM_NO_PLAIN
    [CPM_PLAIN_CONV] = &cpm_kernel_plain_conv,
    [CPM_PLAIN_DEPTHWISE] = &cpm_kernel_plain_depthwise,
#endif
};
