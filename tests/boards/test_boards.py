"""The boards' folders agree with themselves, with each other and with their chips."""

from __future__ import annotations

import json
import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.firmware.build import boards
from cicada.tools.firmware.checks import BOARD_FILES, COMPILERS
from cicada.tools.paths import BOARDS, FIRMWARE
from cicada.tools.twin.image import compile_python, flash_image
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin

NAMES = boards()
MODEL = FIRMWARE / "models" / "kws.cmod"
# Pins that exist; those of the flash (and of octal PSRAM) and those without an output driver. From the chips'
# datasheets, pin definitions; ESP32-S3-WROOM-1 for the octal PSRAM.
PINS = {
    "esp32": (set(range(40)) - {20, 24, *range(28, 32)}, set(range(6, 12)), set(range(34, 40))),
    "esp32s3": (set(range(22)) | set(range(26, 49)), set(range(26, 38)), set()),
    "esp32c3": (set(range(22)), set(range(11, 18)), set()),
}
CONSOLE = {"esp32": {1, 3}, "esp32s3": {19, 20, 43, 44}, "esp32c3": {18, 19, 20, 21}}


def options(board):
    """``CONFIG_`` lines of a board's fragment."""
    text = (BOARDS / board / "sdkconfig.board").read_text()
    return dict(re.findall(r"^CONFIG_(\w+)=(.*)$", text, re.M))


def wires(board):
    """``[(what, pin, driven by the chip)]`` of a board's description."""
    found = [("led", board.LED, True)]
    found += [
        (name, board.MICROPHONE[name], True) for name in ("sck", "ws", "enable") if name in board.MICROPHONE
    ]
    found.append(("sd", board.MICROPHONE["sd"], False))
    found += [("button", board.BUTTON, False), ("battery", board.BATTERY_ADC["pin"], False)]
    found += [("white led", getattr(board, "LED_WHITE", None), True)]
    if board.CAMERA:
        found += [(name, pin, name in ("xclk", "sda", "scl")) for name, pin in board.CAMERA.items()]
    else:
        found += [(name, board.I2C[name], True) for name in ("scl", "sda")]
    found += [(name, pin, name != "miso") for name, pin in getattr(board, "SPI", {}).items() if name != "id"]
    return [wire for wire in found if wire[1] is not None]


def test_the_four_boards_are_there():
    assert {"esp32", "esp_eye", "esp32s3", "esp32c3"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_is_complete(name):
    board = load_board(name)
    assert board.NAME == name and board.CHIP in COMPILERS
    assert [file for file in BOARD_FILES if not (BOARDS / name / file).is_file()] == []
    assert (BOARDS / name / "sdkconfig.signed").is_file()
    about = json.loads((BOARDS / name / "board.json").read_text())
    assert about["mcu"] == board.CHIP


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_exists_is_free_and_is_used_once(name):
    board = load_board(name)
    there, memory, inputs = PINS[board.CHIP]
    pins = [pin for _, pin, _ in wires(board)]
    assert len(pins) == len(set(pins))
    for what, pin, driven in wires(board):
        assert pin in there - memory - CONSOLE[board.CHIP], what
        assert not (driven and pin in inputs), what


@pytest.mark.parametrize("name", NAMES)
def test_the_build_is_told_what_the_description_says(name):
    board, said = load_board(name), options(name)
    cmake = (BOARDS / name / "mpconfigboard.cmake").read_text()
    assert f"set(IDF_TARGET {board.CHIP})" in cmake
    assert said[f"ESPTOOLPY_FLASHSIZE_{board.FLASH_SIZE >> 20}MB"] == "y"
    assert (said.get("SPIRAM") == "y") == bool(board.PSRAM_SIZE)
    # ESP-IDF's default is 160 MHz on all of them.
    assert ("sdkconfig.240mhz" in cmake) == (board.CPU_HZ == 240_000_000)


@pytest.mark.parametrize("name", [name for name in NAMES if load_board(name).PSRAM_SIZE])
def test_a_board_whose_psram_is_missing_still_boots(name):
    assert options(name)["SPIRAM_IGNORE_NOTFOUND"] == "y"


@pytest.mark.parametrize("name", NAMES)
def test_a_camera_is_described_as_the_module_takes_it_and_the_module_is_built(name):
    cmake = (BOARDS / name / "mpconfigboard.cmake").read_text()
    pins = load_board(name).CAMERA
    assert ("set(CICADA_BOARD_CAMERA ON)" in cmake) == bool(pins)
    if pins:
        wanted = {f"d{n}" for n in range(8)} | {"xclk", "pclk", "vsync", "href", "sda", "scl"}
        assert wanted <= set(pins) <= wanted | {"pwdn", "reset"}


@pytest.mark.parametrize("name", [name for name in NAMES if load_board(name).CHIP == "esp32"])
def test_camera_and_microphone_do_not_share_a_peripheral(name):
    # esp32-camera takes I2S 0 on this chip (its target/esp32/ll_cam.c).
    board = load_board(name)
    assert board.CAMERA is None or board.MICROPHONE["id"] == 1


def test_the_fragment_for_all_boards_keeps_a_node_alive():
    text = (FIRMWARE / "sdkconfig.common").read_text()
    wanted = (
        "ESP_INT_WDT ESP_TASK_WDT_EN ESP_TASK_WDT_INIT ESP_BROWNOUT_DET ESP_SYSTEM_PANIC_PRINT_REBOOT "
        "BOOTLOADER_WDT_ENABLE BOOTLOADER_APP_ROLLBACK_ENABLE BOOTLOADER_SKIP_VALIDATE_IN_DEEP_SLEEP"
    )
    assert [name for name in wanted.split() if f"\nCONFIG_{name}=y\n" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_description_compiles_for_micropython(name):
    assert compile_python(BOARDS / name / "board.py")[:1] == b"M"


@pytest.mark.parametrize("name", NAMES)
def test_the_application_runs_on_the_board_in_software(name):
    board = load_board(name)
    image = flash_image(name, {"kws": MODEL.read_bytes()}, "0.1.0")
    twin = Twin(image, board, Sound([], 2))
    twin.run(1)
    assert f"on {board.TITLE}" in twin.text and "listening" in twin.text
