"""Stages of the front end against the reference's arithmetic in Python, where sound hardly takes them.

The formulas are those of kissfft's 16-bit build (``_kiss_fft_guts.h``, ``kf_bfly4``, ``kiss_fftr``) and of
MICRO/noise_reduction.c.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cicada.tools import engine

FIRST, END = 5, 241
words = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 32).flatmap(lambda b: st.integers(0, 2**b - 1)))


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("stages") / "probe.so"
    folder = engine.ENGINE / "frontend"
    sources = [Path(__file__).with_name("frontend_probe.c"), folder / "fft.c", folder / "tables.c"]
    engine.run_compiler([*engine.FLAGS, "-shared", f"-I{folder}", "-o", path, *sources])
    library = ctypes.CDLL(str(path))
    library.probe_spectrum.argtypes = [ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p]
    library.probe_spectrum.restype = None
    library.probe_noise.argtypes = [ctypes.c_uint32] * 3 + [ctypes.POINTER(ctypes.c_uint32)]
    library.probe_noise.restype = ctypes.c_uint32
    library.probe_bits.argtypes = [ctypes.c_uint32]
    return library


class Kissfft:
    """The reference's transform; complex numbers are ``int64[2, n]``.

    Attributes:
        largest: the largest part of any number between two passes.
    """

    def __init__(self, phasor: ModuleType) -> None:
        self._phasor = phasor._phasor
        self.largest = 0

    def energies(self, samples: NDArray[np.int16]) -> NDArray[np.int64]:
        z = self._transform(samples.astype(np.int64).reshape(-1, 2).T)
        k = np.arange(FIRST, 129)
        p = _divided(z[:, k], 2)
        q = _divided(_wrapped(z[:, 256 - k] * [[1], [-1]]), 2)
        twiddles = np.array([self._phasor(-np.pi * (n / 256 + 0.5)) for n in k]).T
        sums, t = p + q, _product(p - q, twiddles)
        result = np.zeros(257, np.int64)
        result[k] = ((sums + t) >> 1).__pow__(2).sum(axis=0)
        result[256 - k] = ((sums - t) * [[1], [-1]] >> 1).__pow__(2).sum(axis=0)
        return result[FIRST:END]

    def _transform(self, z: NDArray[np.int64]) -> NDArray[np.int64]:
        count = z.shape[1]
        if count == 1:
            return z
        parts = [_divided(self._transform(z[:, n::4]), 4) for n in range(4)]
        for power in (1, 2, 3):
            phases = [-2 * np.pi * k * power / count for k in range(count // 4)]
            parts[power] = _product(parts[power], np.array([self._phasor(p) for p in phases]).T)
        a, b, c, d = parts
        turned = (b - d)[::-1] * [[1], [-1]]  # times -j
        quarters = [a + b + c + d, a - c + turned, a - b + c - d, a - c - turned]
        result = _wrapped(np.concatenate(quarters, axis=1))
        self.largest = max(self.largest, int(result.max()))
        return result


def _wrapped(x: NDArray[np.int64]) -> NDArray[np.int64]:
    return x.astype(np.int16).astype(np.int64)


def _divided(x: NDArray[np.int64], by: int) -> NDArray[np.int64]:
    return (x * (32767 // by) + (1 << 14)) >> 15


def _product(x: NDArray[np.int64], w: NDArray[np.int64]) -> NDArray[np.int64]:
    r, i = x[0] * w[0] - x[1] * w[1], x[0] * w[1] + x[1] * w[0]
    return _wrapped((np.array([r, i]) + (1 << 14)) >> 15)


def spectrum(probe: ctypes.CDLL, samples: NDArray[np.int16], shift: int = 0) -> NDArray[np.uint32]:
    energies = np.zeros(256, np.uint32)
    samples = np.ascontiguousarray(samples, np.int16)
    probe.probe_spectrum(samples.ctypes.data, shift, energies.ctypes.data)
    return energies[FIRST:END]


def test_spectrum_at_the_edge_of_16_bits_is_kissffts(probe: ctypes.CDLL, gen_tables: ModuleType) -> None:
    """Complex squares, so loud that one part of one bin is 32767, a bit less, or a bit more and wraps."""
    rng = np.random.default_rng(7)
    reference = Kissfft(gen_tables)
    for _ in range(300):
        angle = 2 * np.pi * rng.integers(256) * np.arange(256) / 256 + rng.uniform(0, 7)
        square = np.where(np.cos(angle) >= 0, 1, -1) + 1j * np.where(np.sin(angle) >= 0, 1, -1)
        bins = np.fft.fft(square) / 256 * (8191 / 8192) ** 4
        level = min(32767, round(32767 / max(bins.real.max(), bins.imag.max())) + rng.integers(-3, 4))
        samples = np.stack([square.real, square.imag], axis=1).ravel() * level
        energies = spectrum(probe, samples.astype(np.int16))
        np.testing.assert_array_equal(energies, reference.energies(samples.astype(np.int16)))
    assert reference.largest == 32767


def test_spectrum_of_noise_is_kissffts_at_any_shift(probe: ctypes.CDLL, gen_tables: ModuleType) -> None:
    rng = np.random.default_rng(8)
    for shift in range(16):
        high = 32767 >> shift
        samples = rng.integers(-high, high + 1, 512).astype(np.int16)
        expected = Kissfft(gen_tables).energies(samples << shift)
        np.testing.assert_array_equal(spectrum(probe, samples, shift), expected)


@given(words, words, st.sampled_from([409, 983]))
def test_noise_estimate_is_the_references(probe: ctypes.CDLL, noise: int, signal: int, share: int) -> None:
    left = ctypes.c_uint32()
    estimate = probe.probe_noise(noise, signal, share, ctypes.byref(left))
    fine = (signal << 10) % 2**32
    assert estimate == (fine * share + noise * (2**14 - share)) >> 14
    assert left.value == max(max(fine - estimate, 0) >> 10, signal * 819 >> 14)


@given(words)
def test_bit_length_is_pythons(probe: ctypes.CDLL, x: int) -> None:
    assert probe.probe_bits(x) == x.bit_length()
