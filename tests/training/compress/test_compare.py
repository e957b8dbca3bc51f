"""The table of compression: one way at a time, on the same clips, at equal size."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from cicada.training import backend
from cicada.training.compress import compare
from cicada.training.recipe import Augment, KeywordRecipe, Prune, Quantise, Speech, Teacher, Train
from support.chirps import make

SMALL = Train(epochs=1, examples=128, batch=64)
RECIPE = KeywordRecipe(
    name="whistles",
    corpus=Speech(kind="folder", words=("up", "down")),
    model={"architecture": "small_cnn", "first": 8, "blocks": [16]},
    train=replace(SMALL, epochs=2),
    augment=Augment(words=1, unknown=1, silences=20),
    quantise=Quantise(examples=20, aware_epochs=1),
    prune=Prune(keep=0.6, epochs=2),
    teacher=Teacher(model={"architecture": "small_cnn", "first": 8, "blocks": [16]}, train=SMALL),
)


def test_every_row_has_one_way_only_and_what_the_recipe_joins_comes_last():
    rows = compare.variants(RECIPE)
    assert rows[-1][1] is RECIPE
    for _, one in rows[:-1]:
        ways = [one.prune is not None, one.teacher is not None, one.quantise.aware_epochs > 0]
        assert sum([*ways, one.quantise.calibration != "random"]) <= 1
        assert replace(one, prune=None, teacher=None, quantise=RECIPE.quantise) == replace(
            RECIPE, prune=None, teacher=None
        )
    assert [one.quantise.calibration for _, one in rows[:3]] == ["random", "balanced", "trimmed"]


def test_a_plain_recipe_is_the_first_row_and_has_no_teacher_to_try():
    plain = replace(RECIPE, prune=None, teacher=None, quantise=Quantise(examples=20))
    rows = compare.variants(plain)
    assert rows[0][1] == plain and len(rows) == 5
    assert all(one.teacher is None for _, one in rows)
    assert rows[3][1].quantise.aware_epochs == compare.AWARE_EPOCHS


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Two of the ways alone: the others are rows as these are, and every one is a training."""
    folder = tmp_path_factory.mktemp("compare")
    ways = [row for row in compare.variants(RECIPE) if row[0] == "plain, random calibration" or row[1].prune]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "variants", lambda recipe: ways[:2])
        return compare.compare(RECIPE, make(folder / "recordings"), folder / "cache")


def test_models_that_are_compared_are_of_equal_size(rows):
    plain, pruned, scratch = rows
    assert pruned.macs == scratch.macs <= 0.6 * plain.macs
    assert abs(pruned.packed - scratch.packed) < 200  # multipliers and biases pack by their values
    assert max(pruned.packed, scratch.packed) < plain.packed
    assert pruned.epochs == scratch.epochs == plain.epochs + 2


def test_table_has_a_line_for_each_with_the_gain_over_the_plain_model(rows):
    lines = compare.table(rows).markdown().splitlines()
    assert len(lines) == 2 + len(rows) == 5
    assert all(line.count("|") == lines[0].count("|") for line in lines)
    assert rows[0].gain.estimate == 0
    for row in rows[1:]:
        assert row.gain.estimate == pytest.approx(row.test.estimate - rows[0].test.estimate)
    assert f"{100 * rows[0].test.estimate:.1f}" in lines[2]


def test_a_fresh_model_has_the_shape_and_none_of_the_weights():
    keras = backend.tensorflow().keras
    inputs = keras.Input((6, 5, 1))
    x = keras.layers.Flatten()(keras.layers.Conv2D(3, 2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax", name="scores")(x))
    one, other = compare.fresh(model, 7, 1), compare.fresh(model, 7, 2)
    assert [v.shape for v in one.model.weights] == [v.shape for v in model.weights]
    assert one.taught.outputs[1].shape == (None, 7)
    kernels = [np.asarray(made.weights[0]) for made in (model, one.model, other.model)]
    assert not np.allclose(kernels[0], kernels[1]) and not np.allclose(kernels[1], kernels[2])
