# Fragments of ESP-IDF's configuration, in order; later lines win.
set(IDF_TARGET esp32)
set(CICADA_BOARD_CAMERA ON) # builds the module cam
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(SDKCONFIG_DEFAULTS
    ${MICROPYTHON_DIR}/ports/esp32/boards/sdkconfig.base
    ${MICROPYTHON_DIR}/ports/esp32/boards/sdkconfig.spiram
    ${MICROPYTHON_DIR}/ports/esp32/boards/sdkconfig.240mhz
    ${CMAKE_SOURCE_DIR}/sdkconfig.common
    ${MICROPY_BOARD_DIR}/sdkconfig.board
)
