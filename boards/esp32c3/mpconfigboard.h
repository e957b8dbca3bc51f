// MicroPython's options of this board; those of all boards are in mpconfigcommon.h.
#include "../../firmware/main/mpconfigcommon.h"

#define MICROPY_HW_BOARD_NAME "Cicada on ESP32-C3"
#define MICROPY_HW_MCU_NAME "ESP32C3"
