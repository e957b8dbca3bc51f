"""A streaming model of several words, from training to what a node reports, on the twin."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.tools import engine
from cicada.tools.packed import PackedModel
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.world import World
from cicada.training import container
from support import piped, whistler
from support.chirps import whistle

#: What is played when, s.
PLAYED = [(3.0, "up"), (5.5, "down"), (8.0, "flat"), (10.5, "up"), (13.0, "high"), (15.5, "down")]
SECONDS = 18


def world() -> World:
    rng = np.random.default_rng(77)
    return World(Sound([Played(at, whistle(word, rng), word) for at, word in PLAYED], SECONDS))


@pytest.fixture(scope="module")
def open_and_gated(tmp_path_factory):
    """What was reported and how often the model ran, without a gate and behind one."""
    results = {}
    for name, gate in (("open", None), ("gated", {"level_dbfs": -30, "hold_ms": 800, "first": None})):
        about = [piped.keyword(gate=gate)]
        models = {"kws": whistler.container()}
        folder = tmp_path_factory.mktemp(name)
        _, said, ran = piped.run(folder, about, models, f"elapsed >= {SECONDS - 1}000", world())
        results[name] = said, ran
    return results


@pytest.mark.parametrize("name", ["open", "gated"])
def test_each_word_is_heard_once_and_no_other_whistle(open_and_gated, name):
    said, ran = open_and_gated[name]
    wanted = [(at, word) for at, word in PLAYED if word in whistler.WORDS]
    assert [event["word"] for _, event in said] == [word for _, word in wanted]
    for (ms, _), (at, _) in zip(said, wanted, strict=True):
        assert at + 0.3 < ms / 1000 < at + 1.6
    assert ran["lost"] == 0


def test_it_runs_at_every_second_frame_and_behind_a_gate_only_while_there_is_sound(open_and_gated):
    whole = (SECONDS - 2) * 1000 / 40
    assert open_and_gated["open"][1]["inferences"] == pytest.approx(whole, rel=0.06)
    loud = len(PLAYED) * (0.6 + 0.8 + 0.24) * 1000 / 40
    assert 0.6 * loud < open_and_gated["gated"][1]["inferences"] < 1.1 * loud


def test_the_container_holds_what_was_trained():
    manifest, model = container.unpack(whistler.container())
    packed = PackedModel(bytes(model))
    assert packed.input["shape"] == [1, manifest["frontend"]["frames"], 40, 1]
    rng = np.random.default_rng(5)
    for word, label in (("up", 2), ("down", 3)):
        packed.reset()
        features = engine.features(np.concatenate([whistle("flat", rng), whistle(word, rng)]))
        said = [packed.invoke(features[at : at + 2]) for at in range(0, len(features) - 1, 2)]
        assert int(np.argmax(said[-3])) == label
