"""The bearing data of Case Western Reserve University: faults made by spark erosion, drive-end accelerometer.

The folder has FLAC files of integer counts under the names of the data centre's pages and ``manifest.csv``
with the columns ``path,sample_rate_hz,samples,g_per_count,rpm``. Names: ``12k_Drive_End_IR007_0_105`` is
sample rate, place, fault (IR inner race, B ball, OR outer race), its diameter in 1/1000 inch, for outer races
the place of the fault (``@3``, ``@6`` or ``@12`` o'clock, the load is at 6), load in horsepower, number.
Source: Bearing Data Center, Case Western Reserve University, "Seeded fault test data"; what is wrong with
which file: W. A. Smith, R. B. Randall, "Rolling element bearing diagnostics using the Case Western Reserve
University data: a benchmark study", Mechanical Systems and Signal Processing 64-65, 2015.

Sample rate. All recordings leave here at 12 kHz. ``normal_0_97`` was taken at 48 kHz, although much work uses
it as 12 kHz: only then does its mains line lie at 360 Hz. Used wrongly, a model tells "normal" by the sample
rate. What says 12 kHz for a normal recording is therefore overruled. Decimating alone still leaves a sign of
the rate: above 5.7 kHz the 12 kHz recordings are 30 dB quieter, because their filter was another one. So all
recordings pass one low-pass here, which leaves nothing above that and everything below 5.4 kHz.

Speed. The harmonics of the shaft lie where ``rpm`` says, within 0.2 %, in all recordings but one:
``12k_Drive_End_OR007@12_1_158`` is listed with 1773 rpm and was taken at 1797, as without load; so it is read
as that.

Physical bearings. A fault kind with a diameter is one bearing (``IR007``): its recordings differ in load and
sample rate only. Whether the three places of an outer fault are one bearing turned or three is not said, so
they count as one here: the careful reading. That leaves two bearings for each fault and one without.
Bearing-wise evaluation thus means: of each kind of fault train on one diameter and test on the other; a third
split of new bearings is impossible, so validation is by recording inside the training bearings, and "normal"
can only be divided by time (:func:`cicada.training.corpora.splits.divide`).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, kaiserord, oaconvolve

from cicada.tools.errors import UserError
from cicada.training.corpora.machines import NORMAL, Machines, Recording, collect
from cicada.training.corpora.signals import counts, read_pcm, read_table, resample

RATE_HZ = 12000
LABELS = {"IR": "inner", "B": "ball", "OR": "outer"}
_COLUMNS = ("path", "sample_rate_hz", "samples", "g_per_count", "rpm")
_NAME = re.compile(
    r"(?:(?P<rate>12|48)k_Drive_End_(?P<fault>IR|B|OR)(?P<size>\d{3})(?:@(?P<place>3|6|12))?"
    r"|(?P<normal>normal))_(?P<load>[0-3])_\d+"
)
_NORMAL_HZ = 48000
_PASS_HZ, _STOP_HZ, _STOP_DB = 5400, 5700, 70
# Speed and load of recordings that are listed with others, see above.
_REALLY = {"12k_Drive_End_OR007@12_1_158": (1797.0, "0")}


def read(folder: Path) -> Machines:
    """Open the folder.

    Raises:
        UserError: no manifest; a file that is missing, corrupt, shorter or of another rate than the manifest
            says, or named otherwise; see also :func:`cicada.training.corpora.machines.collect`.
    """
    manifest = folder / "manifest.csv"
    recordings = [_recording(folder, row, str(manifest)) for row in read_table(manifest, _COLUMNS)]
    return collect(f"CWRU bearings ({folder.name})", recordings)


def _recording(folder: Path, row: dict[str, str], manifest: str) -> Recording:
    path = folder / row["path"]
    match = _NAME.fullmatch(path.stem)
    if not match or Path(row["path"]).name != row["path"]:
        raise UserError(
            f"{manifest} names {row['path']}, which does not say what it is: names are like"
            " 12k_Drive_End_OR007@6_0_130.flac or normal_0_97.flac"
        )
    try:
        rate, samples = int(row["sample_rate_hz"]), int(row["samples"])
        scale, rpm = float(row["g_per_count"]), float(row["rpm"])
    except ValueError as error:
        raise UserError(f"{manifest}: {row['path']} has no number where one must be ({error})") from error
    if match["normal"]:
        rate = _NORMAL_HZ
    elif rate != int(match["rate"]) * 1000:
        raise UserError(
            f"{manifest} says {rate} Hz for {row['path']}, its name another rate: mend one of them"
        )
    if not (0 < scale < 1 and 0 < rpm < 100_000):
        raise UserError(f"{manifest}: g_per_count and rpm of {row['path']} must be positive and plausible")
    pcm, said = read_pcm(path)
    if len(pcm) != samples or pcm.shape[1] != 1 or (said != rate and not match["normal"]):
        raise UserError(
            f"{path} has {len(pcm)} samples of {pcm.shape[1]} channels at {said} Hz, {manifest} says"
            f" {samples} of 1 at {rate} Hz: copy it again"
        )
    rpm, load = _REALLY.get(path.stem, (rpm, match["load"]))
    place = {"place": match["place"]} if match["place"] else {}
    return Recording(
        name=path.stem,
        frames=_cut(resample(counts(pcm * scale), rate, RATE_HZ)),
        rate_hz=RATE_HZ,
        label=NORMAL if match["normal"] else LABELS[match["fault"]],
        bearing=NORMAL if match["normal"] else match["fault"] + match["size"],
        rpm=rpm,
        load=load,
        condition={"sampled_hz": rate, "inches": int(match["size"] or 0) / 1000, **place},
    )


def _cut(frames: NDArray[np.int16]) -> NDArray[np.int16]:
    """Take away what the recordings of one sample rate have and those of the other have not; no delay."""
    taps, beta = kaiserord(_STOP_DB, (_STOP_HZ - _PASS_HZ) / (RATE_HZ / 2))
    taps |= 1
    kernel = firwin(taps, (_PASS_HZ + _STOP_HZ) / 2, window=("kaiser", beta), fs=RATE_HZ)
    padded = np.pad(frames.astype(np.float64), ((taps // 2, taps // 2), (0, 0)), mode="reflect")
    cut = oaconvolve(padded, kernel[:, None], mode="valid", axes=0)
    return np.clip(np.rint(cut), -32768, 32767).astype(np.int16)
