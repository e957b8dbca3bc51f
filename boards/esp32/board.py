"""A generic ESP32 with 4 MB of flash (ESP32-WROOM-32, e.g. ESP32-DevKitC) and an INMP441 microphone on wires.

Pins are those of docs/boards.md; change them here for other wiring. The microphone's CHIPEN pin is wired to a
GPIO, so that it is powered down in deep sleep.
"""

NAME = "esp32"
TITLE = "ESP32"
CHIP = "esp32"
UNIQUE_ID = "240ac4c1cae1"  # stands for the MAC address in software; the chip's own is in its eFuses

FLASH_SIZE = 4 * 1024 * 1024
CPU_HZ = 240_000_000
# MicroPython heap, bytes: what an ESP32 without PSRAM can promise beside Wi-Fi and a 60 KB arena.
HEAP = 100 * 1024
ARENA = 60 * 1024  # for tensors, bytes

# INMP441, L/R at GND: the first slot of a frame. Its sensitivity of -26 dBFS at 94 dB SPL (datasheet) leaves
# speech at 60 dB some 60 dB below full scale; three bits of gain are 18 dB.
MICROPHONE = {
    "id": 0,
    "sck": 26,
    "ws": 25,
    "sd": 33,
    "enable": 27,
    "slot": 0,
    "gain_bits": 3,
    "ibuf_ms": 192,
}
LED = 2  # many development boards have one there
BUTTON = 0  # the boot button: low while pressed
I2C = {"id": 0, "scl": 22, "sda": 21}
I2C_DEVICES = ()
SPI = {"id": 2, "sck": 18, "mosi": 23, "miso": 19}  # VSPI's own pins
# The battery through two equal resistors.
BATTERY_ADC = {"pin": 35, "ratio": 0.5}
# An analog microphone at ADC1, which the ULP coprocessor listens to in deep sleep. Where the bias lies and
# how far the loudest sound swings: an amplifier such as the MAX9814 (its datasheet: 1.25 V, 2 Vpp). Its
# current: an assumption, a MEMS microphone and a micropower amplifier; a MAX9814 takes 3.1 mA.
SOUND_ADC = {"pin": 36, "bias_mv": 1250, "mv_full_scale": 1000, "ma": 0.1}
FRAME_US = 80_000  # no camera; the twin's figure

# mA at 3.3 V.
POWER = {
    # ESP32 Series Datasheet v3.5, table 6: modem sleep, 240 MHz, dual core: 30 mA idle, 68 mA busy.
    "cpu_busy": 68.0,
    "cpu_idle": 30.0,
    # Same table: light sleep; deep sleep with RTC timer and RTC memory. ESP-IDF's guides (v5.5) have 5 uA of
    # deep sleep for the chip, and 8.1 uA measured at a module.
    "light_sleep": 0.8,
    "deep_sleep": 0.010,
    # Same datasheet, RF power consumption: receiving takes 95 to 100 mA, sending 802.11b at 19.5 dBm 240 mA
    # (half of the time on the air); here is what the radio adds to the idle CPU's 30 mA. Associated and idle
    # in modem sleep: an assumption, the receiver on for 5 ms of every beacon's 102 ms.
    "wifi_receive": 68.0,
    "wifi_send": 210.0,
    "wifi_associated": 3.3,
    # ESP32 Series Datasheet v3.5, current consumption in low-power modes: deep sleep with the ULP
    # coprocessor on 150 uA, of which deep sleep itself is 10. With the ADC at work for 1 % of the time ("ULP
    # sensor-monitored pattern") 100 uA, which leaves 9 mA while it works.
    "ulp": 0.140,
    "ulp_adc": 9.0,
    # INMP441 datasheet rev. 1.1, table 1, 3.3 V: normal mode; power down (CHIPEN low).
    "microphone_on": 2.2,
    "microphone_off": 0.0045,
}

# The chip at lower frequencies, same table.
POWER_AT_MHZ = {160: {"cpu_busy": 44.0, "cpu_idle": 27.0}, 80: {"cpu_busy": 31.0, "cpu_idle": 20.0}}
# W25Q32JV datasheet, AC characteristics, typical: page program 0.4 ms, sector erase 45 ms.
FLASH_US = {"program": 400, "erase": 45_000}

# CPU cycles, to turn work into time.
CYCLES = {
    # esp-tflite-micro's README: person detection takes 380 ms on an ESP32 at 240 MHz. That model
    # (MobileNet v1, width 0.25, 96 x 96 x 1) has 7.2 M multiply-accumulates: 91.2 M cycles / 7.2 M.
    "per_mac": 12.7,
    # A packed model knows how many RV32IMC instructions it takes. Person detection is 58.2 M of them with
    # ESP-NN's C kernels (GCC 14.2 -O2, counted once, not by this repository): 91.2 M cycles / 58.2 M.
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
# Extra time of a light sleep: ESP-IDF v5.5 (components/esp_hw_support/sleep_modes.c) counts 212 + 60 us for
# the way out; falling asleep and Python around it: an assumption, together 1 ms of busy CPU.
LIGHT_SLEEP_US = 1000

BATTERY = {
    "title": "2000 mAh Li-ion cell",
    "mah": 2000,
    "usable": 0.8,
    # Voltage by the share of charge left: the usual shape of such cells, an assumption.
    "volts": ((0.0, 3.0), (0.05, 3.45), (0.2, 3.68), (0.5, 3.82), (0.8, 4.02), (1.0, 4.2)),
}
