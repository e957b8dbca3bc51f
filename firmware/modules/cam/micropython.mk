# The module `cam` for MicroPython's unix and qemu ports, which have no camera: the functions of
# camera_driver.h come from elsewhere (for the tests: tests/modules/cam_testing).
CAM_ENGINE_DIR := $(realpath $(USERMOD_DIR)/../../engine)

SRC_USERMOD_C += $(USERMOD_DIR)/modcam.c
SRC_USERMOD_LIB_C += $(CAM_ENGINE_DIR)/image/scale.c
CFLAGS_USERMOD += -I$(USERMOD_DIR) -I$(CAM_ENGINE_DIR)
