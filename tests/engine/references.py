"""Other implementations of the same front end, to compare with."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from cicada.tools import engine


@dataclass
class Reference:
    """Another implementation, and the engine's code over the tables that implementation computes."""

    frames: Callable[[np.ndarray, int], np.ndarray]
    library: ctypes.CDLL

    def check(self, pcm: np.ndarray, step_ms: int) -> np.ndarray:
        """Assert that both make the same frames of ``pcm`` and return them, ``uint16[frames, 40]``."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(engine, "library", lambda: self.library)
            ours = engine.FrontEnd(step_ms).feed(pcm)
        np.testing.assert_array_equal(ours, self.frames(pcm, step_ms).astype(np.uint16))
        return ours


def engine_with(tables: str, folder: Path) -> ctypes.CDLL:
    """The committed code over other tables (or the ordinary engine, if the tables are the same)."""
    if tables == (engine.ENGINE / "frontend" / "tables.c").read_text():
        return engine.load(engine.build())
    copy = folder / "frontend"
    shutil.copytree(engine.ENGINE / "frontend", copy)
    (copy / "tables.c").write_text(tables)
    library = folder / "variant.so"
    others = [path for path in engine.sources() if path.parent.name != copy.name]
    engine.run_compiler([*engine.FLAGS, "-shared", "-o", library, *sorted(copy.glob("*.c")), *others])
    return engine.load(library)


def pymicro_frames(pcm: np.ndarray, step_ms: int) -> np.ndarray:
    """Frames of pymicro-features, which steps by 10 ms and takes whole blocks of 160 samples."""
    from pymicro_features import MicroFrontend

    assert step_ms == 10 and len(pcm) % 160 == 0
    frontend = MicroFrontend()
    blocks = pcm.reshape(-1, 160)
    frames = [f for b in blocks if (f := frontend.process_samples(b.tobytes()).features)]
    # It multiplies the integer feature by 0.0390625 (10 / 256).
    return np.rint(np.array(frames, np.float64).reshape(-1, 40) * 25.6).astype(np.uint16)
