"""Pictures become what the device's camera would hand to the model, and batches of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cicada.tools import engine
from cicada.tools.errors import UserError
from cicada.training import images
from cicada.training.corpora.pictures import open_pictures
from cicada.training.recipe import Train
from support import galleries

TRAIN = Train(examples=128, batch=32)


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """A gallery, and the folder of its scaled pictures."""
    gallery = open_pictures(
        galleries.make(tmp_path_factory.mktemp("pictures") / "door", 20), galleries.LABELS
    )
    folder = tmp_path_factory.mktemp("scaled")
    images.extract(gallery, 32, 24, 1, folder)
    return gallery, folder


def test_test_pictures_are_what_the_device_sees_of_them(extracted):
    gallery, folder = extracted
    test = images.load(folder, "test")
    of_test = gallery.of("test")
    assert test.x.shape == (len(of_test), 24, 32) and test.x.dtype == np.int8
    assert test.y.tolist() == [picture.label for picture in of_test]
    for row, picture in zip(test.x, of_test, strict=True):
        frame = np.asarray(Image.open(picture.path))
        seen = engine.scale_frame(frame, 32, 24)  # gray, of the centred part
        np.testing.assert_array_equal(row.astype(int) + 128, seen)


def test_training_has_the_devices_view_and_random_parts(extracted):
    gallery, folder = extracted
    train = images.load(folder, "train")
    assert len(train.x) == images.CROPS * len(gallery.of("train"))
    first = gallery.of("train")[0]
    seen = engine.scale_frame(np.asarray(Image.open(first.path)), 32, 24)
    np.testing.assert_array_equal(train.x[0].astype(int) + 128, seen)
    assert len({row.tobytes() for row in train.x[: images.CROPS]}) == images.CROPS


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 9)])
def test_crops_fit_frames_of_any_shape(shape):
    made = images.crops(np.full(shape, 77, np.uint8), 16, 12, 5, np.random.default_rng(3))
    assert made.shape == (5, 12, 16) and (made == 77 - 128).all()


def test_batches_repeat_balance_and_stay_in_range(extracted):
    _, folder = extracted
    examples = images.load(folder, "train")
    few = np.flatnonzero(examples.y == 1)[10:]  # many more of one label than of the other
    unequal = images.Examples(np.delete(examples.x, few, 0), np.delete(examples.y, few))
    epochs = [list(images.epoch(unequal, galleries.LABELS, TRAIN, 5, number)) for number in (0, 0, 1)]
    assert len(epochs[0]) == 4
    for (x, y), (again, _), (other, _) in zip(*epochs, strict=True):
        assert x.shape == (32, 24, 32, 1) and x.dtype == np.float32
        assert -1 <= x.min() and x.max() <= 127 / 128
        assert y.shape == (32, 2) and (y.sum(axis=1) == 1).all()
        assert (x == again).all() and not (x == other).all()
    assert sum(y[:, 1].sum() for _, y in epochs[0]) == 64


def test_mixup_mixes_pictures_and_labels_alike(extracted):
    _, folder = extracted
    # Labels can be read off these pictures: dark is 0, light is 1.
    y = np.arange(64) % 2
    examples = images.Examples(np.broadcast_to((y * 200 - 100)[:, None, None], (64, 8, 8)).astype(np.int8), y)
    mixed = Train(examples=64, batch=64, mixup=0.5)
    ((x, targets),) = images.epoch(examples, galleries.LABELS, mixed, 5, 0)
    assert ((targets > 0.1) & (targets < 0.9)).any() and np.allclose(targets.sum(axis=1), 1)
    correlation = np.corrcoef(x.mean(axis=(1, 2, 3)), targets[:, 1])[0, 1]
    assert correlation > 0.9


def test_a_picture_saved_again_in_another_split_is_refused(extracted, tmp_path):
    gallery, _ = extracted
    train, test = (next(p for p in gallery.of(split) if p.label == 0) for split in ("train", "test"))
    # The same pixels in another file: compressed less, so its bytes are others.
    Image.open(train.path).save(tmp_path / "again.png", compress_level=1)
    spoilt = replace(gallery, pictures=[*gallery.pictures, replace(test, path=tmp_path / "again.png")])
    with pytest.raises(UserError, match="same recording in two splits.*again.png in test"):
        images.extract(spoilt, 32, 24, 1, tmp_path)
