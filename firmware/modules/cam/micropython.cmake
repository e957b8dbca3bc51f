# The module `cam` for ESP-IDF: built in where the board asks for it by set(CICADA_BOARD_CAMERA ON) in its
# mpconfigboard.cmake. The main component must require esp32-camera then; CICADA_CAMERA is the name under
# which it is there. Other images have no module `cam`, and importing it raises ImportError.
if(CICADA_BOARD_CAMERA)
    if(NOT CICADA_CAMERA)
        message(FATAL_ERROR " cicada: board '${MICROPY_BOARD}' has a camera, and the component "
            "espressif/esp32-camera is missing: let the component manager fetch it (unset "
            "IDF_COMPONENT_MANAGER), or give its folder in EXTRA_COMPONENT_DIRS")
    endif()

    add_library(usermod_cam INTERFACE)

    get_filename_component(CICADA_CAM_ENGINE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../engine ABSOLUTE)
    target_sources(usermod_cam INTERFACE
        ${CMAKE_CURRENT_LIST_DIR}/modcam.c
        ${CMAKE_CURRENT_LIST_DIR}/esp_driver.c
        ${CICADA_CAM_ENGINE_DIR}/image/scale.c
    )

    target_include_directories(usermod_cam INTERFACE ${CMAKE_CURRENT_LIST_DIR} ${CICADA_CAM_ENGINE_DIR})

    target_link_libraries(usermod INTERFACE usermod_cam)
endif()
