# The module `trust` for ESP-IDF. mbedTLS reaches it through the main component, which requires it.
add_library(usermod_trust INTERFACE)

target_sources(usermod_trust INTERFACE
    ${CMAKE_CURRENT_LIST_DIR}/modtrust.c
    ${CMAKE_CURRENT_LIST_DIR}/p256.c
)

target_include_directories(usermod_trust INTERFACE ${CMAKE_CURRENT_LIST_DIR})

target_link_libraries(usermod INTERFACE usermod_trust)
