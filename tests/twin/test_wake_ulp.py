"""The ULP coprocessor of the twin: wakes on sound, exactly, fast, and only when the ADC is really its own."""

from __future__ import annotations

import time

import numpy as np
import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.scattered import Scattered
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support.twins import QUIET, run_script, script_flash

LISTEN = """
import esp32, machine, time
from node import ulp
print("woke", machine.reset_cause(), machine.wake_reason(), time.ticks_ms())
{before}
ulp.start(36, {threshold}, 20)
{after}
esp32.wake_on_ulp(True)
machine.deepsleep({sleep})
"""


def listen(threshold=40, sleep=60_000, before="", after=""):
    return LISTEN.format(threshold=threshold, sleep=sleep, before=before, after=after)


def tone(start, amplitude, seconds=0.5, hertz=440):
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * 16000)) / 16000)
    return Played(start, wave.astype(np.int16))


def wakes(twin):
    return [(at, int(line.split()[2])) for at, line in twin.lines if line.startswith("woke 4")]


def test_a_sound_over_the_threshold_wakes_the_chip(tmp_path):
    twin = run_script(listen(), tmp_path, Sound([tone(20, 6000)], 60), seconds=50)
    [(at, reason)] = wakes(twin)
    assert reason == 6
    assert 20.0 <= at - twin.board.BOOT_MS / 1000 < 20.05  # within two bursts


def test_a_sound_under_the_threshold_does_not(tmp_path):
    # 40 mV are 1311 counts of the 32768 that stand for 1 V, peak to peak: amplitude 655.
    assert wakes(run_script(listen(), tmp_path, Sound([tone(20, 450)], 60), seconds=50)) == []
    assert wakes(run_script(listen(), tmp_path, Sound([tone(20, 900)], 60), seconds=50)) != []


def test_the_timer_wakes_when_nothing_is_heard(tmp_path):
    twin = run_script(listen(sleep=10_000), tmp_path, QUIET, seconds=12)
    assert wakes(twin)[0][1] == 4


def test_the_last_span_can_be_read_after_the_wake(tmp_path):
    twin = run_script(
        listen(before="print('heard', ulp.heard_mv())"), tmp_path, Sound([tone(20, 6000)], 60), seconds=30
    )
    heard = [int(line.split()[1]) for _, line in twin.lines if line.startswith("heard")]
    # A sine of 6000 counts swings 366 mV peak to peak; 16 samples of it see most of that.
    assert heard[0] == 0 and 330 < heard[1] < 385


@pytest.mark.parametrize(
    "spoil",
    [
        "machine.mem32[0x3FF48854] |= 1 << 31",  # the choice of pad stays the CPU's
        "machine.mem32[0x3FF48854] |= 1 << 18",  # the start of a conversion does
        "machine.mem32[0x3FF48800] |= 1 << 27",  # the digital controller has the ADC
        "ulp.stop()",
        "machine.mem32[0x50000000] = 4 << 28",  # the word that gives the ADC its power back: a pause instead
    ],
)
def test_a_coprocessor_without_the_adc_hears_nothing(tmp_path, spoil):
    twin = run_script(listen(after=spoil), tmp_path, Sound([tone(20, 6000)], 60), seconds=50)
    assert wakes(twin) == []


def run_twin(tmp_path, code, sound, seconds, skipping):
    twin = Twin(script_flash(code, tmp_path), load_board("twin"), sound)
    twin.chip.parts["ulp"].skipping = skipping
    twin.run(seconds)
    return twin


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_leaving_out_silence_changes_nothing(tmp_path, seed):
    """Sounds around the threshold, short and long, at random moments; the sleep is cut short by the timer,
    too.
    """
    rng = np.random.default_rng(seed)
    sounds = [
        tone(start, rng.uniform(200, 1500), rng.uniform(0.01, 0.6), rng.uniform(100, 3000))
        for start in np.sort(rng.uniform(1, 58, 12))
    ]
    code = listen(threshold=int(rng.integers(34, 50)), sleep=7_300)
    sound = Sound(sounds, 50, seed=seed)  # its end, and the hiss beyond it, are within the run
    fast = run_twin(tmp_path, code, sound, 60, True)
    slow = run_twin(tmp_path, code, sound, 60, False)
    assert fast.resets == slow.resets
    assert wakes(fast) == wakes(slow)
    assert fast.chip.meter.charge_mah() == slow.chip.meter.charge_mah()
    memories = [twin.chip.parts["ulp"]._core.memory for twin in (fast, slow)]
    assert memories[0] == memories[1]
    assert {reason for _, reason in wakes(fast)} == {4, 6}
    assert fast.chip.parts["ulp"].runs < slow.chip.parts["ulp"].runs / 4


def test_a_program_of_somebody_else_is_run_every_time(tmp_path):
    """One word differs, an instruction that does nothing here: no assumption is made about it."""
    code = listen(sleep=2_000, after="machine.mem32[0x50000000 + 4 * 11] = 4 << 28 | 5")
    twin = run_twin(tmp_path, code, QUIET, 4, True)
    assert twin.chip.parts["ulp"].runs > 50


def test_a_day_of_silence_takes_no_time(tmp_path):
    began = time.monotonic()
    twin = run_script(listen(sleep=3_600_000), tmp_path, QUIET, seconds=86_400)
    assert len(wakes(twin)) == 23
    assert time.monotonic() - began < 15


def test_what_listening_costs_is_the_data_sheets(tmp_path):
    twin = run_script(listen(sleep=1_000_000), tmp_path, QUIET, seconds=900)
    [current] = {round(s.loads["ulp"], 6) for s in twin.chip.meter.stretches if s.state == "deep_sleep"}
    # A burst of 3.9 ms every 23.9 ms: 150 uA instead of 10; 16 conversions of 6.4 us at 9 mA; 100 uA
    # microphone.
    burst = (16 * 51 + 15 * 2036 + 46) / 8  # us, within what the other instructions take
    expected = 0.1 + 0.14 * burst / (burst + 20_000) + 9.0 * 16 * 51 / 8 / (burst + 20_000)
    assert current == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("binary", ["b'ulp'", "b'pul\\0' + bytes(12)", "bytes(3000)"])
def test_what_is_no_program_is_refused(tmp_path, binary):
    code = f"""
import esp32
try:
    esp32.ULP().load_binary(0, {binary})
except OSError as error:
    print("refused", error.args[0])
import machine; machine.deepsleep()
"""
    assert "refused -26" in run_script(code, tmp_path, seconds=5).text


def test_ten_thousand_sounds_scattered_over_a_week_are_heard_in_time(tmp_path):
    """A thousandth of it here, at the same density; the whole week is 168 times as long."""
    rng = np.random.default_rng(5)
    loud, faint = tone(0, 8000).pcm, tone(0, 300).pcm
    starts = np.sort(rng.uniform(5, 3590, 60))
    sound = Scattered([Played(at, loud if n % 2 else faint) for n, at in enumerate(starts)], 3600)
    began = time.monotonic()
    twin = run_script(listen(sleep=600_000), tmp_path, World(sound), seconds=3600)
    assert 20 <= len([1 for _, reason in wakes(twin) if reason == 6]) <= 31
    assert time.monotonic() - began < 30
