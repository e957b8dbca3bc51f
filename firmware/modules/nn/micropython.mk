# The module `nn` for MicroPython's unix and qemu ports: everything but TensorFlow Lite Micro, which only ESP-IDF
# builds. Further engines and partitions come from other modules (tests/modules/nn_testing).
NN_ENGINE_DIR := $(realpath $(USERMOD_DIR)/../../engine)

SRC_USERMOD_C += $(USERMOD_DIR)/modnn.c $(USERMOD_DIR)/frontend.c $(USERMOD_DIR)/vibration.c
SRC_USERMOD_C += $(USERMOD_DIR)/model.c
SRC_USERMOD_LIB_C += $(USERMOD_DIR)/platform_none.c $(USERMOD_DIR)/packed_engine.c
SRC_USERMOD_LIB_C += $(wildcard $(addprefix $(NN_ENGINE_DIR)/,frontend/*.c vibration/*.c audio/*.c runtime/*.c))
CFLAGS_USERMOD += -I$(USERMOD_DIR) -I$(NN_ENGINE_DIR)
