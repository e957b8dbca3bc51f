/* A heap for p256.c in a shared library: counts blocks, and fails when told. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int blocks;        /* now taken */
int fails_at = -1; /* this many allocations succeed, then one fails; negative: all succeed */

void *testing_calloc(size_t count, size_t size);
void testing_free(void *block);
int mbedtls_psa_external_get_random(void *context, uint8_t *out, size_t size, size_t *length);

void *testing_calloc(size_t count, size_t size) {
    if (fails_at >= 0 && fails_at-- == 0) {
        return NULL;
    }
    blocks++;
    return calloc(count, size);
}

void testing_free(void *block) {
    blocks -= block != NULL;
    free(block);
}

/* The PSA API wants a source of random numbers at its start; checking signatures draws none. */
int mbedtls_psa_external_get_random(void *context, uint8_t *out, size_t size, size_t *length) {
    (void)context, (void)out, (void)size;
    *length = 0;
    return -1;
}
