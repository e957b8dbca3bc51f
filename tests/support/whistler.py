"""A streaming keyword model that really listens: trained in seconds, on whistles."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from cicada.tools import engine
from cicada.training import backend, fit, quantise
from cicada.training.architectures import mixednet
from cicada.training.pack import pack
from cicada.training.recipe import Train
from support import mixed
from support.chirps import RATE, SWEEPS, whistle
from support.piped import AUDIO, LABELS, boxed

#: What the model tells apart; other whistles are unknown.
WORDS = ("up", "down")
OPTIONS = mixednet.Options(
    stride=2, first=16, spectral=0, blocks=(24, 24), kernels=((3,), (3, 5)), residual=True, dropout=0.0
)
FRAMES = 37
DECISION = {"hop_frames": OPTIONS.stride, "window": 6, "threshold": 0.7, "refractory_ms": 800}
_HELD = range(43, 50)  # frames of a clip by which its whistle is over
_HALF = range(22, 27)  # in the midst of it


@lru_cache
def tflite() -> bytes:
    """The trained network, streaming, INT8."""
    rng = np.random.default_rng(1)
    said = [str(word) for word in rng.choice([*SWEEPS, "none"], 260)]
    silence = np.rint(rng.normal(0, 15, RATE)).astype(np.int16)
    pcm = np.concatenate([silence if word == "none" else whistle(word, rng) for word in said])
    heard = engine.features(pcm)
    x, y = [], []
    for number, word in enumerate(said):
        label = 2 + WORDS.index(word) if word in WORDS else int(word != "none")
        for at, known in [(_HELD, label), (_HALF, min(label, 1))]:
            ends = [50 * number + frame for frame in at if FRAMES <= 50 * number + frame <= len(heard)]
            x += [heard[end - FRAMES : end] for end in ends]
            y += [known] * len(ends)
    inputs, classes = np.stack(x), np.eye(len(WORDS) + 2, dtype=np.float32)[y]
    tf = backend.tensorflow()
    model = mixed.build(OPTIONS, FRAMES, len(WORDS) + 2)

    def loss(outputs, wanted):
        return tf.reduce_mean(tf.keras.losses.categorical_crossentropy(wanted, outputs)), {}

    def epoch(number):
        order = np.random.default_rng(number).permutation(len(x))
        for rows in np.array_split(order, 25):
            yield inputs[rows, ..., None].astype(np.float32) / 128, classes[rows]

    settings = Train(epochs=5, rate=1e-2, decay=0.0)
    with tempfile.TemporaryDirectory() as folder:
        fit.fit(model, loss, epoch, dict, settings, 25, Path(folder) / "checkpoint.npz")
    return mixednet.streaming(OPTIONS, quantise.convert(model, inputs[::20]))


@lru_cache
def container() -> bytes:
    """It in its container."""
    front = AUDIO | {"frames": OPTIONS.stride}
    return boxed(
        pack(tflite()).blob, "kws", labels=LABELS[:2] + list(WORDS), frontend=front, decision=DECISION
    )
