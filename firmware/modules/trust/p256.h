/* Checks ECDSA signatures over NIST's curve P-256 (FIPS 186-5, SEC 1) with the chip's own mbedTLS.
 *
 * Nothing secret is handled here, and nothing of ours stays allocated between calls (the PSA API keeps its
 * table of keys). */
#ifndef CICADA_P256_H
#define CICADA_P256_H

#include <stdint.h>

#define P256_KEY 65       /* 0x04, X, Y: an uncompressed point (SEC 1, 2.3.3) */
#define P256_SIGNATURE 64 /* r, s, both 32 bytes, most significant first */
#define P256_DIGEST 32    /* SHA-256 of what was signed */

typedef enum {
    P256_VALID,
    P256_INVALID,   /* the signature is not of this digest by this key */
    P256_NO_KEY,    /* the key is not a point of the curve, or not in the form above */
    P256_NO_MEMORY, /* a few kilobytes of heap are needed for the time of the call */
    P256_FAILED,    /* anything else the library reports */
} p256_result;

p256_result p256_verify(const uint8_t key[P256_KEY], const uint8_t signature[P256_SIGNATURE],
                        const uint8_t digest[P256_DIGEST]);

#endif
