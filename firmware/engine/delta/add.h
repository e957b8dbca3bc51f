/* Differences of a firmware update: bytes added to bytes. */
#ifndef CICADA_DELTA_ADD_H
#define CICADA_DELTA_ADD_H

#include <stddef.h>
#include <stdint.h>

/* Adds `count` bytes of `difference` to those of `target`, each modulo 256, in place. Neither needs to be
   aligned; where both are at the same distance from a multiple of 4 it is quicker. They may be the same
   bytes, but must not overlap otherwise. */
void delta_add(uint8_t *target, const uint8_t *difference, size_t count);

#endif
