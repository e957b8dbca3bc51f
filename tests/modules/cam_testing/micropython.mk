# A camera without hardware for the module `cam`, and the module `cam_testing` to tell it what to do.
SRC_USERMOD_C += $(USERMOD_DIR)/camera.c
