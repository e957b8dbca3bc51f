"""What varying the examples buys: one way left out at a time, all models on the same clips."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from cicada.tools.errors import UserError
from cicada.training.evaluation import ablation
from cicada.training.recipe import Augment, KeywordRecipe, Quantise, Speech, Train
from cicada.training.tasks import keyword
from support.chirps import make

NOTHING = Augment(words=2, unknown=1, silences=30, speed=0, room=0, colour=0, before=0, after=0, noise=0)
RECIPE = KeywordRecipe(
    name="whistles",
    corpus=Speech(kind="folder", words=("up", "down")),
    model={"architecture": "small_cnn", "first": 8, "blocks": [16]},
    train=Train(epochs=4, examples=512, batch=64),
    augment=replace(NOTHING, noise=1.0),
    quantise=Quantise(examples=20),
)


def test_each_way_that_a_recipe_has_is_left_out_once_and_then_all():
    recipe = replace(RECIPE, augment=replace(NOTHING, room=0.3, after=0.2, noise=0.7))
    rows = ablation.variants(recipe)
    assert [what for what, _ in rows] == [
        "the recipe as it is",
        "without rooms",
        "without words before and after",
        "without noise",
        "without all of them",
    ]
    assert rows[0][1] is recipe
    assert rows[1][1] == replace(recipe, augment=replace(recipe.augment, room=0.0))
    assert rows[-1][1].augment == NOTHING


def test_every_way_of_a_recipe_can_be_left_out():
    shares = {name for names in ablation.WAYS.values() for name in names}
    others = {"words", "unknown", "silences", "silence_share", "unknown_share", "near", "partial"}
    assert shares | others == set(Augment.__struct_fields__)


def test_a_recipe_that_varies_nothing_is_one_line():
    with pytest.raises(UserError, match="'whistles' varies nothing"):
        ablation.variants(replace(RECIPE, augment=NOTHING))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    return make(tmp_path_factory.mktemp("ablation") / "recordings")


def test_conditions_are_the_same_clips_heard_otherwise(recordings, tmp_path):
    run = keyword.open_run(RECIPE, recordings, tmp_path)
    heard, y, speakers = ablation.conditions(run)
    assert list(heard) == ["as recorded", "noise, 10 dB", "noise, 0 dB", "in rooms"]
    assert {x.shape for x in heard.values()} == {(len(y), 49, 40)} and len(speakers) == len(y) == 4 * 8
    clean = heard["as recorded"].astype(int)
    assert np.array_equal(clean, run.windows("validation").x[run.windows("validation").word != ""])
    apart = {name: np.abs(x - clean).mean() for name, x in heard.items()}
    assert 0 < apart["noise, 10 dB"] < apart["noise, 0 dB"] and apart["in rooms"] > 0


def test_rows_say_what_each_model_makes_of_each_condition(recordings, tmp_path):
    rows = ablation.compare(RECIPE, recordings, tmp_path)
    assert [row.what for row in rows] == ["the recipe as it is", "without noise"]
    assert rows[0].gain.estimate == 0
    means = [np.mean(list(row.accuracy.values())) for row in rows]
    assert rows[1].gain.estimate == pytest.approx(means[1] - means[0])
    lines = ablation.table(rows).markdown().splitlines()
    assert (
        lines[0] == "| examples | as recorded | noise, 10 dB | noise, 0 dB | in rooms | gain, mean of all |"
    )
    assert len(lines) == 4 and f"{100 * rows[1].accuracy['in rooms']:.1f}" in lines[3]
