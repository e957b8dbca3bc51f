# The module `fifo` for MicroPython's unix and qemu ports, which have no buses: machine.I2C and machine.SPI come
# from elsewhere (for the tests: tests/modules/fifo_testing).
SRC_USERMOD_C += $(USERMOD_DIR)/modfifo.c
