/* What the module needs of the machine below. */
#ifndef CICADA_NN_PLATFORM_H
#define CICADA_NN_PLATFORM_H

#include <stddef.h>

/* Why a partition cannot be mapped. */
typedef enum { NN_MAPPED, NN_NO_PARTITION, NN_NO_ROOM } nn_mapping;

/* Maps the data partition `label` into memory, once: every later call gives the same address. */
nn_mapping nn_map_partition(const char *label, const void **data, size_t *size);

#endif
