/* The parts of mbedTLS 3 that checking a P-256 signature takes, for interpreters outside ESP-IDF. */
#define MBEDTLS_ASN1_PARSE_C
#define MBEDTLS_ASN1_WRITE_C
#define MBEDTLS_BIGNUM_C
#define MBEDTLS_ECDSA_C
#define MBEDTLS_ECP_C
#define MBEDTLS_ECP_DP_SECP256R1_ENABLED
/* As ESP-IDF's default configuration has it: reduction modulo the curve's prime by shifts and additions. */
#define MBEDTLS_ECP_NIST_OPTIM
/* `calloc` and `free`, counted and bounded: see heap.c. */
#define MBEDTLS_PLATFORM_C
#define MBEDTLS_PLATFORM_MEMORY
#define MBEDTLS_PLATFORM_CALLOC_MACRO testing_calloc
#define MBEDTLS_PLATFORM_FREE_MACRO testing_free
#include <stddef.h>
void *testing_calloc(size_t count, size_t size);
void testing_free(void *block);

/* Beside it, for the tests of the other way to ask. */
#if TRUST_PSA
#define MBEDTLS_PSA_CRYPTO_C
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG
#define MBEDTLS_PSA_CRYPTO_CONFIG
#define MBEDTLS_PSA_CRYPTO_CONFIG_FILE "trust_psa_config.h"
#endif
