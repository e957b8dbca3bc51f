// MicroPython's options of this board; those of all boards are in mpconfigcommon.h.
#include "../../firmware/main/mpconfigcommon.h"

#define MICROPY_HW_BOARD_NAME "Cicada on ESP-EYE"
#define MICROPY_HW_MCU_NAME "ESP32"
