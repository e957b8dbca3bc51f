"""Wake plans: what each chip can be woken by, who answers a wake, and when the timer is due."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace

import pytest

from cicada.tools.board import load_board, load_module
from cicada.tools.paths import FIRMWARE
from support.twins import micropython

wakes = load_module(FIRMWARE / "app" / "node" / "plan" / "wakes.py", "node_plan_wakes")

PLAN = {
    "kind": "event",
    "quiet_s": 5,
    "sleep_s": 10,
    "every_s": 600,
    "for_ms": 1000,
    "wake": [],
    "cpu_mhz": None,
}
BUTTON, MOTION = {"on": "button"}, {"on": "motion", "sensor": "accel", "threshold_g": 0.5}
SOUND = {"on": "sound", "pin": 36, "threshold_mv": 40, "every_ms": 20}


@pytest.fixture(autouse=True)
def _node(monkeypatch):
    """``from node import ulp`` as on the device."""
    import sys

    ulp = load_module(FIRMWARE / "app" / "node" / "ulp.py", "node.ulp")
    monkeypatch.setitem(sys.modules, "node", SimpleNamespace(ulp=ulp))


def pin(number, level):
    return {"on": "pin", "pin": number, "level": level}


def assigned(board, *sources, interrupt=34):
    return wakes.assign(dict(PLAN, wake=list(sources)), load_board(board), lambda name: interrupt)


def refused(board, *sources, interrupt=34):
    return wakes.check(dict(PLAN, wake=list(sources)), load_board(board), lambda name: interrupt)


def covers(chip, armed, pins):
    """Whether what is armed wakes the chip exactly when one of ``pins`` (number -> level) has its level."""
    for levels in itertools.product((0, 1), repeat=len(pins)):
        now = dict(zip(pins, levels, strict=True))
        wanted = any(now[number] == level for number, level in pins.items())
        woken = armed.ext0 is not None and now[armed.ext0[0]] == armed.ext0[1]
        if armed.ext1:
            which = [now[number] for number in armed.ext1[0]]
            if armed.ext1[1]:
                woken |= any(which)
            else:
                woken |= not all(which) if chip == "esp32s3" else not any(which)
        if armed.gpio:
            woken |= any(now[number] == armed.gpio[1] for number in armed.gpio[0])
        if woken != wanted:
            return False
    return True


@pytest.mark.parametrize("chip", ["esp32", "esp32s3", "esp32c3"])
@pytest.mark.parametrize("sound", [False, True])
def test_every_mix_of_pins_is_armed_rightly_or_refused_with_reason(chip, sound):
    """All mixes of up to two low and two high pins; and nothing is refused that some assignment could
    serve.
    """
    if sound and chip != "esp32":
        assert "an ESP32 only" in refused(chip, SOUND)
        return
    numbers = {"esp32": (2, 4, 32, 33), "esp32s3": (2, 4, 12, 13), "esp32c3": (0, 1, 2, 3)}[chip]
    for low, high in itertools.product(range(3), range(3)):
        pins = dict.fromkeys(numbers[:low], 0) | dict.fromkeys(numbers[2 : 2 + high], 1)
        sources = [pin(number, level) for number, level in pins.items()] + [SOUND] * sound
        possible = {
            ("esp32", False): low <= 1 or (low == 2 and high == 0),
            ("esp32", True): low == 0 or (low == 1 and high == 0),
            ("esp32s3", False): low <= 1 or high <= 1,
            ("esp32c3", False): not (low and high),
        }[chip, sound]
        told = refused(chip, *sources)
        assert (told is None) == possible, (low, high, told)
        if possible:
            armed = assigned(chip, *sources)
            assert covers(chip, armed, pins)
            assert (armed.sound is not None) == sound
            assert not (sound and armed.ext0)


def test_button_and_accelerometer_share_the_esp32():
    armed = assigned("esp32", BUTTON, MOTION)
    assert armed.ext0 == (0, 0) and armed.ext1 == ([34], 1)
    assert armed.meanings == {0: "button", 34: "motion"}


@pytest.mark.parametrize(
    ("board", "sources", "says"),
    [
        ("esp32", [BUTTON, MOTION, SOUND], "with sound, pins can wake this chip at one level only"),
        ("esp32", [pin(5, 1)], "pin 5 cannot wake this chip"),
        ("esp32", [pin(34, 1), MOTION], "pin 34 is to mean both pin and motion"),
        ("esp32", [SOUND, SOUND], "one pin"),
        ("esp32", [dict(SOUND, pin=25)], "32 to 39"),
        ("esp32c3", [BUTTON], "pin 9 cannot wake this chip"),
    ],
)
def test_what_a_chip_cannot_do_is_said_in_one_sentence(board, sources, says):
    told = refused(board, *sources)
    assert says in told and "\n" not in told


def test_a_board_without_a_button_is_not_woken_by_one():
    bare = SimpleNamespace(NAME="bare", CHIP="esp32")
    assert "no button" in wakes.check(dict(PLAN, wake=[BUTTON]), bare, lambda name: None)


def test_a_sensor_without_an_interrupt_pin_is_said():
    assert "sensors.N.interrupt" in refused("esp32", MOTION, interrupt=None)


def test_frequencies_that_stop_the_microphone_are_refused():
    board = load_board("esp32c3")
    assert wakes.check(dict(PLAN, cpu_mhz=80), board, None) is None
    assert "one of 80, 160" in wakes.check(dict(PLAN, cpu_mhz=240), board, None)
    assert "cpu_mhz 40" in wakes.check(dict(PLAN, cpu_mhz=40), load_board("esp32"), None)


STUB = """
import sys, json
class Stub: pass
machine = Stub(); esp32 = Stub(); clock = Stub()
machine.PWRON_RESET, machine.HARD_RESET, machine.DEEPSLEEP_RESET = 1, 2, 4
machine.EXT0_WAKE, machine.EXT1_WAKE, machine.TIMER_WAKE, machine.ULP_WAKE = 2, 3, 4, 6
levels = {}
class Pin:
    IN, PULL_UP = 1, 2
    def __init__(self, n, mode=None, pull=None): self.n, self.pull = n, pull
    def value(self): return levels.get(self.n, 0)
    def __repr__(self): return "p%d%s" % (self.n, "" if self.pull is None else "u")
