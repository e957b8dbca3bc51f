"""Twins with programs of the test's own, and a small real model to give them."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
from functools import lru_cache
from pathlib import Path

import numpy as np

from cicada.tools.board import load_board
from cicada.tools.paths import FIRMWARE, program
from cicada.tools.twin import factory, romfs
from cicada.tools.twin.appimage import build as app_image
from cicada.tools.twin.image import application as application_payload
from cicada.tools.twin.image import compile_python
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.twin import Twin
from cicada.training import container

LABELS = ["_silence_", "_unknown_", "yes", "no"]
#: No word, nothing but the room's hiss.
QUIET = Sound([], 60)


@lru_cache
def model() -> bytes:
    """A tiny INT8 model, made on the spot: loud frames are "yes", anything else is silence.

    Input int8[1, 49, 40, 1] of scale 1/128; average over the window, then a fully connected layer.
    """
    import tensorflow as tf

    inputs = tf.keras.Input((49, 40, 1), batch_size=1)
    mean = tf.keras.layers.AveragePooling2D((49, 40))(inputs)
    dense = tf.keras.layers.Dense(4, activation="softmax")
    outputs = dense(tf.keras.layers.Flatten()(mean))
    net = tf.keras.Model(inputs, outputs)
    dense.set_weights([np.array([[-30.0, 0.0, 30.0, 0.0]]), np.array([-17.0, -12.0, 16.0, -12.0])])

    def samples():
        for level in (-1.0, -0.5, 0.0, 0.5, 127 / 128):
            yield [np.full((1, 49, 40, 1), level, np.float32)]

    converter = tf.lite.TFLiteConverter.from_keras_model(net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def manifest(data: bytes, **changes: object) -> dict:
    """Manifest for :func:`model`."""
    return {
        "schema": 1,
        "type": "kws",
        "name": "loud",
        "version": "1",
        "labels": LABELS,
        "frontend": {"rate": 16000, "window_ms": 30, "step_ms": 20, "channels": 40, "frames": 49},
        "input": {"shape": [1, 49, 40, 1], "scale": 1 / 128, "zero_point": 0},
        "output": {"shape": [1, 4], "scale": 1 / 256, "zero_point": -128},
        "decision": {"hop_frames": 5, "window": 3, "threshold": 0.8, "refractory_ms": 1500},
        "sha256": hashlib.sha256(data).hexdigest(),
    } | changes


def raw_container(about: dict, data: bytes) -> bytes:
    """A container that is whole, whatever its manifest says (training's own packer is stricter)."""
    text = json.dumps(about).encode()
    at = (64 + len(text) + 15) // 16 * 16
    body = text + b"\0" * (at - 64 - len(text)) + data
    fields = (b"CMOD", 1, 64, 64 + len(body), 64, len(text), at, len(data), 0)
    head = struct.pack("<4sHHIIIIII", *fields)
    return head + hashlib.sha256(head + body).digest() + body


@lru_cache
def blob() -> bytes:
    """:func:`model` in its container."""
    return container.pack(manifest(model()), model())


def loud(start: float, seconds: float = 0.8, word: str = "yes") -> Played:
    """A recording that :func:`model` takes for "yes": bursts of noise, so that no noise reduction
    learns to ignore them."""
    rng = np.random.default_rng(7)
    n = int(seconds * 16000)
    envelope = (np.sin(np.arange(n) * 2 * np.pi * 6 / 16000) > 0) * 12000.0
    return Played(start, (rng.normal(0, 1, n).clip(-2.5, 2.5) * envelope).astype(np.int16), word)


def flash_of(payload: bytes, files: dict[str, bytes] | None = None) -> bytes:
    """Flash image of the twin's board: ``payload`` is its application, ``files`` are in its file system."""
    board = load_board("twin")
    contents = {"ota_0": app_image(payload, "0.0.1", board)}
    if files is not None:
        contents["vfs"] = factory.file_system(files)
    return factory.flash(contents)


def node_flash(models: dict[str, bytes] | None = None, files: dict[str, bytes] | None = None) -> bytes:
    """Flash image with the real application."""
    models = models if models is not None else {"kws": blob()}
    return flash_of(romfs.pack(_files(tuple(sorted(models.items())))), files)


@lru_cache
def _files(models: tuple[tuple[str, bytes], ...]) -> dict[str, bytes]:
    """Files of the real application, which are the same as long as the tests run."""
    return romfs.unpack(application_payload("twin", dict(models)))


def script_flash(code: str, folder: Path, models: dict[str, bytes] | None = None) -> bytes:
    """Flash image whose ``main.py`` is ``code``; the application's modules are there to import."""
    main = folder / "main.py"
    main.write_text(code)
    files = _files(tuple(sorted((models or {}).items())))
    return flash_of(romfs.pack(files | {"main.mpy": compile_python(main)}))


def run_script(
    code: str,
    folder: Path,
    sound: Sound = QUIET,
    seconds: float = 60,
    models: dict[str, bytes] | None = None,
) -> Twin:
    """Run ``code`` as the twin's main.py; it should end in ``machine.deepsleep()``."""
    twin = Twin(script_flash(code, folder, models), load_board("twin"), sound)
    twin.run(seconds)
    return twin


def micropython(code: str, *path: Path) -> str:
    """Output of ``code`` under MicroPython, with the application and ``path`` to import from."""
    run = subprocess.run(
        [program("micropython"), "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={"MICROPYPATH": ":".join(str(p) for p in (*path, FIRMWARE / "app"))},
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
