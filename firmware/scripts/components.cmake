# The components from outside ESP-IDF: are they there, and can they be built without the component manager?
# Needs CICADA_TFLM, CICADA_ESP_NN and CICADA_CAMERA, the names main/CMakeLists.txt found, and CICADA_WITH_TFLM.
# Sets CICADA_ESP_NN_KERNELS, unless it is set.

if(CICADA_WITH_TFLM)
    foreach(cicada_pair "CICADA_TFLM:esp-tflite-micro" "CICADA_ESP_NN:esp-nn")
        string(REPLACE ":" ";" cicada_pair ${cicada_pair})
        list(GET cicada_pair 0 cicada_var)
        list(GET cicada_pair 1 cicada_name)
        if(NOT ${cicada_var})
            message(FATAL_ERROR " cicada: a built-in model is for TensorFlow Lite Micro, and the component "
                "espressif/${cicada_name} is missing: let the component manager fetch it (unset "
                "IDF_COMPONENT_MANAGER), give its folder in EXTRA_COMPONENT_DIRS, or pack the model (cicada pack)")
        endif()
    endforeach()

    # Its manifest says that esp-tflite-micro uses esp-nn; its CMakeLists.txt does not.
    idf_component_get_property(cicada_tflm_lib ${CICADA_TFLM} COMPONENT_LIB)
    idf_component_get_property(cicada_nn_lib ${CICADA_ESP_NN} COMPONENT_LIB)
    target_link_libraries(${cicada_tflm_lib} PUBLIC ${cicada_nn_lib})
endif()

# Convolutions of packed models through ESP-NN (modules/nn/accel_esp_nn.c), by default where it uses the chip's
# vector unit.
if(NOT CICADA_ESP_NN)
    cicada_find_component(CICADA_ESP_NN include/esp_nn.h)
endif()
if(NOT DEFINED CICADA_ESP_NN_KERNELS)
    idf_build_get_property(cicada_target IDF_TARGET)
    if(CICADA_ESP_NN AND cicada_target STREQUAL "esp32s3")
        set(CICADA_ESP_NN_KERNELS ON)
    else()
        set(CICADA_ESP_NN_KERNELS OFF)
    endif()
endif()
if(CICADA_ESP_NN_KERNELS AND NOT CICADA_ESP_NN)
    message(FATAL_ERROR " cicada: CICADA_ESP_NN_KERNELS is on, and the component espressif/esp-nn is missing: let the "
        "component manager fetch it (unset IDF_COMPONENT_MANAGER), give its folder in EXTRA_COMPONENT_DIRS, or set "
        "CICADA_ESP_NN_KERNELS=OFF")
endif()

# esp32-camera's converters to JPEG and BMP need espressif/esp_jpeg, which the component manager fetches with
# it. Nothing here uses them: without esp_jpeg they are left out, and a header stands in for its own.
if(CICADA_CAMERA)
    cicada_find_component(cicada_jpeg include/jpeg_decoder.h)
    idf_component_get_property(cicada_camera_lib ${CICADA_CAMERA} COMPONENT_LIB)
    if(cicada_jpeg)
        # As above: only the manifest, which nobody reads without the component manager, says so.
        idf_component_get_property(cicada_jpeg_lib ${cicada_jpeg} COMPONENT_LIB)
        target_link_libraries(${cicada_camera_lib} PUBLIC ${cicada_jpeg_lib})
    else()
        get_target_property(cicada_sources ${cicada_camera_lib} SOURCES)
        list(FILTER cicada_sources EXCLUDE REGEX "/conversions/(to_bmp\\.c|to_jpg\\.cpp|jpge\\.cpp)$")
        set_target_properties(${cicada_camera_lib} PROPERTIES SOURCES "${cicada_sources}")
        target_include_directories(${cicada_camera_lib} PUBLIC ${CICADA_FIRMWARE_DIR}/main/compat/esp_jpeg)
    endif()
endif()
