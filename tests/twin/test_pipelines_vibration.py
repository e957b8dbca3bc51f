"""Models whose features have an envelope and follow a speed: what the pipeline makes of their manifests."""

from __future__ import annotations

import pytest

from cicada.tools.twin.world import World
from support import piped
from support.twins import QUIET

#: Prints what the front end is made with and told, and what it gives.
_SPIED = """
front = nn.VibrationFrontEnd
class Spy:
    def __init__(self, *numbers):
        print("FRONT", *numbers)
        self.front = front(*numbers)
        self.features, self.feed, self.reset = self.front.features, self.front.feed, self.front.reset
    def speed(self, *numbers):
        print("SPEED", *numbers)
        self.front.speed(*numbers)
nn.VibrationFrontEnd = Spy
"""


#: Prints why pipelines do not run.
_REFUSED = """
for about in {abouts}:
    try:
        make(about, opened, sensors, board)
    except ValueError as e:
        print("REFUSED", e)
"""


def test_a_model_of_orders_runs_at_its_rate_and_speed_and_not_at_others(tmp_path):
    front = {"envelope": 8, "orders": True}
    models = {
        # The chip's nearest rate is 400 Hz, and that is what the orders are taken from.
        "shaking": piped.shaking(**front, rate_hz=395),
        "fast": piped.shaking(**front, rate_hz=12000),
    }
    about = piped.vibration("shaking", threshold=0.6, clear=0.5, rpm=1410.5)
    world = World(QUIET, motion=piped.Shaken(2, 6))
    twin, said, ran = piped.run(
        tmp_path,
        [about],
        models,
        "elapsed >= 5000",
        world,
        [piped.ACCEL],
        first=_SPIED,
        before=_REFUSED.format(abouts=[piped.vibration("fast", rpm=1410.5), piped.vibration("shaking")]),
    )
    text = twin.text.replace("\r", "")
    assert "FRONT 256 16 3 8\n" in text and "SPEED 400.0 1410.5\n" in text
    assert [event["label"] for _, event in said] == ["shaking"] and ran["lost"] == 0
    assert ran["inferences"] == pytest.approx(5 / 0.64, abs=2)
    assert [line[8:] for line in text.splitlines() if line.startswith("REFUSED ")] == [
        "pipeline 'vib': model 'fast' wants 12000 samples a second, sensor 'accel' has 400: set its rate_hz",
        "pipeline 'vib': model 'shaking' follows the speed of the shaft: give the pipeline its rpm",
    ]
