# The module `delta` for ESP-IDF.
add_library(usermod_delta INTERFACE)

get_filename_component(CICADA_DELTA_ENGINE_DIR ${CMAKE_CURRENT_LIST_DIR}/../../engine ABSOLUTE)
target_sources(usermod_delta INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/moddelta.c
    ${CICADA_DELTA_ENGINE_DIR}/delta/add.c
)

target_include_directories(usermod_delta INTERFACE ${CICADA_DELTA_ENGINE_DIR})

target_link_libraries(usermod INTERFACE usermod_delta)