machine.Pin = Pin
machine.mem32 = {0x3FF48018: 1 << 24}
said = []
def say(name):
    return lambda *a: said.append((name, str(a)))
for name in ("ext0", "ext1", "gpio", "ulp"):
    setattr(esp32, "wake_on_" + name, say(name))
sys.modules["machine"] = machine; sys.modules["esp32"] = esp32
import time as real
clock.now = 0
clock.time_ns = lambda: clock.now * 1000000
clock.ticks_ms = lambda: clock.now
clock.ticks_diff = lambda a, b: a - b
clock.ticks_add = lambda a, b: a + b
clock.time = lambda: clock.now // 1000
sys.modules["time"] = clock
from node.plan import Plan
board = Stub(); board.CHIP = "esp32"; board.BUTTON = 0; board.LIGHT_SLEEP_US = 1000
board.POWER = {"cpu_busy": 68.0, "cpu_idle": 30.0, "light_sleep": 0.8}
class Sensors:
    missing = {}
    def interrupt(self, name): return 34
    def get(self, name): return self
    def cleared(self): said.append("cleared")
    def wake_on(self, g): said.append(("wake_on", g))
"""


def device(code: str, **plan) -> list:
    """What ``code`` prints under MicroPython with the chip's modules stood in for, one JSON value a line."""
    about = json.dumps(PLAN | plan)
    out = micropython(STUB + f"about = json.loads('''{about}''')\n" + code)
    return [json.loads(line) for line in out.splitlines() if line[0] in '[{"0123456789-nft']


def test_a_period_does_not_drift_by_the_time_awake():
    ends = device(
        """
clock.now = 1000000
data = b""
for awake in (700, 1300, 20, 595000, 5000, 1):
    plan = Plan(about, board, Sensors())
    plan.restore(data)
    clock.now += awake
    ms = plan.arm()
    data = plan.state()
    clock.now += ms
    print(clock.now)
""",
        kind="sample",
    )
    assert [b - a for a, b in itertools.pairwise(ends)] == [600_000] * 5


def test_after_a_missed_period_and_after_the_clock_was_set_it_goes_on():
    lefts = device(
        """
def sleep(awake, jump):
    plan = Plan(about, board, Sensors())
    plan.restore(data[0])
    clock.now += awake + jump
    ms = plan.arm()
    data[0] = plan.state()
    clock.now += ms
    print(ms)
data = [b""]
sleep(1000, 0)
sleep(700000, 0)
sleep(1000, 10 ** 12)
sleep(1000, -10 ** 11)
sleep(1000, 0)
data[0] = b"garbage!!"
sleep(1000, 0)
""",
        kind="sample",
    )
    assert lefts == [600_000, 500_000, 199_000, 600_000, 599_000, 600_000]


