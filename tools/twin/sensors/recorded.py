"""Recorded vibration as motion: from ``.npz``, ``.csv``, ``.wav`` and ``.flac`` files."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.twin.sensors.motion import UP, Motion, Vector

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}


class Recorded(Motion):
    """Samples at a fixed rate, linear in between.

    Args:
        samples: ``[n, 3]`` in g, n > 0, gravity included.
        rate: samples per second.
        loop: start over at the end; otherwise :attr:`rest` is felt from there on.
        rest: what is felt at rest; without it the mean of the samples.

    Attributes:
        rate: samples per second.
        seconds: length.

    Raises:
        ValueError: the shape or the rate is wrong.
    """

    def __init__(
        self, samples: np.ndarray, rate: float, loop: bool = True, rest: Vector | None = None
    ) -> None:
        if samples.ndim != 2 or samples.shape[1] != 3 or not len(samples):
            raise ValueError(f"a recording is [n, 3] with n > 0, not {list(samples.shape)}")
        if not rate > 0 or not math.isfinite(rate):
            raise ValueError(f"a recording's rate is positive, not {rate}")
        self._samples = np.asarray(samples, np.float64)
        self._loop = loop
        self.rate = float(rate)
        self.seconds = len(samples) / self.rate
        x, y, z = self._samples.mean(axis=0)
        self.rest = (float(x), float(y), float(z)) if rest is None else rest

    def values(self, times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, np.int64)
        count = len(self._samples)
        position = times * (self.rate / 1e6)
        whole = np.floor(position).astype(np.int64)
        part = (position - whole)[..., None]
        first, second = whole % count, (whole + 1) % count
        if not self._loop:
            second = np.minimum(whole + 1, count - 1) % count
        out = self._samples[first] * (1 - part) + self._samples[second] * part
        if not self._loop:
            out[(whole < 0) | (whole >= count)] = self.rest
        return out


def load(
    path: Path | str,
    rate: float | None = None,
    g_per_count: float | None = None,
    full_scale_g: float | None = None,
    axis: str = "z",
    gravity: Vector = UP,
    loop: bool = True,
) -> Recorded:
    """Read a recording of vibration.

    Formats, by the name's ending:

    - ``.npz``: an array ``samples`` ``[n, 3]`` or ``[windows, k, 3]`` (windows one after the other) in g, and
      optionally a number ``rate``.
    - ``.csv``: a header naming ``x``, ``y``, ``z`` (g) and optionally ``t`` (s, evenly spaced).
    - ``.wav``, ``.flac``: three channels x, y, z with gravity in them, or one channel without (what a
      machine's sensor records), which is put on ``axis`` on top of ``gravity``.

    Args:
        path: the file.
        rate: samples per second; needed where the file does not say, and overrides nothing.
        g_per_count: g of one count of an integer sound file.
        full_scale_g: g at full scale of a sound file; give this or ``g_per_count``.
        axis: where one channel goes, ``"x"``, ``"y"`` or ``"z"``.
        gravity: at rest, for one channel.
        loop: start over at the end.

    Raises:
        UserError: the file is missing, damaged, of another kind, or lacks its rate or scale.
        ValueError: ``axis`` is no axis.
    """
    path = Path(path)
    readers: dict[str, Callable[[], tuple[np.ndarray, float | None]]] = {
        ".npz": lambda: _npz(path),
        ".csv": lambda: _csv(path),
        ".wav": lambda: _sound(path, g_per_count, full_scale_g),
        ".flac": lambda: _sound(path, g_per_count, full_scale_g),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserError(f"{path} is not a recording of motion: give a .npz, .csv, .wav or .flac file")
    try:
        samples, own_rate = reader()
    except OSError as error:
        raise from_os_error(error, f"reading motion {path}") from error
    if not len(samples):
        raise UserError(f"{path} has no samples: record it again")
    if not np.isfinite(samples).all():
        raise UserError(f"{path} has samples that are not numbers (NaN or infinite): export it again")
    rate = own_rate or rate
    if rate is None or not (math.isfinite(rate) and rate > 0):
        raise UserError(f"{path} does not say its sample rate: give it as rate=")
    if samples.shape[1] == 1:
        spread = np.tile(np.array(gravity, np.float64), (len(samples), 1))
        spread[:, "xyz".index(axis)] += samples[:, 0]
        return Recorded(spread, rate, loop, gravity)
    return Recorded(samples, rate, loop)


def _npz(path: Path) -> tuple[np.ndarray, float | None]:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "samples" not in file.files:
                raise UserError(f"{path} has no array 'samples': export it as samples[n, 3] in g")
            samples = np.asarray(file["samples"], np.float64)
            rate = float(file["rate"]) if "rate" in file.files else None
    except (zipfile.BadZipFile, ValueError, TypeError, EOFError) as error:
        raise UserError(f"{path} is not a readable .npz file: copy or export it again") from error
    if samples.ndim not in (2, 3) or samples.shape[-1] != 3:
        raise UserError(
            f"{path} has samples of shape {list(samples.shape)}: export [n, 3] or [windows, k, 3] in g"
        )
    return samples.reshape(-1, 3), rate


def _csv(path: Path) -> tuple[np.ndarray, float | None]:
    rows: list[list[float]] = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            header = [name.strip().lower() for name in next(reader, [])]
            if not {"x", "y", "z"} <= set(header):
                raise UserError(f"{path} has no columns x, y, z in its first line: add a header 't,x,y,z'")
            columns = [header.index(name) for name in ("x", "y", "z")]
            if "t" in header:
                columns.append(header.index("t"))
            for row in reader:
                if row:
                    rows.append([float(row[column]) for column in columns])
    except (ValueError, IndexError, csv.Error) as error:
        raise UserError(f"{path} is damaged after {len(rows)} rows of numbers: mend or export it") from error
    table = np.array(rows, np.float64).reshape(-1, len(columns))
    if "t" not in header or len(table) < 2:
        return table[:, :3], None
    steps = np.diff(table[:, 3])
    step = float(np.median(steps))
    # Time stamps are often rounded to milliseconds; half a step off is another rate or a gap.
    if step <= 0 or np.abs(steps - step).max() > step / 2:
        raise UserError(f"{path} has times that are not evenly spaced: resample it to a fixed rate")
    return table[:, :3], (len(table) - 1) / float(table[-1, 3] - table[0, 3])


def _sound(
    path: Path, g_per_count: float | None, full_scale_g: float | None
) -> tuple[np.ndarray, float | None]:
    if (g_per_count is None) == (full_scale_g is None):
        raise UserError(f"{path} needs a scale: give either g_per_count= or full_scale_g=")
    try:
        with path.open("rb") as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            rate, subtype = file.samplerate, file.subtype
            samples = file.read(dtype="float64", always_2d=True)
    except soundfile.SoundFileError as error:
        raise UserError(f"{path} is not a readable WAV or FLAC file: copy or export it again") from error
    if samples.shape[1] not in (1, 3):
        raise UserError(f"{path} has {samples.shape[1]} channels: motion has one or three")
    if full_scale_g is None:
        if subtype not in _BITS:
            raise UserError(f"{path} holds no integer counts ({subtype}): give full_scale_g= for it")
        full_scale_g = g_per_count * (1 << (_BITS[subtype] - 1))
    return samples * full_scale_g, float(rate)
