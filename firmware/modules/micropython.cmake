# Our C modules for ESP-IDF: what MicroPython's USER_C_MODULES names. Each module has its own folder.
include(${CMAKE_CURRENT_LIST_DIR}/nn/micropython.cmake)
foreach(module trust delta cam fifo)
    if(EXISTS ${CMAKE_CURRENT_LIST_DIR}/${module}/micropython.cmake)
        include(${CMAKE_CURRENT_LIST_DIR}/${module}/micropython.cmake)
    endif()
endforeach()
