#include <stdbool.h>
#include <string.h>

#include "p256.h"

#include "mbedtls/version.h"

/* From version 4 on (ESP-IDF v6) mbedTLS offers its curves through the PSA API only. Tests set this to try
 * both with one version. */
#ifndef TRUST_PSA
#define TRUST_PSA (MBEDTLS_VERSION_MAJOR >= 4)
#endif

#if TRUST_PSA
#include "psa/crypto.h"
#else
#include "mbedtls/bignum.h"
#include "mbedtls/ecdsa.h"
#include "mbedtls/ecp.h"
#endif

/* Order n of the curve (SEC 2, 2.4.2). */
static const uint8_t ORDER[32] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
};

/* Whether 0 < n < order. Both libraries check this, too; that r = s = 0 must never pass is worth saying
 * twice. The values are public, so the time taken tells nothing. */
static bool in_range(const uint8_t n[32]) {
    static const uint8_t zero[32];
    return memcmp(n, zero, 32) != 0 && memcmp(n, ORDER, 32) < 0;
}

#if TRUST_PSA

static p256_result check(const uint8_t *key, const uint8_t *signature, const uint8_t *digest) {
    const psa_algorithm_t algorithm = PSA_ALG_ECDSA(PSA_ALG_SHA_256);
    psa_key_attributes_t attributes = PSA_KEY_ATTRIBUTES_INIT;
    psa_set_key_type(&attributes, PSA_KEY_TYPE_ECC_PUBLIC_KEY(PSA_ECC_FAMILY_SECP_R1));
    psa_set_key_bits(&attributes, 256);
    psa_set_key_usage_flags(&attributes, PSA_KEY_USAGE_VERIFY_HASH);
    psa_set_key_algorithm(&attributes, algorithm);
    psa_key_id_t id;
    psa_status_t status = psa_crypto_init(); /* does nothing the second time */
    if (status == PSA_SUCCESS) {
        status = psa_import_key(&attributes, key, P256_KEY, &id);
        if (status == PSA_ERROR_INVALID_ARGUMENT) {
            return P256_NO_KEY;
        }
    }
    if (status == PSA_SUCCESS) {
        status = psa_verify_hash(id, algorithm, digest, P256_DIGEST, signature, P256_SIGNATURE);
        psa_destroy_key(id);
    }
    switch (status) {
    case PSA_SUCCESS:
        return P256_VALID;
    case PSA_ERROR_INVALID_SIGNATURE:
        return P256_INVALID;
    case PSA_ERROR_INSUFFICIENT_MEMORY:
        return P256_NO_MEMORY;
    default:
        return P256_FAILED;
    }
}

#else

static p256_result check(const uint8_t *key, const uint8_t *signature, const uint8_t *digest) {
    mbedtls_ecp_group curve;
    mbedtls_ecp_point point;
    mbedtls_mpi r, s;
    mbedtls_ecp_group_init(&curve);
    mbedtls_ecp_point_init(&point);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);

    bool is_key = true;
    int status = mbedtls_ecp_group_load(&curve, MBEDTLS_ECP_DP_SECP256R1);
    if (status == 0) {
        status = mbedtls_ecp_point_read_binary(&curve, &point, key, P256_KEY);
        if (status == 0) {
            status = mbedtls_ecp_check_pubkey(&curve, &point);
        }
        is_key = status == 0 || status == MBEDTLS_ERR_MPI_ALLOC_FAILED;
    }
    if (status == 0) {
        status = mbedtls_mpi_read_binary(&r, signature, 32);
    }
    if (status == 0) {
        status = mbedtls_mpi_read_binary(&s, signature + 32, 32);
    }
    if (status == 0) {
        status = mbedtls_ecdsa_verify(&curve, digest, P256_DIGEST, &point, &r, &s);
    }

    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&point);
    mbedtls_ecp_group_free(&curve);
    if (!is_key) {
        return P256_NO_KEY;
    }
    switch (status) {
    case 0:
        return P256_VALID;
    case MBEDTLS_ERR_ECP_VERIFY_FAILED:
        return P256_INVALID;
    case MBEDTLS_ERR_MPI_ALLOC_FAILED:
    case MBEDTLS_ERR_ECP_ALLOC_FAILED:
        return P256_NO_MEMORY;
    default:
        return P256_FAILED;
    }
}

#endif

p256_result p256_verify(const uint8_t key[P256_KEY], const uint8_t signature[P256_SIGNATURE],
                        const uint8_t digest[P256_DIGEST]) {
    if (key[0] != 0x04) {
        return P256_NO_KEY;
    }
    if (!in_range(signature) || !in_range(signature + 32)) {
        return P256_INVALID;
    }
    return check(key, signature, digest);
}
