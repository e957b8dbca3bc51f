# Buses without hardware for the module `fifo`, told what to answer by the module `fifo_testing`. Only these two
# files may think that the port has buses: MicroPython's own files about them are not clean under its warnings.
SRC_USERMOD_C += $(USERMOD_DIR)/buses.c
%/modfifo.o %/buses.o: CFLAGS += \
	-DMICROPY_PY_MACHINE_I2C=1 -DMICROPY_PY_MACHINE_I2C_TRANSFER_WRITE1=1 -DMICROPY_PY_MACHINE_SPI=1
