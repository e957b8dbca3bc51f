# mbedTLS for the module `trust`, cut down to what it needs; CICADA_MBEDTLS is mbedTLS 3's source tree.
TRUST_TESTING := $(USERMOD_DIR)

SRC_USERMOD_C += $(TRUST_TESTING)/heap.c
SRC_USERMOD_LIB_C += $(addprefix $(CICADA_MBEDTLS)/library/, \
	asn1parse.c asn1write.c bignum.c bignum_core.c constant_time.c ecdsa.c ecp.c ecp_curves.c platform_util.c)
CFLAGS_USERMOD += -I$(CICADA_MBEDTLS)/include -DMBEDTLS_CONFIG_FILE='"$(TRUST_TESTING)/trust_config.h"'
