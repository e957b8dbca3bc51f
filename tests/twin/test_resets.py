"""What survives which reset, and how a start that fails goes on, as on the ESP32 port."""

from __future__ import annotations

import re
import zlib

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin import romfs
from cicada.tools.twin.boot import boot
from cicada.tools.twin.flash import Cut, NorFlash
from cicada.tools.twin.image import compile_python
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, flash_of, run_script, script_flash

BOARD = load_board("twin")
# Every life ends in another way; RTC memory counts them.
LIVES = """
import machine, nn, time
from esp32 import Partition
r = machine.RTC()
lived = r.memory()
print('life', len(lived), machine.reset_cause())
r.memory(lived + b'x')
if len(lived) == 0:
    machine.reset()
elif len(lived) == 1:
    machine.WDT(timeout=1000)
    while True: time.sleep_ms(10)
elif len(lived) == 2:
    machine.WDT(timeout=1000)
    while True: pass
elif len(lived) == 3:
    nn.map_partition('outbox')[0] = 1
elif len(lived) == 4:
    machine.deepsleep(500)
elif len(lived) == 5:
    print('writing')
    Partition('outbox').ioctl(6, 0)
machine.deepsleep()
"""


def test_rtc_memory_outlives_everything_but_a_power_cut(tmp_path):
    flash = NorFlash(BOARD.FLASH_SIZE, script_flash(LIVES, tmp_path))
    twin = Twin(flash, BOARD, QUIET)
    twin.power_on()
    assert twin.run_until(lambda: "writing" in twin.text, 60)
    flash.cut = Cut(flash.operations)
    twin.run_until(lambda: len(twin.cuts) == 1 and twin.text.count("life 0") == 2, 60)
    twin.power_off()
    reset, watchdog, sleep = 2, 3, 4
    causes = [1, reset, watchdog, watchdog, reset, sleep, 1]
    expected = [(str(n), str(cause)) for n, cause in zip([*range(6), 0], causes, strict=True)]
    assert re.findall(r"life (\d+) (\d)", twin.text)[:7] == expected


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("bytearray(1 << 30)", "MemoryError: memory allocation failed, allocating 1073741824 bytes"),
        ("import nothing_like_that", "ImportError: no module named 'nothing_like_that'"),
        ("raise SystemExit", None),
    ],
)
def test_a_boot_script_that_fails_is_told_and_the_program_starts_all_the_same(fault, said, tmp_path):
    main = "import machine, os\nprint('main', os.listdir('/'))\nmachine.deepsleep()\n"
    image = boot(NorFlash(BOARD.FLASH_SIZE, script_flash(main, tmp_path)), BOARD.CHIP).image
    (tmp_path / "_boot.py").write_text(f"print('first')\n{fault}\n")
    files = romfs.unpack(image.payload) | {"_boot.mpy": compile_python(tmp_path / "_boot.py")}
    twin = Twin(flash_of(romfs.pack(files)), BOARD, QUIET)
    twin.run(5)
    assert "first\n" in twin.text and "main ['rom']\n" in twin.text
    assert twin.text.count("Traceback") == (said is not None)
    assert said is None or (said in twin.text and '"_boot.py", line 2' in twin.text)


def test_modules_of_a_chip_are_there(tmp_path):
    """What updates need beside the modules of the board."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    code = (
        "import deflate, hashlib, io, machine, uctypes\n"
        f"packed = io.BytesIO({packer.compress(b'cicada' * 9) + packer.flush()!r})\n"
        "print(deflate.DeflateIO(packed, deflate.RAW, 12).read())\n"
        "b = bytearray(b'abc')\nprint(uctypes.bytearray_at(uctypes.addressof(b), 3))\n"
        "print(hashlib.sha256(b'abc').digest()[:4])\nmachine.deepsleep()\n"
    )
    text = run_script(code, tmp_path, seconds=5).text
    assert f"{b'cicada' * 9}\n" in text and "bytearray(b'abc')\n" in text and "b'\\xbax\\x16\\xbf'\n" in text
