"""The ceiling fan of "TinyML Example: Anomaly Detection": an ESP32 with an MSA301 taped to a fan's housing.

Files ``fan_0_<speed>_<n>_weight[-moving].npz`` with ``samples``: ``float32[seconds, 200, 3]`` in g, 200 Hz. A
weight is a coin taped to one blade; ``moving`` means that somebody moved the sensor between the samples.
Source: S. Hymel, github.com/ShawnHymel/tinyml-example-anomaly-detection, README.md.

The sensor's step is 1/2048 g, so counts are exact here. Each second was taken by itself, with some time
before the next one: ``segment`` is 200, and no window may reach from one into the next. A window of 256
samples therefore needs a sample rate of 256 Hz or more, to which
:meth:`cicada.training.corpora.machines.Recording.windows` brings each second by itself.

Labels: ``normal`` without a weight, ``anomaly`` with one, ``off``. There is one fan, and one recording of
each state, so no split by machine is possible; :func:`cicada.training.corpora.splits.divide` cuts them by
time.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

from cicada.tools.errors import UserError, from_os_error
from cicada.training.corpora.machines import NORMAL, Machines, Recording, collect
from cicada.training.corpora.signals import counts

RATE_HZ = 200
_NAME = re.compile(
    r"(?P<fan>fan_\d+)_(?P<speed>off|low|med|high)_(?P<weights>\d+)_weight(?P<moving>-moving)?"
)


def read(folder: Path) -> Machines:
    """Open the folder.

    Raises:
        UserError: no recordings, a name of another form, a file that is corrupt, of another shape, or has
            samples that are no numbers; see also :func:`cicada.training.corpora.machines.collect`.
    """
    recordings = [_recording(path) for path in sorted(folder.glob("*.npz"))]
    return collect(f"ceiling fan ({folder.name})", recordings)


def _recording(path: Path) -> Recording:
    match = _NAME.fullmatch(path.stem)
    if not match:
        raise UserError(
            f"{path} does not say what was recorded: names are like fan_0_low_1_weight.npz; rename it"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            samples = file["samples"]
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} has no readable array 'samples' ({error}): copy it again") from error
    if samples.ndim != 3 or samples.shape[1:] != (RATE_HZ, 3) or samples.dtype.kind != "f":
        raise UserError(
            f"{path} has {samples.dtype}{list(samples.shape)} instead of float[seconds, {RATE_HZ}, 3]: copy"
            " it again"
        )
    if not np.isfinite(samples).all():
        raise UserError(f"{path} has samples that are not numbers: copy it again or delete it")
    weights, off = int(match["weights"]), match["speed"] == "off"
    return Recording(
        name=path.stem,
        frames=counts(samples).reshape(-1, 3),
        rate_hz=RATE_HZ,
        label="off" if off else "anomaly" if weights else NORMAL,
        bearing=match["fan"],
        load=match["speed"],
        condition={"weights": weights, "moving": bool(match["moving"])},
        segment=RATE_HZ,
    )
