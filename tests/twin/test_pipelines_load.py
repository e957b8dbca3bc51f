"""Three models at once keep up with real time on an ESP32, with two fifths of its time to spare.

The time is that of the board's figures: instructions of packed models and front ends, and the buses. What the
interpreter takes is not in it; tests/modules/test_pipelines_cost.py counts that.
"""

from __future__ import annotations

import pytest

from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import World
from cicada.training.pack import pack
from support import piped
from support.twins import loud

SECONDS = 5
MOST = 0.60


def demo() -> bytes:
    """The model that images are built with by default."""
    return (FIRMWARE / "models" / "kws.cmod").read_bytes()


def load_of(tmp_path, models, abouts):
    """Share of the time that is busy, by the runner and by the chip; the runner's figures."""
    world = World(Sound([loud(2.0)], SECONDS + 5), motion=piped.Shaken(2, 4))
    twin, _, ran = piped.run(
        tmp_path, abouts, models, f"elapsed >= {1000 * SECONDS}", world, [piped.ACCEL], seconds=SECONDS + 10
    )
    neural = twin.chip.parts["neural"]
    assert twin.chip.parts["i2s"].overruns == 0
    return (
        ran["busy"] / ran["elapsed"],
        (neural.invoking_us + neural.featuring_us) / 1e3 / ran["elapsed"],
        ran,
    )


def check(tmp_path, models, abouts):
    by_runner, by_chip, ran = load_of(tmp_path, models, abouts)
    print(f"busy {by_runner:.3f} of the time, models and audio features {by_chip:.3f}; {ran}")
    assert ran["lost"] == 0 and ran["ran"] and all(ran["each"])
    assert by_chip <= by_runner <= MOST


@pytest.mark.parametrize("wake_word", ["okay_nabu"])
def test_keywords_a_wake_word_and_vibration_keep_up(wake_word, tmp_path, shared_data):
    packed = pack((shared_data / "models" / f"{wake_word}.tflite").read_bytes()).blob
    front = piped.AUDIO | {"step_ms": 10, "frames": 3}
    decision = {"hop_frames": 3, "window": 5, "threshold": 0.97, "refractory_ms": 1000}
    wake = piped.boxed(packed, "kws", labels=[wake_word], frontend=front, decision=decision)
    models = {"kws": demo(), "wake": wake, "shaking": piped.shaking()}
    check(tmp_path, models, [piped.keyword(), piped.keyword("wake"), piped.vibration("shaking")])


def test_the_same_with_models_made_here(tmp_path):
    models = {"kws": demo(), "wake": piped.streaming(), "shaking": piped.shaking()}
    check(tmp_path, models, [piped.keyword(), piped.keyword("wake"), piped.vibration("shaking")])
