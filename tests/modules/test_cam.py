"""The module ``cam`` in MicroPython, with a made-up camera (tests/modules/cam_testing)."""

from __future__ import annotations

import pytest
from twin.test_nn_contract import shape

from cicada.tools.paths import FIRMWARE
from support import pictures

SETUP = (
    "import cam, cam_testing, gc\nfrom cam_testing import tell, state\n"
    f"P = {pictures.PINS}\n"
    "b = bytearray(64)\n"
    "def t(f, *a):\n    try:\n        print('took it', f(*a))\n    except Exception as e:\n"
    "        print(type(e).__name__, e)\n"
)
STILL = "import cam_testing\ndef still():\n    cam_testing.tell('taken', 0)\n"


def test_frames_are_cropped_and_scaled_as_the_engine_does_it(interpreter):
    assert interpreter.run(STILL + pictures.script()) == pictures.printed()


def test_what_does_not_fit_is_refused(interpreter):
    assert interpreter.run(pictures.refusals()).splitlines() == pictures.refused()


def test_it_offers_what_its_contract_says(interpreter):
    contract = shape(FIRMWARE / "modules" / "cam.pyi")
    methods = {name for name, arguments in contract["Camera"].items() if arguments} - {"__init__"}
    code = "import cam\nfor o in cam, cam.Camera:\n    print(*(n for n in dir(o) if n[0] != '_'))"
    module, camera = interpreter.run(code).splitlines()
    assert set(module.split()) == set(contract) and set(camera.split()) == methods


def test_refusals_take_no_frame_and_leave_no_camera_on(interpreter):
    lines = interpreter.run(pictures.refusals() + "import cam_testing\nprint(cam_testing.state()[:4])")
    opened, closed, taken, given = eval(lines.splitlines()[-1])
    assert (opened, closed, taken, given) == (2, 2, 0, 0)


def test_settings_reach_the_driver(interpreter):
    code = (
        "c = cam.Camera(dict(P, reset=2), xclk_hz=10000000, buffers=2)\nprint(state()[6:])\n"
        "c.set(vflip=True)\nprint(state()[4:6])\nc.set(hmirror=1, vflip=False)\nprint(state()[4:6])\n"
        "c.set()\nprint(state()[4:6])\nt(c.set, True)"
    )
    assert interpreter.run(SETUP + code).splitlines() == [
        "[1, 10000000, 2, 34, 13, 14, 35, 39, 38, 37, 36, 4, 25, 5, 27, 18, 23, -1, 2]",
        "[1, 0]",
        "[0, 1]",
        "[0, 1]",
        "TypeError extra positional arguments given",
    ]


@pytest.mark.parametrize(("error", "name"), [(19, "ENODEV"), (12, "ENOMEM"), (5, "EIO")])
def test_a_camera_that_does_not_open_says_why_and_can_be_tried_again(error, name, interpreter):
    code = (
        f"import errno\ntell('error', {error})\nt(cam.Camera, P)\nprint(errno.{name} == {error})\n"
        "c = cam.Camera(P)\nc.capture_into(b, 8, 8)\nprint(state()[:4])\n"
    )
    expected = [f"OSError [Errno {error}] {name}: made to fail", "True", "[1, 0, 1, 1]"]
    assert interpreter.run(SETUP + code).splitlines() == expected


def test_a_frame_that_does_not_come_is_an_error_and_the_next_one_is_none(interpreter):
    code = (
        "c = cam.Camera(P)\ntell('error', 12)\nt(c.capture_into, b, 8, 8)\nprint(sum(b))\n"
        "c.capture_into(b, 8, 8)\nprint(sum(b) > 0, state()[2:4])\n"
        "tell('error', 5)\nt(lambda: c.set(vflip=True))"
    )
    assert interpreter.run(SETUP + code).splitlines() == [
        "OSError [Errno 12] ENOMEM: made to fail",
        "0",
        "True [1, 1]",
        "OSError [Errno 5] EIO: made to fail",
    ]


@pytest.mark.parametrize("buffers", [1, 2])
def test_frames_begun_before_the_call_are_passed_over(buffers, interpreter):
    """As many as the driver may hold; a driver with more of them is broken, and does not hang the program."""
    code = (
        f"c = cam.Camera(P, buffers={buffers})\n"
        f"tell('stale', {buffers})\n"
        "p = bytearray(1)\nc.capture_into(p, 1, 1, (0, 0, 1, 1))\n"
        f"print(p[0] == 29 * {buffers}, state()[2:4])\n"
        "tell('stale', 9)\nt(c.capture_into, p, 1, 1)\ns = state()\nprint(s[2] == s[3])"
    )
    assert interpreter.run(SETUP + code).splitlines() == [
        f"True [{buffers + 1}, {buffers + 1}]",
        "OSError [Errno 5] EIO: the camera delivers old frames only",
        "True",
    ]


