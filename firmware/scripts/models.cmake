# Runs embed_models.py while CMake configures: C sources of the built-in models and, if any is for TFLM, its operator
# list, in CICADA_GENERATED_DIR. A changed container means configuring again; unchanged output is not rewritten.

set(CICADA_GENERATED_DIR ${CMAKE_BINARY_DIR}/cicada)
idf_build_get_property(cicada_python PYTHON)
set(cicada_embed ${CICADA_FIRMWARE_DIR}/scripts/embed_models.py)
execute_process(
    COMMAND ${cicada_python} ${cicada_embed} --extra-ops "${CICADA_TFLM_EXTRA_OPS}" -o ${CICADA_GENERATED_DIR} ${CICADA_MODELS}
    RESULT_VARIABLE cicada_result
    ERROR_VARIABLE cicada_error)
if(NOT cicada_result EQUAL 0)
    string(STRIP "${cicada_error}" cicada_error)
    message(FATAL_ERROR " cicada: ${cicada_error}")
endif()
foreach(cicada_model ${CICADA_MODELS})
    string(REGEX REPLACE "^[^=]*=" "" cicada_file "${cicada_model}")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${cicada_file}")
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${cicada_embed})
