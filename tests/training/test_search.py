"""Search over sizes: what is proposed, refused, kept and taken up again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training import footprint, recipe, search, sizes
from cicada.training.architectures import resolve
from cicada.training.recipe import Budget

LIMITS = Budget(bytes=26_000)
SPEECH = {"kind": "synthesis", "words": ["yes", "no"]}
PICTURES = recipe.parse(
    {
        "task": "image",
        "name": "door",
        "corpus": {"width": 32, "height": 24},
        "model": {"architecture": "person", "width": 0.2},
    },
    "test",
)


def keyword(architecture: str, **options: object) -> recipe.Recipe:
    model = {"architecture": architecture, **options}
    return recipe.parse({"task": "keyword", "name": "words", "corpus": SPEECH, "model": model}, "test")


def costs(found: recipe.Recipe) -> dict[str, float]:
    """What a model costs, guessed without building it: it grows with width and depth."""
    _, options = resolve(found.model, found)
    size = options.width**2 * (5 + options.repeats)
    return {"macs": round(1e6 * size), "bytes": round(1e5 * size), "arena": 9000}


def pretended(found: recipe.Recipe) -> dict[str, float]:
    """Accuracy of a training that is not done: larger models are better, mostly."""
    macs = costs(found)["macs"]
    return {"accuracy": 1 - 20 / macs**0.5 - macs % 7 / 100, "loss": 0.5}


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Building and converting takes seconds; that the guess is told from the truth is tested once below."""
    real = footprint.figures
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search.footprint, "figures", costs)
        yield real


@pytest.fixture(scope="module")
def done(tmp_path_factory, quick):
    """A finished search, its folder, and the recipes that were trained."""
    folder, trained = tmp_path_factory.mktemp("search"), []

    def evaluate(found):
        trained.append(found)
        return pretended(found)

    return search.search(PICTURES, 12, LIMITS, evaluate, folder), folder, trained


def test_the_recipes_own_size_is_tried_first_and_none_twice(done):
    content, _, trained = done
    assert trained[0] == PICTURES
    digests = [recipe.digest(one) for one in trained]
    assert len(set(digests)) == len(digests) == 12
    assert [row["state"] for row in content["trials"]].count("trained") == 12


def test_sizes_beyond_the_limits_are_never_trained(done):
    content, _, _ = done
    assert "refused" in {row["state"] for row in content["trials"]}
    for row in content["trials"]:
        if row["state"] == "trained":
            assert row["figures"]["bytes"] <= 26_000 and row["result"]["loss"] == 0.5
        elif "figures" in row:
            assert row["figures"]["bytes"] > 26_000 and "too large: the model needs" in row["why"]


def test_the_front_is_what_no_other_beats(done):
    content, folder, _ = done
    rows = [row for row in content["trials"] if row["state"] == "trained"]
    points = {
        row["number"]: (row["result"]["accuracy"], -row["figures"]["macs"], -row["figures"]["bytes"])
        for row in rows
    }
    best = [
        number
        for number, point in points.items()
        if not any(other != point and np.all(np.array(other) >= point) for other in points.values())
    ]
    assert content["pareto"] == best
    assert json.loads((folder / "search.json").read_text()) == content
    assert (folder / "pareto.png").read_bytes()[:4] == b"\x89PNG"


def test_an_interrupted_search_goes_on_with_what_was_interrupted(tmp_path):
    trained = []

    def interrupted(found):
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(recipe.digest(found))
        return {"accuracy": 0.5}

    with pytest.raises(KeyboardInterrupt):
        search.search(PICTURES, 3, Budget(), interrupted, tmp_path)
    assert len(json.loads((tmp_path / "search.json").read_text())["trials"]) == 1
    lost = []

    def on(found):
        lost.append(recipe.digest(found))
        return {"accuracy": 0.6}

    content = search.search(PICTURES, 3, Budget(), on, tmp_path)
    states = [row["state"] for row in content["trials"] if row["state"] != "refused"]
    assert states == ["trained", "failed", "trained", "trained"]
    again = [row for row in content["trials"] if row["state"] in ("failed", "trained")]
    assert again[1]["model"] == again[2]["model"], "the size that was interrupted comes first"
    assert not set(lost) & set(trained)
    # Another run has nothing left to do, and other limits are another search.
    assert search.search(PICTURES, 3, Budget(), on, tmp_path) == content and len(lost) == 2
    other = search.search(PICTURES, 1, Budget(bytes=100_000), on, tmp_path)
    assert len(other["trials"]) == 1


def test_limits_that_nothing_keeps_are_one_line_and_nothing_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "PATIENCE", 3)
    with pytest.raises(UserError, match=r"none of 3 sizes .* \(the smallest has [\d,]+ bytes\): raise them"):
        search.search(PICTURES, 2, Budget(bytes=1000), lambda _: pytest.fail("trained"), tmp_path)


def test_trainings_that_fail_are_noted_and_do_not_go_on_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(search, "PATIENCE", 2)

    def fails(_):
        raise UserError("training went astray: the loss is not a number")

    with pytest.raises(UserError, match="none of 2 sizes"):
        search.search(PICTURES, 2, Budget(), fails, tmp_path)


@given(
    st.sampled_from(["small_cnn", "ds_cnn", "bc_resnet", "mixednet"]),
    st.floats(*search.WIDTHS),
    st.integers(*search.DEPTHS),
    st.sampled_from([10, 20]),
)
def test_every_size_is_a_valid_recipe_or_a_value_error(architecture, width, depth, step_ms):
    own = keyword(architecture)
    try:
        found = sizes.resized(own, width, depth, step_ms)
    except ValueError:
        assert depth < 0
        return
    assert recipe.parse(recipe.as_json(found), "test") == found
    assert found.frontend.step_ms * found.frontend.frames == 20 * 49
    assert found.frontend.step_ms * found.decide.hop_frames == 20 * 5
    assert sizes.resized(found, 1, 0, 20).frontend == own.frontend


@pytest.mark.parametrize("architecture", ["small_cnn", "ds_cnn", "bc_resnet", "mixednet"])
def test_wider_and_deeper_models_have_more_weights(architecture):
    own = keyword(architecture)
    weights = []
    for width, depth in ((0.5, -1), (1, 0), (1.5, 1)):
        module, options = resolve(sizes.resized(own, width, depth).model, own)
        weights.append(footprint.network(module, options, (49, 40), 4, 1).count_params())
    assert weights == sorted(set(weights))


def test_costs_are_those_of_a_model_that_is_built(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(search.footprint, "figures", quick)
    content = search.search(PICTURES, 1, Budget(), lambda _: {"accuracy": 0.5}, tmp_path)
    (row,) = content["trials"]
    assert content["cost"] == "macs" and row["figures"]["macs"] == 224_808
    assert row["figures"]["forms"]["packed"]["bytes"] == row["figures"]["bytes"]


def test_a_streaming_model_runs_at_each_of_its_steps(quick):
    found = quick(keyword("mixednet", stride=2, first=8, blocks=[8], kernels=[[3]], spectral=0))
    assert found["macs_per_s"] == 25 * found["macs"]


def test_what_has_no_size_is_one_line(tmp_path):
    machine = recipe.parse(
        {
            "task": "anomaly",
            "name": "fan",
            "corpus": {"kind": "fan"},
            "frontend": {"rate_hz": 200, "samples": 256},
            "model": {"architecture": "autoencoder"},
        },
        "test",
    )
    with pytest.raises(UserError, match="size of 'autoencoder' cannot be varied"):
        search.search(machine, 2, Budget(), pretended, tmp_path)
