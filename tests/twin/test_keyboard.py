"""Ctrl-C on a machine so busy that a program seems to hang in the middle of what it asks."""

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin import keyboard
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, script_flash

TIMES = 60
ASKS = f"""
import machine, time
kept = bytes(range(200))
rtc = machine.RTC()
rtc.memory(kept)
n = 0
while n < {TIMES}:
    try:
        print('asking', n)
        while True:
            if rtc.memory() != kept or time.ticks_us() < 0:
                print('somebody else has had the answer')
    except KeyboardInterrupt:
        n += 1
print('done')
machine.deepsleep()
"""


@pytest.mark.parametrize("patience", [0.0, 0.3])
def test_an_interrupted_question_does_not_leave_its_answer_to_the_next(patience, tmp_path, monkeypatch):
    monkeypatch.setattr(keyboard, "_PATIENCE_S", patience)
    twin = Twin(script_flash(ASKS, tmp_path), load_board("twin"), QUIET)
    twin.power_on()
    try:
        for n in range(TIMES):
            assert twin.run_until(lambda n=n: f"asking {n}\n" in twin.text.replace("\r", ""), 60), twin.text
            twin.type(b"\x03")
        assert twin.run_until(lambda: "done" in twin.text, 60), twin.text
    finally:
        twin.power_off()
    assert "somebody else" not in twin.text
