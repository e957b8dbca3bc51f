"""``esp32.Partition`` and ``esp32.NVS`` from the program's side; an update that really changes what runs."""

import re
import subprocess
import sys

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin import appimage, otadata
from cicada.tools.twin.flash import SHAPES, Cut, NorFlash
from cicada.tools.twin.twin import Twin
from support.images import new_image
from support.slots import SLOTS
from support.twins import QUIET, flash_of, run_script, script_flash

BOARD = load_board("twin")

# After MicroPython's own test for OTA: copy, boot the copy without confirming it, boot it again and confirm
# it, go back. Every boot says what runs; RTC memory counts the steps.
STEPS = """
import machine
from esp32 import Partition
rtc = machine.RTC()
step = len(rtc.memory())
cur = Partition(Partition.RUNNING)
nxt = cur.get_next_update()
print('step', step, cur.info()[4], Partition(Partition.BOOT).info()[4])
rtc.memory(b'x' * (step + 1))
if step == 0:
    block = bytearray(4096)
    for i in range(64):
        cur.readblocks(i, block)
        nxt.writeblocks(i, block)
    nxt.set_boot()
    machine.reset()
elif step == 1:  # in ota_1, unconfirmed
    machine.reset()
elif step == 2:  # rolled back
    nxt.set_boot()
    machine.reset()
elif step == 3:
    Partition.mark_app_valid_cancel_rollback()
    machine.reset()
elif step == 4:  # confirmed
    nxt.set_boot()
    machine.reset()
elif step == 5:
    Partition.mark_app_valid_cancel_rollback()
machine.deepsleep()
"""


def test_rollback_and_confirmation_as_micropythons_own_test_has_them(tmp_path):
    twin = run_script(STEPS, tmp_path, seconds=120)
    assert re.findall(r"step (\d) (\w+) (\w+)", twin.text) == [
        ("0", "ota_0", "ota_0"),
        ("1", "ota_1", "ota_1"),
        ("2", "ota_0", "ota_0"),
        ("3", "ota_1", "ota_1"),
        ("4", "ota_1", "ota_1"),
        ("5", "ota_0", "ota_0"),
    ]
    entries = [otadata.Entry.parse(twin.flash.read(SLOTS["otadata"].offset + i * 0x1000, 32)) for i in (0, 1)]
    assert [e.state_name for e in entries] == ["valid", "valid"]


def test_set_boot_then_deep_sleep_wakes_the_old_image(tmp_path):
    code = STEPS.replace(
        "    machine.reset()\nelif step == 1:", "    machine.deepsleep(1000)\nelif step == 1:"
    )
    twin = run_script(code.replace("elif step == 1:", "elif step == 9:"), tmp_path, seconds=60)
    assert re.findall(r"step (\d) (\w+) (\w+)", twin.text)[1] == ("1", "ota_0", "ota_1")


def test_an_update_changes_the_code_that_runs(tmp_path):
    """The new image lies in the model partition, from where the old program copies it into the spare slot."""
    image = new_image(tmp_path, "2.0.0")
    flash = NorFlash(BOARD.FLASH_SIZE, script_flash(UPDATE % len(image), tmp_path))
    flash.program(SLOTS["model_0"].offset, image)
    twin = Twin(flash, BOARD, QUIET)
    twin.run(60)
    assert "running 2.0.0" in twin.text and twin.booted.image.version == "2.0.0"
    assert twin.booted.partition.label == "ota_1"


