/* CRC-32 (ISO-HDLC, as zlib's): of a blob, fast, and of any bytes. Not for callers. */
#ifndef CICADA_RUNTIME_CRC32_H
#define CICADA_RUNTIME_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* Of the first bytes of a message begin with 0; of those that follow, with what the ones before gave. */
uint32_t cpm_crc32(uint32_t before, const uint8_t *bytes, size_t count);

/* Of `count` words, not 0, at a multiple of 4, as they lie in memory (little-endian). Takes 812 bytes of
 * stack, and a third of the time. */
uint32_t cpm_crc32_words(const void *words, size_t count);

#endif
