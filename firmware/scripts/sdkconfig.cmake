# One file from the fragments in SDKCONFIG_DEFAULTS, for ESP-IDF to read.
#
# ESP-IDF reads defaults only where there is no sdkconfig yet. So that a changed fragment takes effect, the
# build folder's sdkconfig is removed whenever the fragments differ from the last time; what menuconfig wrote
# there goes with it and belongs into the board's sdkconfig.board.

set(cicada_combined "# From: ${SDKCONFIG_DEFAULTS}\n")
foreach(cicada_fragment ${SDKCONFIG_DEFAULTS})
    if(NOT EXISTS ${cicada_fragment})
        message(FATAL_ERROR " cicada: ${cicada_fragment} is missing: ${MICROPY_BOARD_DIR}/mpconfigboard.cmake names it")
    endif()
    file(READ ${cicada_fragment} cicada_text)
    string(APPEND cicada_combined "${cicada_text}\n")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${cicada_fragment})
endforeach()
string(APPEND cicada_combined
    "CONFIG_PARTITION_TABLE_CUSTOM=y\n"
    "CONFIG_PARTITION_TABLE_CUSTOM_FILENAME=\"${MICROPY_BOARD_DIR}/partitions.csv\"\n")
if(CICADA_SIGNING_KEY)
    string(APPEND cicada_combined "CONFIG_SECURE_BOOT_SIGNING_KEY=\"${CICADA_SIGNING_KEY}\"\n")
endif()

set(SDKCONFIG_DEFAULTS ${CMAKE_BINARY_DIR}/sdkconfig.combined)
set(cicada_last "")
if(EXISTS ${SDKCONFIG_DEFAULTS})
    file(READ ${SDKCONFIG_DEFAULTS} cicada_last)
endif()
if(NOT cicada_last STREQUAL cicada_combined)
    file(REMOVE ${SDKCONFIG})
    file(WRITE ${SDKCONFIG_DEFAULTS} "${cicada_combined}")
endif()
