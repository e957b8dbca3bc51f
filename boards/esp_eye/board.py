"""Espressif's ESP-EYE v2.1: ESP32, 4 MB of flash, 8 MB of PSRAM, microphone, OV2640 camera, LEDs, button.

Memory and parts: ESP-EYE Getting Started Guide
(https://github.com/espressif/esp-who/blob/master/docs/en/get-started/ESP-EYE_Getting_Started_Guide.md).
"""

NAME = "esp_eye"
TITLE = "ESP-EYE"
CHIP = "esp32"
UNIQUE_ID = "240ac4c1cae2"  # stands for the MAC address in software; the chip's own is in its eFuses

FLASH_SIZE = 4 * 1024 * 1024
PSRAM_SIZE = 8 * 1024 * 1024  # of which the chip addresses 4 MB at a time
CPU_HZ = 240_000_000
# MicroPython heap, bytes: half of the PSRAM the chip addresses; frames of the camera have the rest.
HEAP = 2 * 1024 * 1024
ARENA = 128 * 1024  # for tensors, bytes

# Pins: esp-tflite-micro, examples/micro_speech/main/i2s_setup.cc. Which slot of a frame carries the sound is
# found by listening: drivers disagree about which one is called left. The gain is as for the INMP441, whose
# sensitivity is the usual one of such microphones; not measured. I2S 0 is the camera's on this chip.
MICROPHONE = {
    "id": 1,
    "sck": 26,
    "ws": 32,
    "sd": 33,
    "slot": None,
    "gain_bits": 3,
    "ibuf_ms": 192,
}
# LEDs and button: ESP-EYE v2.1 schematic.
LED = 21  # red
LED_WHITE = 22
BUTTON = 15  # on the side: low while pressed
# OV2640, as cam.Camera takes it. Pins: esp-tflite-micro, examples/person_detection/main/app_camera_esp.h.
CAMERA = {
    "d0": 34,
    "d1": 13,
    "d2": 14,
    "d3": 35,
    "d4": 39,
    "d5": 38,
    "d6": 37,
    "d7": 36,
    "xclk": 4,
    "pclk": 25,
    "vsync": 5,
    "href": 27,
    "sda": 18,
    "scl": 23,
}
# The camera's control bus; nothing else is on the board.
I2C = {"id": 0, "scl": 23, "sda": 18}
I2C_DEVICES = ()
BATTERY_ADC = {"pin": None, "ratio": 0.5}  # no battery is wired to an ADC pin
# No analog microphone: the camera has the pins of ADC1.
SOUND_ADC = None
FRAME_US = 80_000  # a frame of the camera: an assumption, 12.5 frames a second

# mA at 3.3 V.
POWER = {
    # ESP32 Series Datasheet v3.5, table 6: modem sleep, 240 MHz, dual core: 30 mA idle, 68 mA busy.
    "cpu_busy": 68.0,
    "cpu_idle": 30.0,
    # Same table: light sleep; deep sleep with RTC timer and RTC memory.
    # The chip alone: on this board the USB bridge, the regulator and the camera stay powered and take more.
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
    # An assumption: the INMP441's normal mode. The microphone cannot be switched off.
    "microphone_on": 2.2,
    "microphone_off": 2.2,
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
