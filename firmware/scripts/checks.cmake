# What can be wrong before ESP-IDF's build system starts, each said in one line.

# versions.env as variables CICADA_PIN_<name>.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../versions.env cicada_lines REGEX "^[A-Z0-9_]+=")
foreach(cicada_line ${cicada_lines})
    string(REGEX REPLACE "^([A-Z0-9_]+)=(.*)$" "CICADA_PIN_\\1" cicada_name "${cicada_line}")
    string(REGEX REPLACE "^([A-Z0-9_]+)=(.*)$" "\\2" ${cicada_name} "${cicada_line}")
endforeach()

# Sets MICROPY_BOARD and MICROPY_BOARD_DIR.
macro(cicada_check_board)
    if(NOT MICROPY_BOARD)
        set(MICROPY_BOARD esp32)
    endif()
    if(NOT MICROPY_BOARD_DIR)
        get_filename_component(MICROPY_BOARD_DIR ${CMAKE_CURRENT_LIST_DIR}/../boards/${MICROPY_BOARD} ABSOLUTE)
    endif()
    foreach(cicada_file board.py partitions.csv sdkconfig.board mpconfigboard.cmake mpconfigboard.h manifest.py)
        if(NOT EXISTS ${MICROPY_BOARD_DIR}/${cicada_file})
            message(FATAL_ERROR " cicada: board '${MICROPY_BOARD}' has no ${MICROPY_BOARD_DIR}/${cicada_file}: "
                "choose another with -DMICROPY_BOARD=..., or see docs/boards.md")
        endif()
    endforeach()
endmacro()

macro(cicada_check_idf)
    if(NOT DEFINED ENV{IDF_PATH} OR NOT EXISTS "$ENV{IDF_PATH}/tools/cmake/project.cmake")
        message(FATAL_ERROR " cicada: IDF_PATH ('$ENV{IDF_PATH}') is no ESP-IDF: install v${CICADA_PIN_ESP_IDF} and "
            "source its export.sh, or build in the container espressif/idf:v${CICADA_PIN_ESP_IDF}")
    endif()
    include($ENV{IDF_PATH}/tools/cmake/version.cmake)
    set(cicada_idf ${IDF_VERSION_MAJOR}.${IDF_VERSION_MINOR}.${IDF_VERSION_PATCH})
    if(cicada_idf VERSION_LESS CICADA_PIN_ESP_IDF_FROM OR NOT cicada_idf VERSION_LESS CICADA_PIN_ESP_IDF_BELOW)
        message(FATAL_ERROR " cicada: ESP-IDF ${cicada_idf} at $ENV{IDF_PATH} is not from ${CICADA_PIN_ESP_IDF_FROM} to "
            "below ${CICADA_PIN_ESP_IDF_BELOW}, which MicroPython ${CICADA_PIN_MICROPYTHON} supports: use v${CICADA_PIN_ESP_IDF}")
    endif()
endmacro()

# Sets MICROPYTHON_DIR, and remembers it for the times this build folder is configured again.
macro(cicada_check_micropython)
    if(NOT MICROPYTHON_DIR)
        set(MICROPYTHON_DIR "$ENV{MICROPYTHON_DIR}")
    elseif(DEFINED ENV{MICROPYTHON_DIR} AND NOT MICROPYTHON_DIR STREQUAL "$ENV{MICROPYTHON_DIR}")
        message(FATAL_ERROR " cicada: this build folder was made with MICROPYTHON_DIR=${MICROPYTHON_DIR}, now it is "
            "$ENV{MICROPYTHON_DIR}: remove ${CMAKE_BINARY_DIR} or give the same again")
    endif()
    if(NOT MICROPYTHON_DIR)
        message(FATAL_ERROR " cicada: MICROPYTHON_DIR is not set: git clone --depth 1 -b v${CICADA_PIN_MICROPYTHON} "
            "https://github.com/micropython/micropython, then set MICROPYTHON_DIR to that folder")
    endif()
    get_filename_component(MICROPYTHON_DIR "${MICROPYTHON_DIR}" ABSOLUTE BASE_DIR "$ENV{PWD}")
    set(MICROPYTHON_DIR "${MICROPYTHON_DIR}" CACHE PATH "MicroPython checkout" FORCE)
    if(NOT EXISTS ${MICROPYTHON_DIR}/ports/esp32/esp32_common.cmake)
        message(FATAL_ERROR " cicada: MICROPYTHON_DIR=${MICROPYTHON_DIR} is no MicroPython checkout (it has no "
            "ports/esp32/esp32_common.cmake): git clone --depth 1 -b v${CICADA_PIN_MICROPYTHON} "
            "https://github.com/micropython/micropython")
    endif()
    set(cicada_mp "")
    foreach(cicada_part MAJOR MINOR MICRO)
        file(STRINGS ${MICROPYTHON_DIR}/py/mpconfig.h cicada_line REGEX "^#define MICROPY_VERSION_${cicada_part} ")
        string(REGEX REPLACE "[^0-9]" "" cicada_line "${cicada_line}")
        list(APPEND cicada_mp "${cicada_line}")
    endforeach()
    list(JOIN cicada_mp "." cicada_mp)
    if(NOT cicada_mp STREQUAL CICADA_PIN_MICROPYTHON)
        message(FATAL_ERROR " cicada: MicroPython in ${MICROPYTHON_DIR} is ${cicada_mp}, not ${CICADA_PIN_MICROPYTHON}: "
            "git -C ${MICROPYTHON_DIR} checkout v${CICADA_PIN_MICROPYTHON}")
    endif()
