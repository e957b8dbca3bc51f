"""The twin's ``cam`` is the module of the chips: same names, same pictures, same complaints."""

from __future__ import annotations

import re

import pytest
from PIL import Image
from twin.test_nn_contract import shape

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import BOARDS, FIRMWARE
from cicada.tools.twin.sensors.camera import Camera
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support import pictures
from support.twins import QUIET, script_flash

END = "\nimport machine\nmachine.deepsleep()\n"


def run(code, folder, *images, seconds=60):
    """Console of the twin that runs ``code`` with a camera that shows ``images``."""
    world = World(QUIET, camera=Camera(list(images)) if images else None)
    twin = Twin(script_flash(code + END, folder), load_board("twin"), world)
    twin.run(seconds)
    return twin


def gray(folder, size=(320, 240), name="a.png"):
    path = folder / name
    Image.fromarray(pictures.pattern(*size)).save(path)
    return path


def lines(twin, count):
    """The last lines before the chip sleeps."""
    return twin.text.split("rst:0x5")[0].splitlines()[-count:]


def test_shim_and_contract_agree():
    assert shape(BOARDS / "twin" / "lib" / "cam.py") == shape(FIRMWARE / "modules" / "cam.pyi")


@pytest.mark.parametrize("size", [(320, 240), (160, 120)])
def test_pictures_are_those_of_the_chips(size, tmp_path):
    jobs = [job for job in pictures.JOBS if job[1] and pictures.SIZES[job[0]] == size]
    twin = run("def still():\n    pass\n" + pictures.script(jobs), tmp_path, gray(tmp_path, size))
    assert pictures.printed(jobs) in twin.text.replace("\r\n", "\n")


def test_rgb565_has_its_high_byte_first(tmp_path):
    Image.new("RGB", (64, 48), (255, 0, 8)).save(tmp_path / "red.png")
    code = f"import cam\nc = cam.Camera({pictures.PINS}, grayscale=False)\nb = bytearray(8)\n"
    twin = run(code + "c.capture_into(b, 2, 2)\nprint(b.hex())", tmp_path, tmp_path / "red.png")
    assert "f801" * 4 in twin.text


def test_complaints_are_those_of_the_chips(tmp_path):
    twin = run(pictures.refusals(), tmp_path, gray(tmp_path))
    expected = pictures.refused()
    assert lines(twin, len(expected)) == expected


def test_it_turns_and_mirrors(tmp_path):
    code = (
        f"import cam\nc = cam.Camera({pictures.PINS}, frame='96X96')\nb = bytearray(4)\n"
        "def show():\n    c.capture_into(b, 2, 2, (0, 0, 2, 2))\n    print(list(b))\n"
        "show()\nc.set(vflip=True)\nshow()\nc.set(hmirror=True)\nshow()\nc.set(vflip=False)\nshow()"
    )
    p = pictures.pattern(96, 96)
    corners = [p[:2, :2], p[::-1][:2, :2], p[::-1, ::-1][:2, :2], p[:, ::-1][:2, :2]]
    assert lines(run(code, tmp_path, gray(tmp_path, (96, 96))), 4) == [
        str(corner.reshape(-1).tolist()) for corner in corners
    ]


def test_any_writable_buffer_will_do(tmp_path):
    code = (
        f"import cam\nfrom array import array\nc = cam.Camera({pictures.PINS}, frame='96X96')\n"
        "b, h = bytearray(6), array('H', [0, 0])\nc.capture_into(memoryview(b)[1:5], 2, 2)\n"
        "c.capture_into(h, 2, 2)\nprint(bytes(b)[1:5] == bytes(h), b[0] + b[5])"
    )
    assert lines(run(code, tmp_path, gray(tmp_path, (96, 96))), 1) == ["True 0"]


def test_a_capture_takes_time(tmp_path):
    code = (
        f"import cam, time\nc = cam.Camera({pictures.PINS})\nb = bytearray(96 * 96)\nt = time.ticks_us()\n"
        "c.capture_into(b, 96, 96)\nprint('took', time.ticks_diff(time.ticks_us(), t))"
    )
    took = int(re.search(r"took (\d+)", run(code, tmp_path, gray(tmp_path)).text)[1])
    frame = load_board("twin").FRAME_US
    assert frame + 4000 < took < frame + 6000


def test_a_reset_switches_it_off(tmp_path):
    code = (
        f"import cam, machine\nc = cam.Camera({pictures.PINS})\n"
        "if machine.reset_cause() == machine.PWRON_RESET:\n    machine.reset()\nprint('again')"
    )
    assert "again" in run(code, tmp_path, gray(tmp_path)).text


def test_without_a_camera_there_is_none(tmp_path):
    code = f"import cam\ntry:\n    cam.Camera({pictures.PINS})\nexcept OSError as e:\n    print(e)"
    assert lines(run(code, tmp_path), 1) == ["[Errno 19] ENODEV: no camera answers at sda and scl"]


def test_an_unreadable_picture_is_the_users_fault(tmp_path):
    (tmp_path / "b.png").write_bytes(b"no image")
    code = f"import cam\ncam.Camera({pictures.PINS}).capture_into(bytearray(1), 1, 1)"
    with pytest.raises(UserError, match="b.png is not a readable image"):
        run(code, tmp_path, tmp_path / "b.png")
