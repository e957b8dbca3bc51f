"""A corpus of whistles instead of words: quick to make, easy to tell apart."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from cicada.training.corpora.base import SPLITS

RATE = 16000
# Frequency in Hz at the start and the end of each "word".
SWEEPS = {"up": (500, 2500), "down": (3000, 600), "flat": (1200, 1200), "high": (4000, 4200)}


def sweep(word: str) -> tuple[float, float]:
    """Frequencies of a word: those of :data:`SWEEPS`, or others that depend on the word alone."""
    if word in SWEEPS:
        return SWEEPS[word]
    start, end = np.random.default_rng([*word.encode()]).uniform(400, 4500, 2)
    return float(start), float(end)


def whistle(word: str, rng: np.random.Generator) -> np.ndarray:
    """One second ``int16`` with the word's whistle, 0.4 to 0.6 s long, near its middle, over faint noise."""
    count = int(rng.uniform(0.4, 0.6) * RATE)
    start, end = np.array(sweep(word)) * rng.uniform(0.9, 1.1)
    phase = 2 * np.pi * np.cumsum(np.linspace(start, end, count)) / RATE
    sound = rng.normal(0, 15, RATE)
    at = int((RATE - count) / 2 + rng.uniform(-0.1, 0.1) * RATE)
    sound[at : at + count] += 6000 * np.hanning(count) ** 0.3 * np.sin(phase)
    return np.rint(sound).astype(np.int16)


def make(folder: Path, seed: int = 5, words: Iterable[str] = SWEEPS) -> Path:
    """Fill ``folder`` with whistled ``words`` in the Speech Commands layout and return it."""
    rng = np.random.default_rng(seed)
    rows = ["path,word,speaker,split"]
    for word in words:
        (folder / word).mkdir(parents=True)
        for split, count in zip(SPLITS, (24, 8, 8), strict=True):
            for number in range(count):
                name = f"{word}/{split}{number:02}_nohash_0.wav"
                soundfile.write(folder / name, whistle(word, rng), RATE, subtype="PCM_16")
                rows.append(f"{name},{word},{split}{number:02},{split}")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    (folder / "_background_noise_").mkdir()
    hiss = np.rint(rng.normal(0, 400, 30 * RATE)).astype(np.int16)
    soundfile.write(folder / "_background_noise_" / "hiss.wav", hiss, RATE, subtype="PCM_16")
    return folder