UPDATE = """
import machine
from esp32 import Partition
source = Partition('model_0')
target = Partition(Partition.RUNNING).get_next_update()
block = bytearray(4096)
for i in range((%d + 4095) // 4096):
    source.readblocks(i, block)
    target.writeblocks(i, block)
target.set_boot()
machine.reset()
"""


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_power_cuts_in_an_update_end_in_a_whole_image_each_time(shape, tmp_path):
    image = new_image(tmp_path, "2.0.0")
    base = NorFlash(BOARD.FLASH_SIZE, script_flash(UPDATE % len(image), tmp_path))
    base.program(SLOTS["model_0"].offset, image)
    before = base.snapshot()
    base.log = []
    Twin(base, BOARD, QUIET).run(60)
    first, last = base.log[0].number, base.log[-1].number
    assert last - first > 100
    for n in range(10):
        flash = NorFlash(BOARD.FLASH_SIZE)
        flash.restore(before)
        flash.cut = Cut(first + (last - first) * n // 9, "inside", shape, seed=n)
        twin = Twin(flash, BOARD, QUIET)
        twin.run(120)
        assert len(twin.cuts) == 1, "the cut has to happen"
        assert "running 2.0.0" in twin.text and twin.booted.image.version == "2.0.0", twin.text
        slot = twin.booted.partition
        appimage.verify(flash.read(slot.offset, slot.size), "esp32", slot.size)


ERRORS = """
import machine
from esp32 import Partition
def tell(what):
    try:
        print('no error', what())
    except (OSError, ValueError) as e:
        print('error', type(e).__name__, e.args)
p = Partition('vfs')
tell(lambda: Partition('nothing'))
tell(lambda: Partition(7))
tell(lambda: p.readblocks(10**6, bytearray(1)))
tell(lambda: p.readblocks(p.ioctl(4, 0) - 1, bytearray(4097)))
tell(lambda: p.writeblocks(0, bytearray(100)))
tell(lambda: Partition.find(Partition.TYPE_DATA, label='nvs')[0].set_boot())
tell(lambda: Partition('ota_1').set_boot())
tell(lambda: Partition('vfs', 512).ioctl(6, 0))
tell(lambda: (p.ioctl(4, 0), p.ioctl(5, 0), p.ioctl(3, 0), p.info()))
p.ioctl(6, 3)
tell(lambda: p.writeblocks(3, b'\\x0f', 0))
tell(lambda: p.writeblocks(3, b'\\xf0', 0))
q = Partition('vfs', 512)
q.writeblocks(8 * 3 + 1, b'a' * 512); q.writeblocks(8 * 3, b'b' * 1024)
b = bytearray(2048); q.readblocks(8 * 3, b); print('small blocks', b[:3], b[1023:1025])
machine.deepsleep()
"""


def test_errors_are_those_of_the_port(tmp_path):
    vfs = SLOTS["vfs"]
    text = run_script(ERRORS, tmp_path).text
    lines = [line for line in text.splitlines() if line.startswith(("error", "no error", "small"))]
    assert lines == [
        "error OSError (2,)",
        "error ValueError ()",
        "error OSError (-258, 'ESP_ERR_INVALID_ARG')",
        "error OSError (-260, 'ESP_ERR_INVALID_SIZE')",
        "error OSError (-260, 'ESP_ERR_INVALID_SIZE')",
        "error OSError (-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')",
        "error OSError (-5379, 'ESP_ERR_OTA_VALIDATE_FAILED')",
        "no error -22",
        f"no error ({vfs.size // 4096}, 4096, 0, (1, 129, {vfs.offset}, {vfs.size}, 'vfs', False))",
        "no error None",
        f"error ValueError ('programming 0xf0 over 0x0f at 0x{vfs.offset + 0x3000:x} would set bits: "
        "erase the sector first',)",
        "small blocks bytearray(b'bbb') bytearray(b'b\\xff')",
    ]


def test_the_file_system_survives_power_cuts(tmp_path):
    """littlefs on the partition: after a cut at any operation the old or the new contents are there; a file
    that was only just being made may be empty, as littlefs makes it when it is opened."""
    code = (
        "import machine, os\n"
        "n = 0\n"
        "try:\n    n = int(open('n').read() or 0); print('read', n)\nexcept OSError:\n    print('none')\n"
        "for i in range(n + 1, n + 4):\n"
        "    with open('n', 'w') as f: f.write(str(i))\n"
        "print('wrote', n + 3)\nmachine.deepsleep()\n"
    )
    image = script_flash(code, tmp_path)
    whole = NorFlash(BOARD.FLASH_SIZE, image)
    whole.log = []
    Twin(whole, BOARD, QUIET).run(20)
    for number, shape in zip(range(3, len(whole.log)), SHAPES * 20, strict=False):
        flash = NorFlash(BOARD.FLASH_SIZE, image)
        flash.cut = Cut(number, "inside", shape, number)
        twin = Twin(flash, BOARD, QUIET)
        twin.run(20)
        assert len(twin.cuts) == 1 and "wrote" in twin.text and "Traceback" not in twin.text, twin.text


NVS_STEPS = """
import machine
from esp32 import NVS
n = NVS('node')
def tell(what):
    try:
        print('value', what())
    except OSError as e:
        print('error', e.args)
buf = bytearray(40)
tell(lambda: n.get_i32('boots'))
tell(lambda: (n.get_blob('name', buf), bytes(buf[:4])))
n.set_i32('boots', -5); n.set_blob('name', b'abcd'); n.commit()
tell(lambda: n.get_i32('name'))
tell(lambda: n.get_blob('name', bytearray(2)))
tell(lambda: n.set_i32('a key that is too long', 1))
tell(lambda: NVS('other').get_i32('boots'))
n.set_i32('gone', 1); n.erase_key('gone')
tell(lambda: n.erase_key('gone'))
if machine.reset_cause() == machine.PWRON_RESET: machine.reset()
machine.deepsleep()
"""


def test_nvs_keeps_values_through_a_reset_with_the_ports_errors(tmp_path):
    text = run_script(NVS_STEPS, tmp_path).text
    told = [line for line in text.splitlines() if line.startswith(("value", "error"))]
    missing = "error (-4354, 'ESP_ERR_NVS_NOT_FOUND')"
    rest = [
        missing,
        "error (-4364, 'ESP_ERR_NVS_INVALID_LENGTH')",
        "error (-4361, 'ESP_ERR_NVS_KEY_TOO_LONG')",
        missing,
        missing,
    ]
    assert told == [missing, missing, *rest, "value -5", "value (4, b'abcd')", *rest]


def test_an_nvs_image_of_espressifs_tool_is_read(tmp_path):
    (tmp_path / "in.csv").write_text(
        "key,type,encoding,value\nnode,namespace,,\nboots,data,i32,-77\nname,data,hex2bin,61626364\n"
    )
    made = subprocess.run(
        [sys.executable, "-m", "esp_idf_nvs_partition_gen", "generate", "in.csv", "out.bin", "0x5000"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    flash = NorFlash(BOARD.FLASH_SIZE, script_flash(NVS_STEPS, tmp_path))
    flash.program(SLOTS["nvs"].offset, (tmp_path / "out.bin").read_bytes())
    twin = Twin(flash, BOARD, QUIET)
    twin.run(20)
    assert "value -77" in twin.text and "value (4, b'abcd')" in twin.text


def test_a_damaged_image_found_after_sleep_is_a_panic_and_then_passed_over(tmp_path):
    code = (
        "import machine\nfrom esp32 import Partition\nprint('cause', machine.reset_cause())\n"
        "if machine.reset_cause() == machine.HARD_RESET: machine.deepsleep()\n"
        "p = Partition(Partition.RUNNING)\n"
        "p.writeblocks(0, bytes(64), 288)\nmachine.deepsleep(1000)\n"
    )
    image = bytearray(script_flash(code, tmp_path))
    one, two = (SLOTS[label].offset for label in ("ota_0", "ota_1"))
    image[two : two + 0x100000] = image[one : one + 0x100000]
    twin = Twin(image, BOARD, QUIET)
    twin.run(30)
    assert re.findall(r"cause (\d)|(Guru)", twin.text) == [("1", ""), ("", "Guru"), ("2", "")]
    assert twin.booted.partition.label == "ota_1"


def test_a_board_on_which_nothing_boots_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no slot of the flash image holds a bootable image"):
        Twin(flash_of(b"")[:0x10000] + b"\xff" * (BOARD.FLASH_SIZE - 0x10000), BOARD, QUIET).run(5)
    with pytest.raises(UserError, match="holds no application"):
        Twin(flash_of(b"no ROMFS"), BOARD, QUIET).run(5)
