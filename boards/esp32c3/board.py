"""An ESP32-C3 with 4 MB of flash (ESP32-C3-DevKitM-1) and an INMP441 microphone on wires.

Pins are those of docs/boards.md; change them here for other wiring. GPIO 18 and 19 belong to USB, 20 and 21
to the console; 2, 8 and 9 are read at reset (ESP32-C3 Series Datasheet, strapping pins).
"""

NAME = "esp32c3"
TITLE = "ESP32-C3"
CHIP = "esp32c3"
UNIQUE_ID = "a0764ec1cae4"  # stands for the MAC address in software; the chip's own is in its eFuses

FLASH_SIZE = 4 * 1024 * 1024
CPU_HZ = 160_000_000
# MicroPython heap, bytes: what an ESP32-C3 can promise beside Wi-Fi and a 60 KB arena.
HEAP = 100 * 1024
ARENA = 60 * 1024  # for tensors, bytes

# INMP441, L/R at GND: the first slot of a frame. Its sensitivity of -26 dBFS at 94 dB SPL (datasheet) leaves
# speech at 60 dB some 60 dB below full scale; three bits of gain are 18 dB.
MICROPHONE = {
    "id": 0,
    "sck": 4,
    "ws": 5,
    "sd": 6,
    "enable": 7,
    "slot": 0,
    "gain_bits": 3,
    "ibuf_ms": 192,
}
LED = 10  # on a wire: the board's own is a WS2812
BUTTON = 9  # the boot button: low while pressed
# The bus's pull-ups keep GPIO 2 high at reset, as booting from flash wants it.
I2C = {"id": 0, "scl": 1, "sda": 2}
I2C_DEVICES = ()
# The battery through two equal resistors.
BATTERY_ADC = {"pin": 0, "ratio": 0.5}
# No analog microphone: the program for sound in deep sleep is the ESP32's alone (node/ulp.py).
SOUND_ADC = None
FRAME_US = 80_000  # no camera; the twin's figure

# mA at 3.3 V.
POWER = {
    # ESP32-C3 Series Datasheet, current consumption in modem sleep, 160 MHz, peripheral clocks on.
    "cpu_busy": 28.0,
    "cpu_idle": 21.0,
    # Same datasheet, low-power modes: light sleep; deep sleep with RTC timer and RTC memory.
    "light_sleep": 0.130,
    "deep_sleep": 0.005,
    # Same datasheet, RF current consumption: receiving 84 mA, sending 802.11b at 21 dBm 335 mA (half of the
    # time on the air); here is what the radio adds to the idle CPU. Associated and idle in modem sleep: an
    # assumption, the receiver on for 5 ms of every beacon's 102 ms.
    "wifi_receive": 63.0,
    "wifi_send": 314.0,
    "wifi_associated": 3.1,
    # INMP441 datasheet rev. 1.1, table 1, 3.3 V: normal mode; power down (CHIPEN low).
    "microphone_on": 2.2,
    "microphone_off": 0.0045,
}

# The chip at 80 MHz, same table.
POWER_AT_MHZ = {80: {"cpu_busy": 22.0, "cpu_idle": 18.0}}
# W25Q32JV datasheet, AC characteristics, typical: page program 0.4 ms, sector erase 45 ms.
# Of that family; the module's own chip may differ.
FLASH_US = {"program": 400, "erase": 45_000}

# CPU cycles, to turn work into time.
CYCLES = {
    # esp-tflite-micro's README: person detection takes 426 ms on an ESP32-C3 at 160 MHz. That model
    # (MobileNet v1, width 0.25, 96 x 96 x 1) has 7.2 M multiply-accumulates: 68.2 M cycles / 7.2 M.
    "per_mac": 9.5,
    # A packed model knows how many RV32IMC instructions it takes. Person detection is 58.2 M of them with
    # ESP-NN's C kernels (GCC 14.2 -O2, counted once, not by this repository): 68.2 M cycles / 58.2 M.
    "per_instruction": 1.17,
    # 42 964 RV32IMC instructions a frame at a 20 ms step (GCC 12.2 -O2; `make bench` counts them), 1.17
    # cycles each, as for models.
    "per_frame": 50_300,
    # Reading through the SPI driver: an assumption of 10 MB/s.
    "per_flash_byte": 16,
}
# From reset to main.py: an assumption, not a measurement.
BOOT_MS = 500

# What the regulator takes by itself, mA: none is on a bare chip or module; a development board's AMS1117
# takes 5.
REGULATOR_MA = 0.0
# Extra time of a light sleep: ESP-IDF v5.5 (components/esp_hw_support/sleep_modes.c) counts 105 + 37 us for
# the way out; falling asleep and Python around it: an assumption, together 1 ms of busy CPU.
LIGHT_SLEEP_US = 1000

BATTERY = {
    "title": "2000 mAh Li-ion cell",
    "mah": 2000,
    "usable": 0.8,
    # Voltage by the share of charge left: the usual shape of such cells, an assumption.
    "volts": ((0.0, 3.0), (0.05, 3.45), (0.2, 3.68), (0.5, 3.82), (0.8, 4.02), (1.0, 4.2)),
}