endmacro()

# Whether a container holds a model for TensorFlow Lite Micro. Layout: app/node/model.py; a flatbuffer says what it is
# in its bytes 4 to 7.
function(cicada_is_tflite file var)
    file(READ "${file}" cicada_hex OFFSET 20 LIMIT 4 HEX)
    string(REGEX REPLACE "^(..)(..)(..)(..)$" "0x\\4\\3\\2\\1" cicada_hex "${cicada_hex}")
    set(${var} OFF PARENT_SCOPE)
    if(cicada_hex MATCHES "^0x[0-9a-f]+$")
        math(EXPR cicada_at "${cicada_hex} + 4")
        file(READ "${file}" cicada_hex OFFSET ${cicada_at} LIMIT 4 HEX)
        if(cicada_hex STREQUAL "54464c33") # TFL3
            set(${var} ON PARENT_SCOPE)
        endif()
    endif()
endfunction()

# Sets CICADA_MODELS and CICADA_WITH_TFLM.
macro(cicada_check_models)
    if(NOT CICADA_MODELS)
        set(CICADA_MODELS "kws=${CMAKE_CURRENT_LIST_DIR}/models/kws.cmod")
    endif()
    foreach(cicada_model ${CICADA_MODELS})
        string(REGEX REPLACE "^[^=]*=" "" cicada_file "${cicada_model}")
        if(NOT EXISTS "${cicada_file}")
            message(FATAL_ERROR " cicada: there is no model container ${cicada_file}: train one with 'make train' and "
                "give it as -DCICADA_MODELS=kws=/path/to/build/kws/kws.cmod")
        endif()
    endforeach()
    set(CICADA_WITH_TFLM OFF)
    if(CICADA_TFLM_EXTRA_OPS)
        set(CICADA_WITH_TFLM ON)
    endif()
    foreach(cicada_model ${CICADA_MODELS})
        string(REGEX REPLACE "^[^=]*=" "" cicada_file "${cicada_model}")
        cicada_is_tflite("${cicada_file}" cicada_tflite)
        if(cicada_tflite)
            set(CICADA_WITH_TFLM ON)
        endif()
    endforeach()
endmacro()

# ESP-IDF builds every component it finds. Without a model for it, esp-tflite-micro would be minutes of work for nothing:
# EXCLUDE_COMPONENTS gets the names that it may have, as the component manager's and as those of local folders.
macro(cicada_exclude_tflm)
    if(NOT CICADA_WITH_TFLM)
        list(APPEND EXCLUDE_COMPONENTS espressif__esp-tflite-micro esp-tflite-micro)
        foreach(cicada_dir ${EXTRA_COMPONENT_DIRS})
            file(GLOB cicada_found "${cicada_dir}/tensorflow/lite/micro/micro_interpreter.h"
                "${cicada_dir}/*/tensorflow/lite/micro/micro_interpreter.h")
            foreach(cicada_file ${cicada_found})
                string(REGEX REPLACE "^.*/([^/]+)/tensorflow/lite/micro/micro_interpreter.h$" "\\1" cicada_name
                    "${cicada_file}")
                list(APPEND EXCLUDE_COMPONENTS ${cicada_name})
            endforeach()
        endforeach()
    endif()
endmacro()

# Sets CICADA_IDENTITY_DIR, and remembers it for the times this build folder is configured again. An image that does
# not say who it is takes no update.
macro(cicada_check_identity)
    if(NOT CICADA_IDENTITY_DIR)
        set(CICADA_IDENTITY_DIR ${CMAKE_BINARY_DIR}/identity)
    endif()
    get_filename_component(CICADA_IDENTITY_DIR "${CICADA_IDENTITY_DIR}" ABSOLUTE BASE_DIR "$ENV{PWD}")
    set(CICADA_IDENTITY_DIR "${CICADA_IDENTITY_DIR}" CACHE PATH "folder of node/identity.py" FORCE)
    set(cicada_how "write it with 'cicada firmware --board ${MICROPY_BOARD} --identity' and build in "
        "build/firmware/${MICROPY_BOARD}, or give its folder as -DCICADA_IDENTITY_DIR=...")
    string(CONCAT cicada_how ${cicada_how})
    if(NOT EXISTS "${CICADA_IDENTITY_DIR}/node/identity.py")
        message(FATAL_ERROR " cicada: there is no ${CICADA_IDENTITY_DIR}/node/identity.py, which says who the image "
            "is and whose updates it takes: ${cicada_how}")
    endif()
    file(READ "${CICADA_IDENTITY_DIR}/node/identity.py" cicada_text)
    string(FIND "${cicada_text}" "\"board\":\"${MICROPY_BOARD}\"" cicada_at)
    if(cicada_at EQUAL -1)
        message(FATAL_ERROR " cicada: ${CICADA_IDENTITY_DIR}/node/identity.py is not for board '${MICROPY_BOARD}': "
            "${cicada_how}")
    endif()
endmacro()
