"""What a run cost adds up, whatever is drawn of it; and the picture shows it."""

import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.twin.power import BUSY, DEEP_SLEEP, IDLE, OFF
from cicada.tools.twin.report import print_report, report, span
from cicada.tools.twin.report_figures import Course
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from support.twins import loud, node_flash

BOARD = load_board("twin")
POWER = BOARD.POWER


def idle_twin():
    return Twin(b"\xff" * BOARD.FLASH_SIZE, BOARD, Sound([], 1))


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """A run with words, sleeps and wakes, and its report."""
    twin = Twin(node_flash(), BOARD, Sound([loud(2.5), loud(5.0), loud(26.0)], 50))
    twin.run(50)
    return twin, report(twin, tmp_path_factory.mktemp("report") / "power.png")


def test_the_states_are_the_whole_of_time_and_charge(evening):
    twin, made = evening
    meter = twin.chip.meter
    assert sum(state.seconds for state in made.states) == pytest.approx(twin.now)
    assert made.mah == pytest.approx(meter.charge_mah())
    assert sum(part.mah for part in made.parts) == pytest.approx(meter.charge_mah())
    assert made.average_ma == pytest.approx(meter.average_ma())
    slept = sum(s.end - s.start for s in meter.stretches if s.state == DEEP_SLEEP) / 1e6
    assert {state.name: state.seconds for state in made.states}["deep sleep"] == pytest.approx(slept)
    assert {state.name for state in made.states} == {"CPU busy", "CPU idle", "deep sleep"}


def test_awake_is_all_but_the_sleep(evening):
    twin, made = evening
    assert made.awake_ma == pytest.approx(twin.chip.meter.average_ma(awake_only=True))


def test_the_battery_lasts_as_long_as_its_charge(evening):
    _, made = evening
    assert made.battery_hours * made.mah / (made.seconds / 3600) == pytest.approx(2000 * 0.8)


def test_the_microphone_draws_what_the_board_says(evening):
    twin, made = evening
    heard = {part.name: part for part in made.parts}["microphone"]
    # On from the first read to the sleep, a trifle while switched off.
    assert 0 < heard.mah < POWER["microphone_on"] * made.seconds / 3600
    assert {part.name for part in made.parts} == {"chip", "microphone", "sensors"}


def test_what_happened_is_marked_when_it_happened(evening):
    twin, made = evening
    assert made.marks["power on"] == [0.0]
    assert len(made.marks["wake"]) == twin.wakes > 0
    assert made.marks["event"] == [at for at, _ in twin.events] and len(twin.events) == 3
    assert made.marks["other reset"] == made.marks["power cut"] == []


def test_the_work_adds_up_to_the_busy_time(evening):
    twin, made = evening
    busy = next(state.seconds for state in made.states if state.name == "CPU busy")
    # The last boot may not be over when the run ends.
    assert sum(work.seconds for work in made.work) == pytest.approx(busy, abs=BOARD.BOOT_MS / 1000)
    assert made.work[0].count == len(twin.chip.parts["neural"].scores) > 100


def test_it_prints_tables_that_fit_a_terminal_and_its_assumptions(evening):
    _, made = evening
    console = Console(file=io.StringIO(), width=80)
    print_report(made, console)
    tables, *sentences = console.file.getvalue().split("\n- ")
    assert max(len(line) for line in tables.splitlines()) <= 80
    for wanted in ("deep sleep", "by microphone", "average current", "days on a 2000 mAh", "while awake"):
        assert wanted in tables
    said = " ".join(sentences)
    for wanted in (
        "Not run on hardware",
        "boards/twin/board.py",
        "self-discharge",
        "costs nothing",
        "for ever",
    ):
        assert wanted in said


def test_the_picture_is_light_wide_enough_and_shows_the_sleep(evening):
    from matplotlib import image

    _, made = evening
    pixels = image.imread(made.picture)[..., :3]
    height, width, _ = pixels.shape
    assert width >= 1200 and 500 <= height <= 1200
    assert np.median(pixels) == 1.0
    blue = np.abs(pixels - np.array([0x00, 0x72, 0xB2]) / 255).max(axis=2) < 0.01
    asleep = next(state for state in made.states if state.name == "deep sleep").seconds / made.seconds
    # In the row of states each pixel column is blue for as much of it as the node slept.
    assert blue.any(axis=0).sum() / (width * 0.87) == pytest.approx(asleep, abs=0.08)


