"""Training goes on where it was interrupted, and says so when it cannot go on."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training import fit as fitting
from cicada.training import lesson, recipe
from cicada.training.architectures import resolve
from cicada.training.features import Strips, Windows
from cicada.training.recipe import Train
from cicada.training.windows import CHANNELS, FRAMES, SECOND

RECIPE = recipe.parse(
    {
        "task": "keyword",
        "name": "x",
        "corpus": {"kind": "synthesis", "words": ["x"]},
        "model": {"architecture": "small_cnn"},
    },
    "test",
)
SETTINGS = Train(epochs=3, examples=96, batch=32, warmup=2)
CLASSES = 3


def data() -> tuple[Strips, Windows]:
    rng = np.random.default_rng(0)
    y = np.arange(60) % CLASSES
    side = SECOND.side
    x = rng.integers(-128, 0, (60, SECOND.strip, CHANNELS)).astype(np.int8)
    x[y == 2, side + 15 : side + 35, 5:15] += 120
    span = np.where(y[:, None] > 0, [side + 15, side + 35], -1).astype(np.int16)
    said = np.array(["x"] * 12)
    return Strips(x, y, span, y), Windows(x[:12, side : side + FRAMES], y[:12], said, said)


def fit(settings, checkpoint, **more):
    built = lesson.build(*resolve(RECIPE.model, RECIPE), SECOND, CLASSES, CLASSES, 1)
    history = lesson.train(built.taught, *data(), RECIPE, settings, 1, checkpoint, **more)
    return built.model.get_weights(), history


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["plain", "averaged"])
def whole(request, tmp_path_factory):
    """Settings, and weights and history of a training that nobody interrupted."""
    checkpoint = tmp_path_factory.mktemp("checkpoint") / "c.npz"
    settings = msgspec.structs.replace(SETTINGS, average=request.param)
    weights, history = fit(settings, checkpoint)
    assert checkpoint.is_file()
    return settings, weights, history


def test_history_has_every_epoch(whole):
    _, _, history = whole
    assert len(history) == 3
    for entry in history:
        assert set(entry) == {"loss", "accuracy", "val_loss", "val_accuracy"}
        assert all(np.isfinite(value) for value in entry.values())
        assert 0 <= entry["val_accuracy"] <= 1


def test_an_interrupted_training_ends_as_if_it_had_not_been(whole, tmp_path, monkeypatch):
    settings, wanted, expected = whole
    saved = fitting._save

    def interrupt(path, variables, history):
        saved(path, variables, history)
        if len(history) == 2:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "c.npz"
    monkeypatch.setattr(fitting, "_save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, checkpoint)
    monkeypatch.setattr(fitting, "_save", saved)
    epochs: list[int] = []
    epoch = lesson.batches.epoch
    monkeypatch.setattr(lesson.batches, "epoch", lambda *a: epochs.append(a[-1]) or epoch(*a))
    weights, history = fit(settings, checkpoint)
    assert epochs == [2]
    assert history == expected
    for one, other in zip(weights, wanted, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04" + bytes(40)])
def test_a_damaged_checkpoint_is_started_over(content, tmp_path):
    checkpoint = tmp_path / "c.npz"
    checkpoint.write_bytes(content)
    _, history = fit(msgspec.structs.replace(SETTINGS, epochs=1), checkpoint)
    assert len(history) == 1


def test_a_loss_that_is_no_number_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="loss of epoch 1 is not a number"):
        fit(msgspec.structs.replace(SETTINGS, epochs=1, rate=float("inf")), tmp_path / "c.npz")
    assert not (tmp_path / "c.npz").exists()


def test_a_teacher_is_listened_to(tmp_path):
    """A teacher that is sure of one class for everything draws the student towards it."""
    built = lesson.build(*resolve(RECIPE.model, RECIPE), SECOND, CLASSES, CLASSES, 2)
    weights = built.model.get_weights()
    weights[-1][:] = [9, 0, 0]  # the bias of the scores
    built.model.set_weights(weights)
    how = recipe.Teacher(model=RECIPE.model, weight=1.0, temperature=1.0)
    settings = msgspec.structs.replace(SETTINGS, rate=1e-2, epochs=6)
    taught, _ = fit(settings, tmp_path / "a.npz", teacher=(built.model, how))
    own, _ = fit(settings, tmp_path / "b.npz")
    assert taught[-1][0] - taught[-1][1:].max() > own[-1][0] - own[-1][1:].max()
