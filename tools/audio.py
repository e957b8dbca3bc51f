"""Recordings in and out: whatever a person recorded becomes 16 kHz mono ``int16``, and back to WAV."""

from __future__ import annotations

import errno
import io
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.stages import write_atomic

#: Sample rate of everything inside Cicada, in Hz.
RATE = 16000
#: File name endings that :func:`load` is meant for.
SUFFIXES = (".wav", ".flac", ".ogg")
# Below telephone quality there is no speech to learn from; above it a header is damaged, and
# resampling by its figure could fill the memory.
_RATE_MIN, _RATE_MAX = 4000, 384000

#: Called with one line the first time a recording had to be converted in a certain way.
on_note: Callable[[str], None] = print
_noted: dict[str, str] = {}


def note(kind: str, line: str) -> None:
    """Report ``line`` through :data:`on_note` if nothing of its ``kind`` was reported before."""
    if kind not in _noted:
        _noted[kind] = line
        on_note(line)


def noted() -> dict[str, str]:
    """What was reported so far, by kind; a worker process hands it to its parent."""
    return dict(_noted)


def forget_notes() -> None:
    """Start a new run: every kind of conversion is reported again the next time it happens."""
    _noted.clear()


def load(path: Path | str) -> np.ndarray:
    """Read a WAV, FLAC or OGG recording as 16 kHz mono.

    Several channels are averaged, other sample rates are resampled (soxr, high quality), samples
    beyond full scale saturate; each of these is reported once per run through :data:`on_note`.

    Returns:
        ``int16[n]``, n > 0, full scale ±32768.

    Raises:
        UserError: the file is missing, unreadable, not audio, empty, or has NaN or infinite samples.
    """
    path = Path(path)
    samples, rate, depth = _read(path)
    if rate == RATE and samples.shape[1] == 1 and depth == "PCM_16":
        return samples[:, 0]
    return _convert(path, samples, rate)


def _read(path: Path) -> tuple[np.ndarray, int, str]:
    """Samples ``[n, channels]`` (int16 where the file holds just that, else float64), rate, subtype."""
    try:
        # A descriptor, not a name: libsndfile then goes by the content, whatever the name ends in. Not a
        # Python file either: Ctrl-C during a call back into Python would be lost.
        with path.open("rb") as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            rate, depth, announced = file.samplerate, file.subtype, file.frames
            samples = file.read(dtype="int16" if depth == "PCM_16" else "float64", always_2d=True)
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise UserError(
            f"{path} is not a readable recording ({reason}):"
            " replace it by a WAV, FLAC or OGG file or delete it"
        ) from error
    if not len(samples):
        raise UserError(f"{path} has no samples: record it again or delete it")
    if len(samples) < announced:
        raise UserError(
            f"{path} ends after {len(samples)} of {announced} samples: copy it again or delete it"
        )
    if not _RATE_MIN <= rate <= _RATE_MAX:
        raise UserError(
            f"{path} says its sample rate is {rate} Hz: record speech at {RATE} Hz"
            f" (anything from {_RATE_MIN} to {_RATE_MAX} Hz is resampled)"
        )
    return samples, rate, depth


def _convert(path: Path, samples: np.ndarray, rate: int) -> np.ndarray:
    if samples.dtype == np.int16:
        samples = samples / 32768.0
    if not np.isfinite(samples).all():
        raise UserError(
            f"{path} has samples that are not numbers (NaN or infinite): export it again or delete it"
        )
    if samples.shape[1] > 1:
        note(
            "channels",
            f"note: {path} has {samples.shape[1]} channels; such recordings are mixed down to mono",
        )
    mono = samples.mean(axis=1)
    if rate != RATE:
        note("rate", f"note: {path} is sampled at {rate} Hz; such recordings are resampled to {RATE} Hz")
        mono = soxr.resample(mono, rate, RATE, quality="HQ")
        if not len(mono):
            raise UserError(f"{path} is shorter than one sample at {RATE} Hz: record it again or delete it")
    scaled = np.rint(mono * 32768.0)
    # A resampler may overshoot by a little at any loud edge; only real excess is worth a word.
    if np.abs(samples).max() > 1.0:
        note("level", f"note: {path} goes beyond full scale; such samples are clipped")
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def save_wav(path: Path | str, pcm: np.ndarray, rate: int = RATE) -> None:
    """Write mono 16-bit PCM as a WAV file, in one step: the old file stays until the new one is whole.

    Args:
        path: file to write; its folder is made if need be.
        pcm: ``int16[n]``.
        rate: sample rate in Hz.

    Raises:
        UserError: the file cannot be written.
        TypeError: ``pcm`` is not a vector of int16 (scaling is the caller's decision).
    """
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise TypeError(f"save_wav needs int16[n], got {pcm.dtype}{list(pcm.shape)}")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())
    write_atomic(Path(path), buffer.getvalue())


def write_flac(path: Path, pcm: np.ndarray) -> None:
    """Write ``int16[n]`` as a 16 kHz FLAC file, for folders that are renamed into place as a whole.

    Raises:
        OSError: the file cannot be written (libsndfile itself would not say why).
    """
    try:
        soundfile.write(str(path), pcm, RATE, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        with path.open("ab") as probe:  # meets the same fault and names it
            probe.write(bytes(1 << 16))
        raise OSError(errno.EIO, str(error), str(path)) from error
