"""Generated background noise: coloured noise, mains hum and fans, for where no recordings are at hand."""

from __future__ import annotations

import zlib

import numpy as np

from cicada.tools.audio import RATE
from cicada.training.augment import to_pcm

#: Seconds of each kind of noise in each split.
SECONDS = {"train": 30, "validation": 10, "test": 10}


def coloured(count: int, exponent: float, rng: np.random.Generator) -> np.ndarray:
    """Noise ``float64[count]`` of unit RMS whose power falls as 1/f^exponent (0 white, 1 pink, 2 brown).

    Shaped in the frequency domain; below 20 Hz the spectrum is cut, as a microphone would.
    """
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency = np.fft.rfftfreq(count, 1 / RATE)
    shape = np.zeros_like(frequency)
    shape[frequency >= 20] = frequency[frequency >= 20] ** (-exponent / 2)
    return _unit(np.fft.irfft(spectrum * shape, count))


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """Mains hum ``float64[count]`` of unit RMS: 50 or 60 Hz with harmonics, over a little noise."""
    base = rng.choice([50.0, 60.0]) * (1 + rng.uniform(-0.002, 0.002))
    time = np.arange(count) / RATE
    total = 0.1 * coloured(count, 1.0, rng)
    for harmonic in range(1, 13):
        level = rng.uniform(0.2, 1.0) / harmonic
        total += level * np.sin(2 * np.pi * harmonic * base * time + rng.uniform(0, 2 * np.pi))
    return _unit(total)


def fan(count: int, rng: np.random.Generator) -> np.ndarray:
    """A fan ``float64[count]`` of unit RMS: air noise swelling with the blades, and their tone."""
    time = np.arange(count) / RATE
    blades = rng.uniform(35, 140)
    wobble = np.cumsum(rng.standard_normal(count)) * (2e-3 / np.sqrt(RATE))
    phase = 2 * np.pi * blades * time + 20 * wobble
    air = coloured(count, rng.uniform(0.8, 1.6), rng) * (1 + rng.uniform(0.1, 0.5) * np.sin(phase))
    tone = sum(np.sin(k * phase + rng.uniform(0, 6.28)) / k for k in range(1, 5))
    return _unit(air + rng.uniform(0.05, 0.4) * tone)


def backgrounds(split: str, seed: int, seconds: int | None = None) -> dict[str, np.ndarray]:
    """Noises of one split by name, ``int16[n]`` at about -29 dBFS; no two splits or seeds share sound.

    Args:
        split: train, validation or test.
        seed: seed of the run.
        seconds: length of each; by default more for training.
    """
    rng = np.random.default_rng([seed, zlib.crc32(split.encode())])
    count = RATE * (seconds or SECONDS[split])
    made = {
        "white": coloured(count, 0.0, rng),
        "pink": coloured(count, 1.0, rng),
        "brown": coloured(count, 2.0, rng),
        "hum": hum(count, rng),
        "fan": fan(count, rng),
    }
    return {name: to_pcm(noise * rng.uniform(700, 1500)) for name, noise in made.items()}


def _unit(samples: np.ndarray) -> np.ndarray:
    return samples / max(float(np.sqrt(np.mean(samples**2))), 1e-12)
