"""TensorFlow, brought in late and quietly.

Importing it takes seconds, so only stages that really run do it, through :func:`tensorflow`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from cicada.tools.errors import UserError


def tensorflow() -> ModuleType:
    """Import TensorFlow on the CPU alone, without its chatter.

    A graphics card would not make so small a network train faster, but would make its results differ
    from those of other machines.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # Hides graphics cards before TensorFlow looks for them; None would not.
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with quiet():
        try:
            import tensorflow as tf
        except ImportError as error:
            raise UserError(
                "the package tensorflow is missing: install what training needs with"
                " pip install -e '.[train]'"
            ) from error
        # Its C++ side greets at the first operation.
        tf.constant(0) + 1
    tf.get_logger().setLevel("ERROR")
    return tf


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what C++ code writes to file descriptors 1 and 2; if the body raises, show it after all."""
    saved = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 1)
        os.dup2(caught.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            for target, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, target)
                os.close(copy)
            if failed:
                caught.seek(0)
                os.write(2, caught.read())
