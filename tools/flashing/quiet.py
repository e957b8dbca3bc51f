"""Espressif's Python tools without their chatter: all of them print through ``esp_pylib.logger``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def quiet(progress: Callable[[float], None] | None = None) -> Iterator[None]:
    """Keep Espressif's tools from printing; what they would draw as a bar goes to ``progress``.

    Args:
        progress: called with a share, 0 to 1.
    """
    from esp_pylib.logger import EspLog, EspLogBase

    class Quiet(EspLogBase):
        def _nothing(self, *_: object, **__: object) -> None:
            pass

        print = err = warn = warning = error = note = hint = debug = set_verbosity = _nothing

        def progress_bar(self, cur_iter: int, total_iters: int, *_: object, **__: object) -> None:
            if progress and total_iters:
                progress(cur_iter / total_iters)

    before = EspLog.instance
    EspLog.instance = Quiet()
    try:
        yield
    finally:
        EspLog.instance = before