def test_frames_of_another_size_are_refused_and_given_back(interpreter):
    code = "c = cam.Camera(P)\ntell('grow', 1)\nt(c.capture_into, b, 8, 8)\nprint(state()[2:4], sum(b))"
    expected = ["OSError [Errno 5] EIO: the sensor delivers frames of another size", "[1, 1] 0"]
    assert interpreter.run(SETUP + code).splitlines() == expected


def test_a_capture_touches_no_heap(interpreter):
    code = (
        "import micropython\nc = cam.Camera(P)\nr = (0, 0, 8, 8)\n"
        "micropython.heap_lock()\nc.capture_into(b, 8, 8)\nc.capture_into(b, 8, 8, r)\n"
        "micropython.heap_unlock()\nprint(state()[2:4])"
    )
    assert interpreter.run(SETUP + code) == "[2, 2]\n"


def test_a_forgotten_camera_is_switched_off(interpreter):
    code = (
        "def use():\n    c = cam.Camera(P)\n    c.capture_into(b, 8, 8)\n"
        "def deep(n):\n    return n and deep(n - 1)\n"  # overwrites what use() left on the stack
        "use()\ndeep(20)\ngc.collect()\nprint(state()[:4], state()[6])\n"
        "cam.Camera(P).deinit()\nprint(state()[:2])"
    )
    assert interpreter.run(SETUP + code).splitlines() == ["[1, 1, 1, 1] 0", "[2, 2]"]


def test_attributes_are_read_only(interpreter):
    code = (
        "c = cam.Camera(P, frame='VGA')\nprint(c.width, c.height, c.grayscale)\nt(setattr, c, 'width', 3)\n"
    )
    code += "print(c.width)\nt(getattr, c, 'depth')"
    assert interpreter.run(SETUP + code).splitlines() == [
        "640 480 True",
        "AttributeError 'Camera' object has no attribute 'width'",
        "640",
        "AttributeError 'Camera' object has no attribute 'depth'",
    ]


THREADS = SETUP + (
    "import _thread, time\nc = cam.Camera(P)\ntell('slow_ms', 200)\nn = 0\nsaid = []\n"
    "def count():\n    global n\n    while n >= 0:\n        n += 1\n        time.sleep_ms(1)\n"
    "def meddle():\n    time.sleep_ms(50)\n    for f in acts:\n        try:\n            f()\n"
    "            said.append('done')\n        except Exception as e:\n            said.append(repr(e))\n"
)


@pytest.fixture
def unix(interpreter):
    if interpreter.bits == 32:
        pytest.skip("no threads on the bare machine")
    return interpreter


def test_other_threads_run_while_a_frame_is_awaited(unix):
    code = "_thread.start_new_thread(count, ())\nc.capture_into(b, 8, 8)\nk, n = n, -1\nprint(k > 20)\n"
    assert unix.run(THREADS + code + "time.sleep_ms(20)") == "True\n"


def test_nobody_else_may_use_the_camera_meanwhile(unix):
    code = (
        "acts = c.deinit, lambda: c.capture_into(b, 8, 8), lambda: c.set(vflip=True), lambda: cam.Camera(P)\n"
        "_thread.start_new_thread(meddle, ())\nc.capture_into(b, 8, 8)\ntime.sleep_ms(50)\n"
        "print(said, sum(b) > 0, state()[1:4])\nc.deinit()"
    )
    busy = "OSError(16, 'another thread waits for a frame')"
    taken = "OSError(16, 'the camera is in use')"
    assert unix.run(THREADS + code) == f"{[busy, busy, busy, taken]} True [0, 1, 1]\n"


def test_a_buffer_that_changes_meanwhile_is_noticed(unix):
    code = (
        "acts = (lambda: b.extend(bytes(100000)),)\n_thread.start_new_thread(meddle, ())\n"
        "t(c.capture_into, b, 8, 8)\nprint(said, len(b), sum(b), state()[2:4])"
    )
    expected = ["ValueError buffer changed its size", "['done'] 100064 0 [1, 1]"]
    assert unix.run(THREADS + code).splitlines() == expected
