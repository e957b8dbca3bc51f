"""An ESP32-S3 with 8 MB of flash and 8 MB of octal PSRAM (ESP32-S3-DevKitC-1-N8R8) and an INMP441 on wires.

Pins are those of docs/boards.md; change them here for other wiring. GPIO 35 to 37 belong to the octal PSRAM
(ESP32-S3-WROOM-1 Datasheet v1.8, pin definitions), 19 and 20 to USB, 43 and 44 to the console.
"""

NAME = "esp32s3"
TITLE = "ESP32-S3"
CHIP = "esp32s3"
UNIQUE_ID = "7cdfa1c1cae3"  # stands for the MAC address in software; the chip's own is in its eFuses

FLASH_SIZE = 8 * 1024 * 1024
PSRAM_SIZE = 8 * 1024 * 1024
CPU_HZ = 240_000_000
# MicroPython heap, bytes: half of the PSRAM.
HEAP = 4 * 1024 * 1024
ARENA = 256 * 1024  # for tensors, bytes

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
LED = 2  # on a wire: the board's own is a WS2812
BUTTON = 0  # the boot button: low while pressed
I2C = {"id": 0, "scl": 9, "sda": 8}
I2C_DEVICES = ()
# The battery through two equal resistors.
BATTERY_ADC = {"pin": 1, "ratio": 0.5}
# No analog microphone: the program for sound in deep sleep is the ESP32's alone (node/ulp.py).
SOUND_ADC = None
FRAME_US = 80_000  # no camera; the twin's figure

# mA at 3.3 V.
POWER = {
    # ESP32-S3 Series Datasheet v2.2, table 5-9, 240 MHz, peripheral clocks on: one core running, both idle.
    # The octal PSRAM adds to that; how much is not in that table.
    "cpu_busy": 65.9,
    "cpu_idle": 47.6,
    # Same datasheet, current consumption in low-power modes: light sleep; deep sleep with RTC memory.
    "light_sleep": 0.240,
    "deep_sleep": 0.007,
    # ESP32-S3-WROOM-1 Datasheet v1.8, table 6-4: receiving 95 mA, sending 802.11b 355 mA (half of the time on
    # the air); here is what the radio adds to the idle CPU. Associated and idle in modem sleep: assumed is
    # a receiver on for 5 ms of every beacon's 102 ms.
    "wifi_receive": 47.0,
    "wifi_send": 307.0,
    "wifi_associated": 2.3,
    # INMP441 datasheet rev. 1.1, table 1, 3.3 V: normal mode; power down (CHIPEN low).
    "microphone_on": 2.2,
    "microphone_off": 0.0045,
}

# The chip at lower frequencies, same table.
POWER_AT_MHZ = {160: {"cpu_busy": 54.6, "cpu_idle": 42.3}, 80: {"cpu_busy": 42.6, "cpu_idle": 36.1}}
# W25Q32JV datasheet, AC characteristics, typical: page program 0.4 ms, sector erase 45 ms.
# Of that family; the module's own chip may differ.
FLASH_US = {"program": 400, "erase": 45_000}

# CPU cycles, to turn work into time.
CYCLES = {
    # esp-tflite-micro's README: person detection takes 54 ms on an ESP32-S3 at 240 MHz. That model
    # (MobileNet v1, width 0.25, 96 x 96 x 1) has 7.2 M multiply-accumulates: 13.0 M cycles / 7.2 M.
    "per_mac": 1.8,
    # A packed model knows how many RV32IMC instructions it takes, and does not use this chip's vector unit.
    # The ESP32's 1.57 cycles each: it has the same instruction set but for that unit. An assumption.
    "per_instruction": 1.57,
    # 42 964 RV32IMC instructions a frame at a 20 ms step (GCC 12.2 -O2; `make bench` counts them), 1.57
    # cycles each, as for models.
    "per_frame": 67_500,
    # Reading through the SPI driver: an assumption of 10 MB/s.
    "per_flash_byte": 24,
}
# From reset to main.py: an assumption, not a measurement.
BOOT_MS = 500

# What the regulator takes by itself, mA: none is on a bare chip or module; a development board's AMS1117
# takes 5.
REGULATOR_MA = 0.0
# Extra time of a light sleep: ESP-IDF v5.5 (components/esp_hw_support/sleep_modes.c) counts 382 + 133 us for
# the way out; falling asleep and Python around it: an assumption, together 1 ms of busy CPU.
LIGHT_SLEEP_US = 1000

BATTERY = {
    "title": "2000 mAh Li-ion cell",
    "mah": 2000,
    "usable": 0.8,
    # Voltage by the share of charge left: the usual shape of such cells, an assumption.
    "volts": ((0.0, 3.0), (0.05, 3.45), (0.2, 3.68), (0.5, 3.82), (0.8, 4.02), (1.0, 4.2)),
}
