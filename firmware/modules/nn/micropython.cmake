# The module `nn` for ESP-IDF. Before it is included, CICADA_TFLM names the component esp-tflite-micro if the image is
# to have TensorFlow Lite Micro, and CICADA_GENERATED_DIR the folder of tflm_ops.h, which scripts/embed_models.py writes.
# CICADA_ESP_NN names the component esp-nn if CICADA_ESP_NN_KERNELS is on.
#
# What speaks to Python is an interface library, as MicroPython's py/usermod.cmake wants it. ESP-IDF compiles the
# sources of those twice, and the ones it links without its own C++ options; so all else has libraries of its own.
idf_build_get_property(nn_options COMPILE_OPTIONS)
idf_build_get_property(nn_c_options C_COMPILE_OPTIONS)
idf_build_get_property(nn_cxx_options CXX_COMPILE_OPTIONS)
idf_build_get_property(nn_definitions COMPILE_DEFINITIONS)

# Front end and runtime: all work is done in them, so speed counts, whatever the rest is made for.
get_filename_component(NN_ENGINE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../engine ABSOLUTE)
file(GLOB nn_engine_sources CONFIGURE_DEPENDS ${NN_ENGINE_DIR}/frontend/*.c
    ${NN_ENGINE_DIR}/vibration/*.c ${NN_ENGINE_DIR}/audio/*.c ${NN_ENGINE_DIR}/runtime/*.c)
add_library(cicada_engine STATIC ${nn_engine_sources})
target_compile_options(cicada_engine PRIVATE ${nn_options} ${nn_c_options} -O2)
target_include_directories(cicada_engine PUBLIC ${NN_ENGINE_DIR})

set(nn_engines "X(nn_packed)")
set(nn_libraries cicada_engine)

# TensorFlow Lite Micro as an engine.
if(CICADA_TFLM)
    idf_component_get_property(nn_tflm_component ${CICADA_TFLM} COMPONENT_LIB)
    add_library(cicada_tflm STATIC ${CMAKE_CURRENT_LIST_DIR}/tflm_engine.cpp ${CMAKE_CURRENT_LIST_DIR}/tflm_model.cpp)
    target_compile_options(cicada_tflm PRIVATE ${nn_options} ${nn_cxx_options})
    target_compile_definitions(cicada_tflm PRIVATE ${nn_definitions})
    target_include_directories(cicada_tflm PRIVATE ${CICADA_GENERATED_DIR})
    target_link_libraries(cicada_tflm PRIVATE ${nn_tflm_component})
    string(APPEND nn_engines "X(nn_tflm)")
    list(APPEND nn_libraries cicada_tflm)
endif()

# ESP-NN's convolutions for packed models.
if(CICADA_ESP_NN_KERNELS)
    idf_component_get_property(nn_esp_nn_component ${CICADA_ESP_NN} COMPONENT_LIB)
    add_library(cicada_accelerated STATIC ${CMAKE_CURRENT_LIST_DIR}/accel_esp_nn.c)
    target_compile_options(cicada_accelerated PRIVATE ${nn_options} ${nn_c_options})
    target_compile_definitions(cicada_accelerated PRIVATE ${nn_definitions})
    target_link_libraries(cicada_accelerated PRIVATE cicada_engine ${nn_esp_nn_component})
    list(APPEND nn_libraries cicada_accelerated)
else()
    target_compile_definitions(cicada_engine PRIVATE CPM_NO_PLAIN)
endif()

add_library(usermod_nn INTERFACE)
target_sources(usermod_nn INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/frontend.c
    ${CMAKE_CURRENT_LIST_DIR}/model.c
    ${CMAKE_CURRENT_LIST_DIR}/modnn.c
    ${CMAKE_CURRENT_LIST_DIR}/packed_engine.c
    ${CMAKE_CURRENT_LIST_DIR}/platform_esp.c
    ${CMAKE_CURRENT_LIST_DIR}/vibration.c
)
target_include_directories(usermod_nn INTERFACE ${CMAKE_CURRENT_LIST_DIR} ${NN_ENGINE_DIR})
target_compile_definitions(usermod_nn INTERFACE "NN_ENGINES=${nn_engines}")
if(CICADA_ESP_NN_KERNELS)
    target_compile_definitions(usermod_nn INTERFACE NN_ACCELERATED)
endif()
target_link_libraries(usermod_nn INTERFACE ${nn_libraries})

target_link_libraries(usermod INTERFACE usermod_nn)
