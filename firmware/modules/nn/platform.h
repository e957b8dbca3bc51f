/* What the module needs of the machine below. */
#ifndef CICADA_NN_PLATFORM_H
#define CICADA_NN_PLATFORM_H

#include <stddef.h>

/* Most partitions that are mapped at a time: two model slots and the like. Pages of the flash cache are few
 * (64 of 64 KiB for all constant data on ESP32), and what is mapped stays so until a hard reset. */
#define NN_MAPPINGS 4

/* Whether a partition was mapped, or why not. */
typedef enum {
    NN_MAPPED,
    NN_NO_PARTITION, /* there is none of that name */
    NN_NO_ROOM,      /* no address space is left */
    NN_TOO_MANY,     /* NN_MAPPINGS others are mapped */
} nn_mapping;

/* Maps the data partition `label` into memory, once: every later call gives the same address. */
nn_mapping nn_map_partition(const char *label, const void **data, size_t *size);

#endif
