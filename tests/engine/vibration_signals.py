"""Signals for tests of the vibration front end, and its formulas in double precision."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from cicada.tools import vibration

#: What the arithmetic adds to an amplitude, in units of the FFT's last bit (2^-13 counts). Each of up to nine
#: stages rounds down twice and halves what came before: less than 24 at worst. The most seen is 7.5.
NOISE = 10.0
#: Half a step is rounding; the rest is what the integer logarithm is off by, times 24.
ROUNDING = 0.505


def log2(x: int) -> int:
    """The engine's logarithm: 2^16 log2(x)."""
    function = vibration.library().vib_log2
    function.restype, function.argtypes = ctypes.c_int32, [ctypes.c_uint64]
    return function(x)


def bands_of(samples: int, bands: int) -> list[int]:
    """Edges of the bands by the formula of ``vibration.h``, with the engine's logarithm."""
    edges = [1]
    for left in range(bands, 0, -1):
        target = log2(edges[-1]) + (log2(samples // 2) - log2(edges[-1])) // left
        edges.append(next(k for k in range(edges[-1] + 1, samples) if log2(k) >= target))
    return edges


def limits(x: NDArray[np.int16], edges: list[int]) -> tuple[NDArray, NDArray]:
    """Lowest and highest features that one axis of a window may have, not rounded."""
    count = len(x)
    d = x.astype(float) - x.mean()
    spectrum = np.fft.rfft(d * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count))) / count
    low, high = [], []
    for start, end in zip(edges, edges[1:], strict=False):
        amplitude = np.sqrt(16 / 3 * (np.abs(spectrum[start:end]) ** 2).sum())
        noise = NOISE * np.sqrt(16 / 3 * (end - start)) * 2.0**-13
        low.append(_log(6, max(amplitude - noise, 0) ** 2) - 53)
        high.append(_log(6, (amplitude + noise) ** 2) - 53)
    if not d.any():
        statistics = np.full(3, -128.0)
    else:
        variance = (d**2).mean()
        statistics = np.array(
            [
                _log(6, variance) - 53,
                _log(24, (d**2).max() / variance) - 128,
                _log(24, (d**4).mean() / variance**2) - 128,
            ]
        )
    clip = lambda values: np.clip([*values, *statistics], -128, 127)  # noqa: E731
    return clip(low) - ROUNDING, clip(high) + ROUNDING


def _log(steps: int, power: float) -> float:
    return steps * np.log2(max(power, 1e-30))


def signals(samples: int) -> st.SearchStrategy[NDArray[np.int16]]:
    """Windows of ``samples``: sums of an offset, a tone, noise, shocks and a square, up to full scale."""

    @st.composite
    def window(draw: st.DrawFn) -> NDArray[np.int16]:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        size = st.sampled_from([0, 0.2, 1, 7, 100, 3000, 32768])
        at = np.arange(samples)
        x = np.full(samples, float(draw(st.integers(-32768, 32767))))
        if draw(st.booleans()):
            x[:] = 0
        x += draw(size) * np.sin(at * draw(st.floats(0, np.pi)) + draw(st.floats(0, 7)))
        x += rng.normal(0, 1, samples) * draw(size)
        x += rng.choice([0, 1], samples, p=[0.99, 0.01]) * draw(size)
        x += np.sign(np.sin((at + 0.5) * np.pi / draw(st.integers(1, samples)))) * draw(size)
        return x.round().clip(-32768, 32767).astype(np.int16)

    return window()
