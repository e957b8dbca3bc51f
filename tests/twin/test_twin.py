"""The real application under the real MicroPython on a board made of software."""

import itertools
import os
import re
import time
from pathlib import Path

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin.child import IN_FLASH
from cicada.tools.twin.launcher import ready
from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, blob, loud, manifest, model, node_flash, raw_container, run_script

BOARD = load_board("twin")
SLEEP_FOR_EVER = "\nimport machine\nmachine.deepsleep()\n"


def node(sound, seconds, models=None):
    twin = Twin(node_flash(models), BOARD, sound)
    twin.run(seconds)
    return twin


@pytest.fixture(scope="module")
def evening():
    """Two words, a sleep, another word, a second sleep."""
    sound = Sound([loud(2.5), loud(5.0), loud(26.0)], 50)
    return node(sound, sound.seconds)


def keywords(twin):
    return [(at, e) for at, e in twin.events if e["event"] == "keyword"]


def test_every_word_is_heard_once_and_in_time(evening):
    heard = keywords(evening)
    assert [e["word"] for _, e in heard] == ["yes"] * 3
    for (at, _), start in zip(heard, (2.5, 5.0, 26.0), strict=True):
        assert start < at < start + 1.5


def test_events_are_numbered_through_deep_sleep(evening):
    assert [e["n"] for _, e in keywords(evening)] == [1, 2, 3]
    assert {e["schema"] for _, e in keywords(evening)} == {1}


def test_it_sleeps_wakes_and_says_why(evening):
    text = evening.text
    assert "rst:0x1 (POWERON_RESET)" in text and "rst:0x5 (DEEPSLEEP_RESET)" in text
    assert "boot 2, cause: deep sleep" in text
    assert "woken by timer, slept 10000 ms in all, 2 events so far" in text
    spells = [s for s in evening.chip.meter.stretches if s.state == DEEP_SLEEP]
    assert spells[0].end - spells[0].start == 10_000_000
    assert spells[0].current < 0.02  # mA: microphone and CPU are off


def test_it_says_what_it_runs(evening):
    assert re.search(r"model loud 1: _silence_ _unknown_ yes no, \d+ bytes, arena \d+, TFLM", evening.text)


def test_nothing_is_lost_while_listening(evening):
    assert evening.chip.parts["i2s"].overruns == 0
    gaps = [b - a for (a, _), (b, _) in itertools.pairwise(evening.chip.parts["neural"].scores)]
    assert sorted(gaps)[len(gaps) // 2] == pytest.approx(0.1, abs=0.005)


def test_from_power_on_to_the_first_detection_in_under_3_s_of_wall_time(evening):
    began = time.monotonic()
    twin = Twin(node_flash(), BOARD, Sound([loud(2.5)], 10))
    try:
        twin.power_on()
        assert twin.run_until(lambda: bool(twin.events), 10)
    finally:
        twin.power_off()
    assert time.monotonic() - began < 3


def test_a_run_in_slices_is_the_same_run(evening):
    twin = Twin(node_flash(), BOARD, Sound([loud(2.5), loud(5.0), loud(26.0)], 50))
    try:
        twin.power_on()
        while twin.now < 50:
            twin.run_until(lambda: False, min(0.7, 50 - twin.now))
    finally:
        twin.power_off()
    assert twin.text == evening.text and twin.wakes == evening.wakes


def test_same_seed_same_run(evening):
    again = node(Sound([loud(2.5), loud(5.0), loud(26.0)], 50), 50)
    assert again.text == evening.text
    assert again.chip.meter.charge_mah() == evening.chip.meter.charge_mah()


def test_silence_leads_to_sleep_at_once():
    twin = node(QUIET, 20)
    assert keywords(twin) == [] and twin.wakes >= 1


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({}, "no model 'kws' is built into this image"),
        ({"kws": blob()[:-1]}, "header says"),
        ({"kws": b"\0" * 3000}, "not a model container"),
    ],
)
def test_a_model_it_cannot_trust_is_reported_not_run(models, said):
    twin = node(QUIET, 10, models)
    assert said in twin.text and "listening" not in twin.text
    assert "boot 1" in twin.text and twin.text.count("rst:0xc") >= 1  # it resets and tries again
    assert twin.chip.parts["neural"].scores == []


def test_model_and_manifest_must_agree():
    wrong = manifest(model(), labels=["_silence_", "_unknown_", "yes"])
    twin = node(QUIET, 5, {"kws": raw_container(wrong, model())})
    assert "does not fit the labels" in twin.text


def test_rtc_memory_survives_reset_and_sleep_but_not_power_off(tmp_path):
    code = (
        "import machine\n"
        "r = machine.RTC()\n"
        "print('cause', machine.reset_cause(), 'wake', machine.wake_reason(), r.memory())\n"
        "n = len(r.memory())\n"
        "r.memory(b'x' * (n + 1))\n"
        "if n == 0: machine.reset()\n"
        "if n == 1: machine.deepsleep(5000)\n"
        "machine.deepsleep()\n"
    )
    twin = run_script(code, tmp_path, seconds=30)
    assert re.findall(r"cause (\d) wake (\d) (b'x*')", twin.text) == [
        ("1", "0", "b''"),
        ("2", "0", "b'x'"),
        ("4", "4", "b'xx'"),
    ]
    twin.run(1000)  # power again
    assert twin.text.count("cause 1 wake 0 b''") == 2


def test_rtc_memory_is_2048_bytes(tmp_path):
    code = (
        "import machine\nr = machine.RTC()\nr.memory(b'a' * 2048)\n"
        "try:\n    r.memory(b'a' * 2049)\nexcept ValueError as e:\n    print('refused:', e)\n"
    )
    assert "refused: buffer too long" in run_script(code + SLEEP_FOR_EVER, tmp_path).text


