"""Synthetic sound that takes a fixed-point front end to its edges."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

RATE = 16000
LOW, HIGH = -32768, 32767


def to_pcm(signal: np.ndarray) -> np.ndarray:
    """Rounded and clipped to int16."""
    return np.clip(np.rint(signal), LOW, HIGH).astype(np.int16)


def square(half_period: int, seconds: float, high: int = HIGH, low: int = LOW) -> np.ndarray:
    """Square wave that changes sides every ``half_period`` samples."""
    return np.where(np.arange(int(seconds * RATE)) // half_period % 2, low, high).astype(np.int16)


def impulses(height: int, at: list[int], seconds: float) -> np.ndarray:
    """Silence with single samples of ``height``."""
    pcm = np.zeros(int(seconds * RATE), np.int16)
    pcm[at] = height
    return pcm


def overflowing() -> np.ndarray:
    """Frames that are a full-scale complex square wave after windowing.

    They undo the Hann window wherever it is above 1/128, at level 250 of 255. The sum of four rotated
    quarters then exceeds 16 bits inside the FFT: the one way to see whether it wraps as it must.
    """
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(480) + 0.5) / 480)
    frames = []
    for frequency in (7, 16, 20, 32, 48, 100, 200, 240):
        for phase in (0.0, 0.4, 0.8):
            angle = 2 * np.pi * frequency * np.arange(240) / 256 + phase
            flat = np.stack([np.cos(angle), np.sin(angle)], axis=1).ravel() >= 0
            frames.append(np.where(flat, 250.5, -249.5) / hann)
    return to_pcm(np.concatenate(frames))


def synthetic() -> dict[str, np.ndarray]:
    """Name → int16 samples, each long enough for the noise estimate to move."""
    rng = np.random.default_rng(20240229)
    time = np.arange(4 * RATE) / RATE
    white = rng.normal(0, 1, 4 * RATE)
    signals = {
        "silence": np.zeros(2 * RATE, np.int16),
        "dc_high": np.full(2 * RATE, HIGH, np.int16),
        "dc_low": np.full(2 * RATE, LOW, np.int16),
        "dc_one": np.ones(2 * RATE, np.int16),
        "dc_minus_one": np.full(2 * RATE, -1, np.int16),
        "random": rng.integers(LOW, HIGH + 1, 4 * RATE).astype(np.int16),
        "random_extremes": rng.choice(np.array([LOW, HIGH], np.int16), 4 * RATE),
        "random_few_bits": rng.integers(-2, 3, 4 * RATE).astype(np.int16),
        "noise_30": to_pcm(30 * white),
        "noise_3000": to_pcm(3000 * white),
        "brown": to_pcm(np.cumsum(white) * 60),
        "swells": to_pcm(20000 * white * np.abs(np.sin(2 * np.pi * 0.6 * time)) ** 4),
        "sweep": to_pcm(32767 * np.sin(2 * np.pi * (20 * time + (8000 - 20) / 8 * time**2))),
        "sweep_down": to_pcm(900 * np.sin(2 * np.pi * (7900 * time - 7800 / 8 * time**2))),
        "bursts": to_pcm(30000 * white * (time % 0.7 < 0.05)),
        "sudden_silence": to_pcm(30000 * white * (time < 2)),
        "impulse_high": impulses(HIGH, [700, 9000, 20001], 2),
        "impulse_one": impulses(1, [700, 9000, 20001], 2),
        "lone_minimum": impulses(LOW, [5000], 2),
        "minima_only": impulses(LOW, list(range(400, 2 * RATE, 37)), 2),
        "minimum_in_hiss": np.where(np.arange(2 * RATE) % 401 == 7, LOW, to_pcm(3 * white[: 2 * RATE])),
    }
    for half_period in (1, 2, 3, 4, 5, 7, 8, 16, 17, 32, 64, 100, 128, 240, 1000):
        signals[f"square_{half_period}"] = square(half_period, 2)
    signals["square_symmetric"] = square(9, 2, HIGH, -HIGH)
    signals["overflow"] = overflowing()
    # So quiet that the last bit of a square root shows. Found by trial: in the first frame one band's
    # energy lies just below 2^32, where the reference's root does not round up.
    signals["quiet"] = np.pad(np.random.default_rng(820).integers(-3, 4, 480), (0, RATE)).astype(np.int16)
    return signals


@st.composite
def mixtures(draw: st.DrawFn) -> np.ndarray:
    """Up to two seconds in segments of hypothesis' choosing: tones, noise, squares, steps, raw samples."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    parts = []
    for _ in range(draw(st.integers(1, 5))):
        length = draw(st.integers(1, 6400))
        level = draw(st.sampled_from([1, 3, 50, 1000, 12000, 32767, 60000]))
        offset = draw(st.sampled_from([0, 0, 0, 1, -700, HIGH, LOW]))
        n = np.arange(length)
        kind = draw(st.sampled_from(["tone", "noise", "square", "constant", "impulse", "raw"]))
        if kind == "tone":
            wave = np.sin(np.pi * n * draw(st.floats(0, 1, width=32)))
        elif kind == "noise":
            wave = rng.normal(0, 0.5, length)
        elif kind == "square":
            wave = np.where(n // draw(st.integers(1, 300)) % 2, -1.0, 1.0)
        elif kind == "impulse":
            wave = np.where(n % draw(st.integers(1, 900)) == 0, -1.0, 0.0)
        elif kind == "raw":
            few = draw(st.lists(st.integers(LOW, HIGH), min_size=1, max_size=20))
            wave, level = np.resize(np.array(few, float), length), 1
        else:
            wave = np.zeros(length)
        parts.append(to_pcm(level * wave + offset))
    return np.concatenate(parts)
