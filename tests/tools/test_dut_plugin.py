"""The fixture ``dut`` in a pytest of its own: on the twin, at a port, with wrong options."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import pytest

from support.twins import script_flash

PROGRAM = """
import machine, time
print("hello, cause", machine.reset_cause())
n = 0
while True:
    time.sleep(1)
    n += 1
    print('EVENT {"event": "%s", "n": %d}' % ("even" if n % 2 == 0 else "odd", n))
"""
CONFTEST = """
import pathlib, pytest
@pytest.fixture(scope="session")
def dut_image():
    return pathlib.Path("flash.bin").read_bytes()
"""


@pytest.fixture(scope="module")
def flash(tmp_path_factory):
    return script_flash(PROGRAM, tmp_path_factory.mktemp("script"))


def run_pytest(folder, tests, *options, flash=None, **environment):
    """Run ``tests`` with the plugin; its exit code, all it said, and ``{test: (outcome, message)}``."""
    folder.mkdir(exist_ok=True)
    (folder / "tmp").mkdir()
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    if flash:
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "flash.bin").write_bytes(flash)
    (folder / "test_inner.py").write_text(tests)
    environment = (
        os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "TMPDIR": str(folder / "tmp")} | environment
    )
    command = [sys.executable, "-m", "pytest", "-p", "cicada.tools.dut.plugin", "--junitxml=result.xml"]
    run = subprocess.run(
        [*command, *options], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    outcomes = {}
    if (folder / "result.xml").exists():
        for case in xml.parse(folder / "result.xml").iter("testcase"):
            bad = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
            outcomes[case.get("name")] = ("passed", "") if bad is None else (bad.tag, bad.get("message"))
    return run.returncode, run.stdout + run.stderr, outcomes


ON_THE_TWIN = """
import pytest
from cicada.tools.dut.base import ExecError, ExpectTimeout
from cicada.tools.errors import UserError
from cicada.tools.twin.world import Steps, World
from cicada.tools.twin.sound import Sound

def test_timeouts_are_virtual(dut):
    assert dut.is_twin
    assert dut.expect(r"cause (\\d)\\n")[1] == "1"
    began = dut.now
    with pytest.raises(ExpectTimeout, match="within 3600 virtual s"):
        dut.expect("never", timeout=3600)
    assert 3600 <= dut.now - began < 3602
    assert len(dut.events()) in (3599, 3600, 3601)

def test_events_come_in_virtual_time(dut):
    assert dut.expect_event("even") == {"event": "even", "n": 2}
    assert dut.expect_event("odd")["n"] == 3
    assert 3 < dut.now < 4

def test_exec_runs_code_and_explains_what_it_raises(dut):
    assert dut.exec("") == ""
    assert dut.exec('''
        for i in range(2):
            print(i, "\\u221e")
    ''') == "0 \\u221e\\n1 \\u221e\\n"
    with pytest.raises(ExecError, match="ZeroDivisionError: divide by zero") as error:
        dut.exec("x = 1\\nx / 0")
    assert "   2 x / 0" in str(error.value) and error.value.exception.startswith("ZeroDivisionError")
    with pytest.raises(ExecError, match="SyntaxError"):
        dut.exec("x = = 1")
    assert dut.exec("print(x)\\n" + "# long\\n" * 3000) == "1\\n"
    dut.write("x + 41\\r")
    dut.expect("^42\\n", timeout=2)

def test_code_that_does_not_end_fails_and_can_be_interrupted(dut):
    with pytest.raises(ExpectTimeout, match="that the code has ended within 3 virtual s"):
        dut.exec("import time\\nwhile True: time.sleep(1)", timeout=3)
    assert dut.exec("print(1)") == "1\\n"

def test_exec_waits_until_a_sleeper_wakes(dut):
    dut.exec("import machine")
    dut.write("machine.deepsleep(5000)\\r")
    # A Ctrl-C before it sleeps would take the line back, and how fast it reads depends on the machine.
    assert dut.twin.run_until(lambda: not dut.twin.hears, 5)
    assert dut.exec("import machine; print(machine.reset_cause())") == "4\\n"
    assert dut.now > 5

def test_reset_passes_over_what_was_said(dut):
    dut.expect_event("odd")
    dut.reset()
    assert dut.expect_event("odd")["n"] == 1
    assert len(dut.twin.resets) == 2

def test_a_program_is_not_interrupted_while_it_boots(dut):
    dut.exec("f = open('/kept', 'w'); f.write('x'); f.close()")
    dut.reset()
    assert dut.exec("print(open('/kept').read())") == "x\\n"
    dut.power_off()
    dut.power_on()
    assert dut.exec("print(open('/kept').read())") == "x\\n"

def test_without_power_nothing_goes(dut):
    dut.power_off()
    dut.power_off()
    for call in (lambda: dut.expect("x"), lambda: dut.write("x"), dut.reset):
        with pytest.raises(UserError, match=r"dut.power_on\\(\\) first"):
            call()
    dut.power_on()
    dut.power_on()
    assert dut.expect("cause (.)")[1] == "1"

def pressed():
    return World(Sound([], 1), levels={4: Steps([(0, 0)])})

@pytest.mark.twin(world=pressed)
def test_a_mark_chooses_the_world(dut):
    assert dut.exec("import machine; print(machine.Pin(4, machine.Pin.IN).value())") == "0\\n"

