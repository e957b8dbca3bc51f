// What all boards' MicroPython has in common; overrides ports/esp32/mpconfigport.h.
#pragma once

// Not used by the application: each would cost flash or a component from the network.
#define MICROPY_PY_BLUETOOTH (0) // 300 KB
#define MICROPY_PY_ESPNOW (0)
#define MICROPY_PY_NETWORK_LAN (0)         // espressif/lan867x
#define MICROPY_HW_ENABLE_MDNS_QUERIES (0) // espressif/mdns
#define MICROPY_HW_ENABLE_MDNS_RESPONDER (0)
#define MICROPY_HW_ENABLE_SDCARD (0)
#define MICROPY_HW_ENABLE_USBDEV (0) // espressif/tinyusb; the USB-Serial-JTAG console stays

#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT "cicada"

// The console is on UART0 on every board, besides USB-Serial-JTAG where the chip has it.
#define MICROPY_HW_ENABLE_UART_REPL (1)
