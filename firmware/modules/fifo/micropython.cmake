# The module `fifo` for ESP-IDF.
add_library(usermod_fifo INTERFACE)

target_sources(usermod_fifo INTERFACE ${CMAKE_CURRENT_LIST_DIR}/modfifo.c)

target_link_libraries(usermod INTERFACE usermod_fifo)
