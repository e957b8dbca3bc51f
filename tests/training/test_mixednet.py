"""The streaming network: what a recipe may ask for, and what it costs."""

from __future__ import annotations

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from cicada.training import architectures, quantise
from cicada.training.architectures import mixednet
from cicada.training.flatbuffer import describe
from cicada.training.pack import pack
from cicada.training.recipe import KeywordRecipe
from support import mixed

RECIPE = msgspec.convert(
    {
        "task": "keyword",
        "name": "words",
        "model": {"architecture": "mixednet"},
        "corpus": {"kind": "folder", "words": ["yes"]},
    },
    KeywordRecipe,
)


def test_a_recipe_gets_it_by_name_with_its_own_widths():
    module, options = architectures.resolve(
        {
            "architecture": "mixednet",
            "stride": 3,
            "blocks": [16, 16],
            "kernels": [[3], [2, 5]],
            "spectral": 1,
        },
        RECIPE,
    )
    assert module is mixednet and module.STREAMING
    assert mixednet.stride(options) == 3 and options.kernels == ((3,), (2, 5))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"blocks": [16]}, "`kernels` has 6 entries and `blocks` 1"),
        ({"stride": 4, "first_kernel": 3}, "skips frames"),
        ({"first": 1, "spectral": 0, "blocks": [8], "kernels": [[2, 3]]}, "2 groups for 1 channels"),
        ({"spectral": 7}, "`spectral` is 7"),
        ({"blocks": [8], "kernels": [[]], "spectral": 0}, "kernels"),
        ({"head": "max"}, "head"),
        ({"depth": 3}, "depth"),
    ],
)
def test_options_that_make_no_network_are_told(wrong, said):
    with pytest.raises(ValueError, match=said):
        architectures.resolve({"architecture": "mixednet", **wrong}, RECIPE)


def test_a_window_shorter_than_the_kernels_is_told():
    options = mixednet.Options()
    short = SimpleNamespace(shape=(None, mixednet.reach(options) - 1, 40, 1))
    with pytest.raises(ValueError, match=f"the kernels see {mixednet.reach(options)} frames"):
        mixednet.body(options, short)


@pytest.mark.parametrize("shape", mixed.SHAPES)
def test_reach_is_how_far_back_one_step_looks(shape):
    """A window of just that length leaves one step, and one frame less is refused."""
    options = mixed.made(shape).options
    model = mixed.build(options, mixednet.reach(options))
    before = "flat" if options.head == "flat" else "mean"
    assert model.get_layer(before).input.shape[1] == 1


def test_as_it_comes_it_fits_the_budget_of_ten_words():
    """64 KB packed, 6 million multiply-accumulates a second at steps of 20 ms."""
    model = mixed.build(mixednet.Options(), 49, 12)
    whole = quantise.convert(model, np.stack([mixed.noise(49, seed) for seed in range(8)]))
    stream = mixednet.streaming(mixednet.Options(), whole)
    made = pack(stream)
    assert len(made.blob) <= 64 * 1024
    assert describe(stream).macs * 50 / mixednet.stride(mixednet.Options()) <= 6e6
    assert describe(stream).macs < describe(whole).macs / 10
