# The module `delta` for MicroPython's unix and qemu ports.
DELTA_ENGINE_DIR := $(realpath $(USERMOD_DIR)/../../engine)

SRC_USERMOD_C += $(USERMOD_DIR)/moddelta.c
SRC_USERMOD_LIB_C += $(DELTA_ENGINE_DIR)/delta/add.c
CFLAGS_USERMOD += -I$(DELTA_ENGINE_DIR)