def test_another_wake_in_between_leaves_the_timer_where_it_was():
    [first, second] = device(
        """
plan = Plan(about, board, Sensors())
clock.now = 5000
print(plan.arm())
clock.now += 100000
other = Plan(about, board, Sensors())
other.restore(plan.state())
print(other.arm())
"""
    )
    assert (first, second) == (600_000, 500_000)


def test_why_it_woke_is_told_by_the_pins_meaning():
    told = device(
        """
plan = Plan(about, board, Sensors())
print(json.dumps([plan.woken(1, 0), plan.woken(2, 0), plan.woken(4, 4), plan.woken(4, 6), plan.woken(4, 2)]))
levels[4] = 1
print(json.dumps([plan.woken(4, 3), plan.woken(4, 3, (34,))]))
levels[4] = 0
print(json.dumps([plan.woken(4, 3)]))
""",
        wake=[BUTTON, MOTION, pin(4, 1)],
    )
    assert told == [["power on", "reset", "timer", "sound", "button"], ["pin", "motion"], ["pin"]]


def test_arming_sets_pins_sensor_and_sound():
    [said] = device(
        "Plan(about, board, Sensors()).arm()\nprint(json.dumps([repr(one) for one in said]))",
        wake=[BUTTON, MOTION],
    )
    assert said == ["'cleared'", "('wake_on', 0.5)", "('ext1', '([p34], True)')", "('ext0', '(p0u, False)')"]


def test_an_esp32c3_is_armed_by_gpio():
    code = """
board.CHIP = "esp32c3"
plan = Plan(about, board, Sensors())
plan.arm()
print(json.dumps([repr(said[-1]), plan.woken(4, 7), plan.wrong]))
"""
    told = device(code, wake=[pin(3, 1), pin(4, 1)])
    assert told == [["('gpio', '([p3, p4], True)')", "pin", None]]


def test_what_cannot_be_armed_is_kept_and_the_timer_wakes_alone():
    code = "plan = Plan(about, board, Sensors())\nprint(json.dumps([plan.arm(), len(said), plan.wrong]))"
    [[ms, armed, wrong]] = device(code, wake=[pin(5, 1)])
    assert (ms, armed) == (600_000, 0) and "pin 5" in wrong


def test_a_plan_whose_only_wake_source_failed_comes_back_by_the_timer():
    code = """
class Broken(Sensors):
    def get(self, name): return None
print(json.dumps([Plan(about, board, Broken()).arm(), Plan(about, board, Sensors()).arm()]))
"""
    assert device(code, every_s=0, wake=[MOTION]) == [[3_600_000, None]]


def test_stages_and_what_ends_them():
    [stages, ends] = device(
        """
plan = Plan(about, board, Sensors())
whys = ("button", "sound", "motion", "timer", "power on")
print(json.dumps([(why, plan.stage(why)) for why in whys]))
until = plan.until("sound")
print(json.dumps([until(1000, 1000), until(1510, 1500), until(3000, 1400), until(9000, 5000),
    plan.until("timer")(999, 0), plan.until("timer")(1000, 0), plan.until("button")(0, 0)]))
"""
    )
    assert stages == [
        ["button", "session"],
        ["sound", "check"],
        ["motion", "sample"],
        ["timer", "sample"],
        ["power on", "sample"],
    ]
    assert ends == [False, True, False, True, False, True, True]


def test_listening_ends_after_quiet_or_never():
    code = """
plan = Plan(about, board, None)
u = plan.until("timer")
print(json.dumps([u(9000, 4999), u(9000, 5000), plan.arm()]))
"""
    assert device(code, kind="listen") == [[False, True, 10_000]]
    assert device(code, kind="listen", quiet_s=0)[0][:2] == [False, False]


def test_light_sleep_only_where_it_pays():
    [told] = device(
        """
plan = Plan(about, board, None)
first = plan.light_ms
board.LIGHT_SLEEP_US = 3000
print(json.dumps([first, plan.light_ms]))
"""
    )
    # 1 ms at 68 mA, twice, is what 4.66 ms at 29.2 mA less save; 3 ms are what 13.97 ms save.
    assert told == [5, 14]