@pytest.mark.twin(flash=b"short")
def test_a_mark_chooses_the_flash(dut):
    pass

@pytest.mark.twin(sound=1, world=2)
def test_sound_and_world(dut):
    pass

@pytest.mark.twin(noise=1)
def test_an_unknown_choice(dut):
    pass
"""


@pytest.fixture(scope="module")
def on_the_twin(tmp_path_factory, flash):
    return run_pytest(tmp_path_factory.mktemp("twin"), ON_THE_TWIN, flash=flash)


@pytest.mark.parametrize("name", re.findall(r"def (test_\w+)", ON_THE_TWIN)[:-3])
def test_on_the_twin(on_the_twin, name):
    assert on_the_twin[2][name] == ("passed", ""), on_the_twin[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_a_mark_chooses_the_flash", "the flash image has 5 bytes, board 'twin' 4194304"),
        ("test_sound_and_world", "takes sound or world, not both"),
        ("test_an_unknown_choice", "mark twin takes sound, world, flash, not noise"),
    ],
)
def test_a_wrong_mark_is_one_line(on_the_twin, name, message):
    outcome, got = on_the_twin[2][name]
    assert outcome == "error" and message in got
    assert "During handling" not in on_the_twin[1]


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        ("dut.expect('never', timeout=2)", "hello, cause 1"),
        ("dut.exec('1 / 0')", "divide by zero"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_a_test_that_fails_leaves_nothing_behind(tmp_path, flash, end, shown):
    tests = f"def test_it(dut):\n    dut.expect('hello')\n    {end}\n"
    code, said, _ = run_pytest(tmp_path / "run", tests, flash=flash)
    assert code in (1, 2) and shown in said
    assert list((tmp_path / "run" / "tmp").iterdir()) == []
    mine = str(tmp_path).encode()
    assert [pid for pid in Path("/proc").glob("[0-9]*") if mine in environment_of(pid)] == []


def environment_of(process):
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""


# Wrong options


ANY = "def test_it(dut):\n    assert 0\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--board", "toaster"], "no board 'toaster': --board takes one of esp32, twin"),
        (["--board", "esp32"], "--board esp32 needs the board's port: --port /dev/ttyUSB0"),
        (["--port", "/dev/ttyUSB0"], "the twin has no --port: name a board, too"),
    ],
)
def test_options_that_cannot_work_are_one_line(tmp_path, options, message):
    code, said, outcomes = run_pytest(tmp_path / "run", ANY, *options)
    assert code == pytest.ExitCode.USAGE_ERROR
    wanted, got = message.replace("esp32, twin", ""), said
    assert f"ERROR: {wanted}" in got and "Traceback" not in got and not outcomes


def test_a_port_that_does_not_exist_is_one_line(tmp_path):
    port = str(tmp_path / "ttyUSB9")
    code, said, outcomes = run_pytest(tmp_path / "run", ANY, "--board", "esp32", "--port", port)
    assert code == 1 and outcomes["test_it"][0] == "error"
    assert f"there is no port {port}: plug the board in" in said and "Traceback" not in said


def test_without_an_image_it_says_how_to_build_one(tmp_path):
    code, said, _ = run_pytest(tmp_path / "run", ANY, CICADA_BUILD=str(tmp_path / "nothing"))
    assert code == 1 and "build it with make demo" in said and "Traceback" not in said


# A board at a port


TWIN_AT_A_PORT = """
import sys
from pathlib import Path
from cicada.tools.board import load_board
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
twin = Twin(Path(sys.argv[1]).read_bytes(), load_board("twin"), Sound([], 1), speed=4.0,
            network_port=("127.0.0.1", 0))
twin.power_on()
try:
    print(twin.ports.network.url, flush=True)
    twin.run_until(lambda: not Path(sys.argv[1]).exists())
finally:
    twin.power_off()
"""
ON_A_BOARD = """
import pytest

def test_it_begins_with_a_reset(dut):
    assert not dut.is_twin
    assert dut.expect(r"cause (\\d)\\n", timeout=10)[1] == "1"

def test_it_really_runs_code(dut):
    dut.expect_event("odd", timeout=10)
    assert dut.exec("import sys; print(sys.platform, 6 * 7)") == "esp32 42\\n"

def test_rts_resets_it(dut):
    dut.expect("cause", timeout=10)
    dut.reset()
    assert dut.expect(r"cause (\\d)\\n", timeout=10)[1] == "1"

def test_power(dut):
    dut.power_off()

@pytest.mark.twin(sound=None)
def test_sound(dut):
    pass
"""


def test_the_same_fixture_drives_a_board_with_reset_lines(tmp_path, flash):
    image = tmp_path / "flash.bin"
    image.write_bytes(flash)
    command = [sys.executable, "-c", TWIN_AT_A_PORT, str(image)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as board:
        try:
            url = board.stdout.readline().strip()
            code, said, outcomes = run_pytest(tmp_path / "run", ON_A_BOARD, "--board", "esp32", "--port", url)
        finally:
            image.unlink()
    assert code == 0 and board.returncode == 0, said
    assert [outcomes[name][0] for name in re.findall(r"def (test_\w+)", ON_A_BOARD)] == [
        *["passed"] * 3,
        *["skipped"] * 2,
    ]
    assert "the test chooses its sound" in outcomes["test_sound"][1]
    assert "power of a board" in outcomes["test_power"][1]
