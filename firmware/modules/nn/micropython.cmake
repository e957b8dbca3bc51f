#The module `nn` for ESP - IDF.Its sources become part of the main component,                                \
    which requires esp - tflite - micro.
#CICADA_GENERATED_DIR holds tflm_ops.h, written by scripts / embed_models.py.
add_library(usermod_nn INTERFACE)

get_filename_component(NN_ENGINE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../engine ABSOLUTE)
file(GLOB nn_engine_sources CONFIGURE_DEPENDS ${NN_ENGINE_DIR}/frontend/*.c ${NN_ENGINE_DIR}/audio/*.c)
# Up to a hundred frames a second go through it: speed counts, whatever the rest is optimised for.
set_source_files_properties(${nn_engine_sources} PROPERTIES COMPILE_OPTIONS -O2)

target_sources(usermod_nn INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/frontend.c
    ${CMAKE_CURRENT_LIST_DIR}/model.c
    ${CMAKE_CURRENT_LIST_DIR}/modnn.c
    ${CMAKE_CURRENT_LIST_DIR}/platform_esp.c
    ${CMAKE_CURRENT_LIST_DIR}/tflm_engine.cpp
    ${CMAKE_CURRENT_LIST_DIR}/tflm_model.cpp
    ${nn_engine_sources}
)

target_include_directories(usermod_nn INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}
    ${NN_ENGINE_DIR}
    ${CICADA_GENERATED_DIR}
)

target_compile_definitions(usermod_nn INTERFACE "NN_ENGINES=X(nn_tflm)")

target_link_libraries(usermod INTERFACE usermod_nn)
