"""Networks, one file each: options that a recipe may set, and the layers they stand for.

An architecture's module has::

    NAME: str                        as recipes call it
    TASKS: frozenset[str]            what it is for: "keyword", "vibration", "anomaly", "image"
    class Options(Section)           what a recipe may set, with defaults (msgspec, checked)
    def body(options, inputs)        Keras tensor of features -> Keras tensor [batch, dims] before the head

Features are ``float32[batch, frames, 40, 1]`` (keyword), ``[batch, axes, features, 1]`` (vibration) or
``[batch, height, width, 1]`` (image), int8 divided by 128. A streaming one also has ``STREAMING = True``,
``stride(options) -> int`` (frames a call) and ``streaming(options, model)`` (see ``mixednet.py``).
One with layers of its own has ``own_layers() -> {name: class}`` for :func:`load`.
Keras is imported inside functions, so that reading a recipe does not take seconds.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from cicada.training import backend

if TYPE_CHECKING:
    import keras

#: Architectures by the name that recipes use; each is a module of this package.
NAMES = (
    "small_cnn",
    "ds_cnn",
    "bc_resnet",
    "mixednet",
    "vibration_cnn",
    "autoencoder",
    "one_class",
    "person",
)


def resolve(model: dict[str, Any], recipe: Any) -> tuple[ModuleType, Any]:
    """The architecture that a recipe's ``model`` table names, and its options.

    Args:
        model: the table: ``architecture`` and options.
        recipe: for what task.

    Raises:
        ValueError: no such architecture, not for this task, or options that it does not have.
    """
    name = model.get("architecture")
    if name not in NAMES:
        raise ValueError(f"`architecture` must be one of {', '.join(NAMES)}, not {name!r}")
    module = importlib.import_module(f"cicada.training.architectures.{name}")
    task = type(recipe).__struct_config__.tag
    if task not in module.TASKS:
        raise ValueError(f"'{name}' is for {', '.join(sorted(module.TASKS))}, not for task '{task}'")
    rest = {key: value for key, value in model.items() if key != "architecture"}
    try:
        return module, msgspec.convert(rest, module.Options)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def load(path: Path) -> keras.Model:
    """A float model that was saved as ``.keras``, of whatever architecture."""
    backend.tensorflow()
    import keras

    own: dict[str, Any] = {}
    for name in NAMES:
        module = importlib.import_module(f"cicada.training.architectures.{name}")
        own |= module.own_layers() if hasattr(module, "own_layers") else {}
    return keras.models.load_model(path, custom_objects=own, compile=False)