def test_a_week_of_sleep_and_radio_is_drawn_in_seconds(tmp_path):
    twin = idle_twin()
    meter = twin.chip.meter
    meter.loads["microphone"] = POWER["microphone_off"]
    while meter.now < 7 * 86400e6:
        for _ in range(25):
            meter.spend(60_000, BUSY)
            meter.spend(940_000, IDLE)
        meter.loads["wifi"] = POWER["wifi_send"]
        meter.spend(30_000, IDLE)
        meter.loads["wifi"] = 0.0
        meter.spend(600_000_000, DEEP_SLEEP)
        twin.resets.append((meter.now / 1e6, 4))
    assert len(meter.stretches) > 45_000
    began = time.monotonic()
    made = report(twin, tmp_path / "week.png")
    assert time.monotonic() - began < 10
    wifi = {part.name: part for part in made.parts}["Wi-Fi"]
    assert wifi.seconds == pytest.approx(0.03 * len(twin.resets))
    assert wifi.mah == pytest.approx(wifi.seconds * 210 / 3600)
    assert made.picture.stat().st_size > 10_000


def test_a_damaged_path_is_one_sentence(evening, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writing"):
        report(evening[0], tmp_path / "file" / "x.png")


def test_a_twin_that_never_ran_has_nothing_to_report(tmp_path):
    with pytest.raises(UserError, match="has not run yet"):
        report(idle_twin(), tmp_path / "x.png")


def test_a_board_without_power_drains_no_battery(tmp_path):
    twin = idle_twin()
    twin.chip.meter.spend(10_000_000, OFF)
    made = report(twin, tmp_path / "off.png")
    assert made.battery_hours is None and made.awake_ma is None and made.mah == 0
    console = Console(file=io.StringIO(), width=80)
    print_report(made, console)
    assert "never awake" in console.file.getvalue()


def test_charge_goes_to_what_drew_it(tmp_path):
    twin = idle_twin()
    meter = twin.chip.meter
    meter.loads = {"microphone": 2.0, "wifi": 200.0, "sensors": 0.5}
    meter.spend(3_600_000_000, IDLE)
    meter.loads["wifi"] = 0.0
    meter.spend(3_600_000_000, DEEP_SLEEP)
    made = report(twin, tmp_path / "parts.png")
    drawn = {part.name: part.mah for part in made.parts}
    chip = BOARD.POWER["cpu_idle"] + BOARD.POWER["deep_sleep"]
    assert drawn == pytest.approx({"chip": chip, "microphone": 4.0, "Wi-Fi": 200.0, "sensors": 1.0}, abs=1e-3)


runs = st.lists(
    st.tuples(st.integers(1, 50), st.sampled_from([0.01, 0.8, 30.0, 70.0, 240.0])), min_size=1, max_size=60
)


def course(spent):
    times = np.concatenate([[0.0], np.cumsum([seconds for seconds, _ in spent])])
    current = np.array([ma for _, ma in spent])
    return Course(times, current, np.zeros(len(current), np.int64), {"CPU busy": current})


@given(runs, st.integers(1, 40))
def test_the_envelope_loses_no_peak_and_invents_none(spent, columns):
    one = course(spent)
    edges = np.linspace(0, one.times[-1], columns + 1)
    low, high = one.envelope(edges)
    for n in range(columns):
        a, b = edges[n], edges[n + 1]
        touched = (one.times[1:] > a) & (one.times[:-1] < b)
        assert (low[n], high[n]) == (one.current[touched].min(), one.current[touched].max())


@given(runs, st.integers(1, 40))
def test_the_means_of_columns_hold_all_the_charge(spent, columns):
    one = course(spent)
    edges = np.linspace(0, one.times[-1], columns + 1)
    held = (one.means(one.current, edges) * np.diff(edges)).sum()
    assert held == pytest.approx(sum(seconds * ma for seconds, ma in spent))


@given(runs, st.floats(0.5, 20))
def test_the_moving_average_is_that_of_fine_samples(spent, width):
    one = course(spent)
    middle = one.seconds / 2
    low, high = max(middle - width / 2, 0), min(middle + width / 2, one.seconds)
    fine = np.linspace(low, high, 20_001)
    samples = one.current[np.clip(np.searchsorted(one.times, fine, "right") - 1, 0, len(spent) - 1)]
    found = one.moving_average(np.array([middle]), width)[0]
    assert found == pytest.approx(samples.mean(), abs=0.5)


def test_lengths_of_time_read_well():
    assert [span(s) for s in (0.0123, 3.4, 700, 36_000, 864_000)] == [
        "12.3 ms",
        "3.4 s",
        "11.7 min",
        "10.0 h",
        "10.0 days",
    ]
