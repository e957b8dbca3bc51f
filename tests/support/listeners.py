"""Stand-ins for keyword models: rules instead of weights, for the whistles of :mod:`support.chirps`."""

from __future__ import annotations

import numpy as np


class Loud:
    """A model of one label that hears energy: 100 % where any of its newest features is high."""

    def __init__(self) -> None:
        self.resets = 0

    def invoke(self, window: np.ndarray) -> np.ndarray:
        return np.array([127 if window[-5:].max() > 60 else -128], np.int8)

    def reset(self) -> None:
        self.resets += 1


class Slope:
    """Hears whistles: "up" if the loudest channel rises, "down" if it falls, else another word."""

    def invoke(self, window: np.ndarray) -> np.ndarray:
        loud = np.flatnonzero(window.max(axis=1) > window.max() - 40)
        scores = np.full(4, -128, np.int8)
        path = window[loud].argmax(axis=1).astype(float)
        slope = np.polyfit(loud, path, 1)[0] if len(loud) > 2 else 0.0
        scores[2 if slope > 0.3 else 3 if slope < -0.3 else 1] = 127
        return scores

    def reset(self) -> None:
        pass
