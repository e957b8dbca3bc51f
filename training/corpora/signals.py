"""Samples of accelerometers in one scale: files in, resampling, windows.

Every recording of a machine is ``int16[n, axes]`` with :data:`COUNTS_PER_G` counts for 1 g. 2048 is the
MPU-6050 at +-16 g and the MSA301 at +-4 g with 14 bits, and a power of two times the ADXL345 (256). A sensor
of another scale shifts every logarithmic level of the front end by one and the same constant.
"""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from cicada.tools.errors import UserError, from_os_error

#: Counts of 1 g; int16 holds +-16 g.
COUNTS_PER_G = 2048


def counts(g: NDArray[np.floating]) -> NDArray[np.int16]:
    """Acceleration in g as counts; what is beyond +-16 g saturates, as it would in a sensor."""
    return np.clip(np.rint(np.asarray(g, np.float64) * COUNTS_PER_G), -32768, 32767).astype(np.int16)


def resample(frames: NDArray[np.int16], from_hz: float, to_hz: float) -> NDArray[np.int16]:
    """Bring samples to another rate (``scipy.signal.resample_poly``, which filters before it decimates).

    Args:
        frames: ``int16[..., n, axes]``; leading axes are pieces that do not continue each other.
        from_hz, to_hz: sample rates; their ratio must be one of integers up to 1000.

    Returns:
        ``int16[..., ceil(n * to_hz / from_hz), axes]``, saturated.

    Raises:
        ValueError: a rate that is not positive, or a ratio of larger integers.
    """
    if not (from_hz > 0 and to_hz > 0):
        raise ValueError(f"sample rates must be positive, not {from_hz} and {to_hz}")
    ratio = Fraction(to_hz / from_hz).limit_denominator(1000)
    if ratio.numerator > 1000 or not ratio or abs(float(ratio) * from_hz / to_hz - 1) > 1e-5:
        raise ValueError(f"{from_hz:g} Hz cannot be brought to {to_hz:g} Hz: choose a simpler ratio")
    if ratio == 1:
        return frames
    # Padded with the mean: gravity would ring at both ends if the recording began and ended with a step.
    moved = resample_poly(
        frames.astype(np.float64), ratio.numerator, ratio.denominator, axis=-2, padtype="mean"
    )
    return np.clip(np.rint(moved), -32768, 32767).astype(np.int16)


def read_pcm(path: Path) -> tuple[NDArray[np.int32], int]:
    """Integer samples of a FLAC or WAV file, ``int32[n, channels]`` as they are there, and its rate in Hz.

    Raises:
        UserError: the file is missing, no recording, cut off, empty, or not of integers.
    """
    try:
        # A descriptor, not a name: libsndfile then goes by the content, whatever the name ends in.
        with path.open("rb") as raw, soundfile.SoundFile(raw.fileno(), closefd=False) as file:
            rate, depth, announced = file.samplerate, file.subtype, file.frames
            samples = file.read(dtype="int32", always_2d=True)
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except soundfile.SoundFileError as error:
        reason = str(getattr(error, "error_string", error)).rstrip(".")
        raise UserError(
            f"{path} is not a readable recording ({reason}): copy it again or delete it"
        ) from error
    bits = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32}.get(depth)
    if bits is None:
        raise UserError(f"{path} holds {depth}, no integer samples: export it as 16 or 24-bit PCM")
    if not len(samples) or len(samples) < announced:
        raise UserError(
            f"{path} ends after {len(samples)} of {announced} samples: copy it again or delete it"
        )
    # libsndfile left-aligns what it reads as int32.
    return samples >> (32 - bits), rate


def read_table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file with a first line of names.

    Raises:
        UserError: it is missing, no CSV in UTF-8, or a column or value of ``columns`` is missing.
    """
    rows = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            lacking = [column for column in columns if column not in (table.fieldnames or ())]
            if lacking:
                raise UserError(f"{path} lacks the column {', '.join(lacking)}: add it to its first line")
            for row in table:
                if any(not (row[column] or "").strip() for column in columns):
                    raise UserError(f"{path} line {table.line_num} lacks a value: give {', '.join(columns)}")
                rows.append({column: row[column].strip() for column in columns})
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a CSV file in UTF-8 ({error}): save it again as such") from error
    return rows
