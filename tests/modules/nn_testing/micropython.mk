# An engine, partitions and built-in models for the tests of the module `nn`.
SRC_USERMOD_C += $(USERMOD_DIR)/modnn_testing.c
SRC_USERMOD_LIB_C += $(USERMOD_DIR)/engine.c $(USERMOD_DIR)/partitions.c
CFLAGS_USERMOD += '-DNN_ENGINES=X(nn_test_engine)X(nn_packed)'
