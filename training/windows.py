"""Times and sizes of what a keyword model sees: a second or so of features, and what lies around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cicada.tools.audio import RATE

WINDOW_MS = 30
STEP_MS = 20
CHANNELS = 40
#: Frames in one model input: those that fit into one second.
FRAMES = 49
STEP = RATE * STEP_MS // 1000
#: Sound before every clip, so that the front end's noise estimate has settled as it has on a device
#: that listens all the time (its smoothing forgets with a time constant below one second).
CONTEXT = 2 * RATE
#: Sound after a training clip, for the frames of its strip that end behind it.
TAIL = RATE // 2

SILENCE, UNKNOWN = "_silence_", "_unknown_"


@dataclass(frozen=True)
class Window:
    """The features of one example.

    Attributes:
        step_ms: between frames, 10 or 20.
        frames: of the example; 49 steps of 20 ms are a second.
    """

    step_ms: int = STEP_MS
    frames: int = FRAMES

    @property
    def step(self) -> int:
        """Samples between frames."""
        return RATE * self.step_ms // 1000

    @property
    def samples(self) -> int:
        """Samples of a clip that fills the window: 16,000 for a second's frames, at either step."""
        return self.frames * self.step + STEP

    @property
    def side(self) -> int:
        """Frames that a training strip has on either side of the clip's own: half a second's."""
        return TAIL // self.step

    @property
    def strip(self) -> int:
        """Frames of a training strip."""
        return self.frames + 2 * self.side


#: The window of the keyword models that the demo makes.
SECOND = Window()

# Speech is what rises this far over the noise floor and comes within reach of the loudest frame.
_ABOVE_FLOOR = 2.0
_BELOW_PEAK = 0.1


def labels(words: tuple[str, ...]) -> list[str]:
    """Class names in the model's order."""
    return [SILENCE, UNKNOWN, *words]


def levels(pcm: np.ndarray, step: int = STEP) -> np.ndarray:
    """RMS of consecutive stretches of ``step`` samples, ``float64[len(pcm) // step]`` in int16 units."""
    count = len(pcm) // step
    blocks = np.asarray(pcm[: count * step], np.float64).reshape(count, step)
    return np.sqrt(np.mean(blocks**2, axis=1))


def noise_floor(pcm: np.ndarray) -> float:
    """Level of a recording's quiet parts: the 10th percentile of its 20 ms levels, int16 units."""
    frames = levels(pcm)
    return float(np.percentile(frames, 10)) if len(frames) else 0.0


def speech_span(pcm: np.ndarray) -> tuple[int, int]:
    """First sample and sample after the last of the speech in a clip of one word.

    Taken by level: frames at least twice the noise floor and a tenth of the loudest frame, the run
    around the loudest one, with gaps up to 200 ms (stop consonants) inside it. A clip without any
    contrast is speech throughout.
    """
    frames = levels(pcm)
    if not len(frames) or frames.max() <= 0:
        return 0, len(pcm)
    peak = int(frames.argmax())
    loud = frames >= max(_ABOVE_FLOOR * noise_floor(pcm), _BELOW_PEAK * frames[peak])
    if not loud[peak]:
        return 0, len(pcm)
    most_gap = RATE // 5 // STEP
    first = last = peak
    for at in range(peak - 1, -1, -1):
        if loud[at]:
            first = at
        elif first - at > most_gap:
            break
    for at in range(peak + 1, len(frames)):
        if loud[at]:
            last = at
        elif at - last > most_gap:
            break
    return first * STEP, min((last + 1) * STEP, len(pcm))


def fitted(pcm: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """The clip at exactly the length wanted: its speech in the middle if it must be cut or filled up.

    Args:
        pcm: ``int16[n]`` or float, any length.
        samples: the length.
        rng: for the filling, noise at the clip's own floor.

    Returns:
        same dtype, ``[samples]``; a clip of that length comes back unchanged.
    """
    if len(pcm) == samples:
        return pcm
    first, last = speech_span(pcm)
    start = (first + last - samples) // 2
    # A clip trimmed to its word has no quiet part to measure the floor by: 30 dB below the loudest will do.
    frames = levels(pcm)
    quiet = min(noise_floor(pcm), 0.03 * frames.max()) if len(frames) else 0.0
    out = rng.normal(0.0, quiet, samples)
    lo, hi = max(start, 0), min(start + samples, len(pcm))
    out[lo - start : hi - start] = pcm[lo:hi]
    return np.rint(out).astype(pcm.dtype) if np.issubdtype(pcm.dtype, np.integer) else out.astype(pcm.dtype)
