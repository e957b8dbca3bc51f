"""The two reference implementations, and the engine built with the tables each of them computes."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
from types import ModuleType

import numpy as np
import pytest
from engine.references import Reference, engine_with, pymicro_frames

from cicada.tools import engine


@pytest.fixture(scope="session")
def gen_tables() -> ModuleType:
    """The table generator, as a module."""
    spec = importlib.util.spec_from_file_location("gen_tables", engine.ENGINE / "frontend" / "gen_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pymicro(gen_tables: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The package pymicro-features.

    It calls the machine's ``log1pf``. With fdlibm's (see gen_tables.py) its tables are the committed
    ones; where a C library rounds otherwise, the engine under test follows.
    """
    log1pf = ctypes.CDLL(None).log1pf
    log1pf.restype, log1pf.argtypes = ctypes.c_float, [ctypes.c_float]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gen_tables, "_mel", lambda hertz: gen_tables._f32(1127.0 * log1pf(hertz / 700.0)))
        tables = gen_tables.render()["tables.c"]
    return Reference(pymicro_frames, engine_with(tables, tmp_path_factory.mktemp("pymicro")))


@pytest.fixture(scope="session")
def tensorflow(gen_tables: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """The op ``audio_microfrontend`` of TensorFlow, which can step by 20 ms as well.

    It is the same code compiled as C++, where the table formulas run in double precision: one window
    coefficient and three band weights differ by one from those of TFLM on a device.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = pytest.importorskip("tensorflow", reason="the reference for the 20 ms step is a TensorFlow op")
    from tensorflow.lite.experimental.microfrontend.python.ops import audio_microfrontend_op

    def frames(pcm: np.ndarray, step_ms: int) -> np.ndarray:
        return audio_microfrontend_op.audio_microfrontend(
            tf.constant(pcm, tf.int16),
            sample_rate=16000,
            window_size=30,
            window_step=step_ms,
            num_channels=40,
            lower_band_limit=125.0,
            upper_band_limit=7500.0,
            smoothing_bits=10,
            even_smoothing=0.025,
            odd_smoothing=0.06,
            min_signal_remaining=0.05,
            enable_pcan=True,
            pcan_strength=0.95,
            pcan_offset=80.0,
            gain_bits=21,
            enable_log=True,
            scale_shift=6,
            out_scale=1,
        ).numpy()

    f32, window = gen_tables._f32, gen_tables.WINDOW
    step = f32(math.pi * 2 / window)
    values = [f32(0.5 - 0.5 * math.cos(step * (i + 0.5))) for i in range(window)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gen_tables, "hann", lambda: [math.floor(v * 4096 + 0.5) for v in values])
        patch.setattr(gen_tables, "_mel", lambda hertz: f32(1127.0 * math.log1p(hertz / 700.0)))
        tables = gen_tables.render()["tables.c"]
    return Reference(frames, engine_with(tables, tmp_path_factory.mktemp("tensorflow")))