def test_a_hung_program_is_reset_by_the_watchdog(tmp_path):
    code = (
        "import machine, time\nprint('cause', machine.reset_cause())\n"
        "if machine.reset_cause() == machine.WDT_RESET: machine.deepsleep()\n"
        "machine.WDT(timeout=2000)\nwhile True: time.sleep_ms(100)\n"
    )
    twin = run_script(code, tmp_path, seconds=60)
    assert re.findall(r"cause (\d)", twin.text) == ["1", "3"]


def test_a_program_that_only_asks_the_time_gets_old_too(tmp_path):
    code = (
        "import time\nt = time.ticks_ms()\n"
        "while time.ticks_diff(time.ticks_ms(), t) < 50: pass\nprint('done')\n"
    )
    assert "done" in run_script(code + SLEEP_FOR_EVER, tmp_path).text


def test_time_passes_as_asked(tmp_path):
    code = (
        "import time\na = time.ticks_us()\ntime.sleep_ms(1234)\n"
        "print('slept', time.ticks_diff(time.ticks_us(), a))\n"
    )
    twin = run_script(code + SLEEP_FOR_EVER, tmp_path)
    assert 1_234_000 <= int(re.search(r"slept (\d+)", twin.text).group(1)) < 1_234_100


def test_a_slow_reader_loses_the_oldest_samples(tmp_path):
    code = (
        "import time\nfrom machine import I2S, Pin\n"
        "m = I2S(0, sck=Pin(26), ws=Pin(25), sd=Pin(33), mode=I2S.RX, bits=16, format=I2S.MONO,"
        " rate=16000, ibuf=3200)\n"
        "b = bytearray(320)\nm.readinto(b)\ntime.sleep_ms(500)\nm.readinto(b)\n"
    )
    assert run_script(code + SLEEP_FOR_EVER, tmp_path).chip.parts["i2s"].overruns == pytest.approx(
        8000 - 2 * 256,
        abs=256,  # the least a ring can hold, and whole DMA buffers are lost
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [("rate=8000", "16 kHz"), ("mode=I2S.TX", "microphone only"), ("id=1", "invalid id")],
)
def test_i2s_refuses_what_the_board_has_not(change, said, tmp_path):
    arguments = {"id": "0", "mode": "I2S.RX", "rate": "16000"}
    arguments.update([change.split("=")])
    code = (
        "from machine import I2S, Pin\ntry:\n"
        f"    I2S({arguments['id']}, sck=Pin(26), ws=Pin(25), sd=Pin(33), mode={arguments['mode']}, bits=16,"
        f" format=I2S.MONO, rate={arguments['rate']}, ibuf=3200)\n"
        "except ValueError as e:\n    print('refused:', e)\n"
    )
    assert re.search(f"refused: .*{said}", run_script(code + SLEEP_FOR_EVER, tmp_path).text)


def test_a_microphone_on_other_pins_is_silent(tmp_path):
    code = (
        "from machine import I2S, Pin\nPin(27, Pin.OUT, value=1)\nfor sd in (33, 32):\n"
        "    m = I2S(0, sck=Pin(26), ws=Pin(25), sd=Pin(sd), mode=I2S.RX, bits=16, format=I2S.MONO,"
        " rate=16000, ibuf=3200)\n"
        "    b = bytearray(320)\n    m.readinto(b)\n    print(sd, 'sound' if any(b) else 'nothing')\n"
        "    m.deinit()\n"
    )
    text = run_script(code + SLEEP_FOR_EVER, tmp_path).text
    assert "33 sound" in text and "32 nothing" in text


def test_the_heap_is_the_boards(tmp_path):
    code = (
        "import gc\ngc.collect()\nprint('heap', gc.mem_free() + gc.mem_alloc(), gc.mem_alloc())\n"
        "try:\n    b = bytearray(400000)\n    print('got it')\nexcept MemoryError:\n    print('no memory')\n"
    )
    text = run_script(code + SLEEP_FOR_EVER, tmp_path).text
    heap, taken = (int(n) for n in re.search(r"heap (\d+) (\d+)", text).groups())
    # Words of the 64-bit interpreter are twice as wide, so it gets twice the bytes.
    assert heap == pytest.approx(2 * (BOARD.HEAP + IN_FLASH), rel=0.03)
    assert taken == pytest.approx(2 * 25 * 1024, rel=0.1)  # by modules that are C on a chip
    assert "no memory" in text


def test_an_interpreter_that_dies_is_one_clear_line(tmp_path):
    code = "import os\nos.system('kill -9 $PPID')\n"
    with pytest.raises(UserError, match="MicroPython on the twin died .signal SIGKILL."):
        run_script(code, tmp_path, seconds=10)


def test_flash_of_the_wrong_size_is_refused():
    with pytest.raises(UserError, match="build it for this board"):
        Twin(b"\xff" * 1000, BOARD, QUIET)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    port = tmp_path / "port"
    twin = Twin(node_flash(), BOARD, QUIET, port=port, on_text=lambda text: fail_on(text, "listening"))

    def fail_on(text, word):
        if word in text:
            raise KeyboardInterrupt

    ready()  # which stays as long as this process
    assert interpreters() == []
    before = children()
    with pytest.raises(KeyboardInterrupt):
        twin.run(100)
    assert not os.path.lexists(port)
    assert list(tmp_path.glob("cicada-twin-*")) == []
    assert children() == before and interpreters() == []


def interpreters():
    """Processes of MicroPython, which the one that starts them forks."""
    return [process for child in children() for process in children(child)]


def children(of=None):
    """Numbers of the children of a process, by default of this one, from /proc."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # gone meanwhile
            continue
        if parent == (of or os.getpid()):
            found.append(int(stat.parent.name))
    return found
