# The module `trust` for MicroPython's unix and qemu ports. mbedTLS comes from elsewhere: there must be its
# headers on the include path and its functions in the image (for the tests: tests/modules/trust_testing).
SRC_USERMOD_C += $(USERMOD_DIR)/modtrust.c
SRC_USERMOD_LIB_C += $(USERMOD_DIR)/p256.c
