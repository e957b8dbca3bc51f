"""Folders of recordings of one's own machines, as ``cicada collect`` writes them.

``<label>/<machine>_<n>.npz`` or ``.csv``, and beside each a ``<machine>_<n>.json``. The label is what is
wrong (``normal`` is nothing), the machine is the physical thing that stays together in a split; both are
lower-case letters, digits and ``_``, and the machine ends before the last ``_``.

- ``.npz`` has an array ``frames``, integers ``[n, axes]`` with 1 or 3 axes. - ``.csv`` has a first line
``x,y,z`` (or ``x``) and a frame of integers on each further line. - ``.json`` is an object: ``rate_hz``
(samples a second), ``g_per_count`` (of the sensor, in the range it was set to),
  and if they are known ``rpm`` (of the shaft), ``load`` (text), ``onset_s`` (the fault begins so long after
  the start).
"""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from cicada.tools.errors import UserError, from_os_error
from cicada.training.corpora.machines import Machines, Recording, collect
from cicada.training.corpora.signals import counts

_LABEL = re.compile(r"[a-z][a-z0-9_]{0,30}")
_STEM = re.compile(r"(?P<machine>[a-z0-9][a-z0-9_]*)_\d+")
_LAYOUT = "expected <label>/<machine>_<n>.npz (or .csv), each with its .json"


class Sidecar(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the ``.json`` beside a recording says; see the module."""

    rate_hz: Annotated[float, Meta(gt=0, le=100_000)]
    g_per_count: Annotated[float, Meta(gt=0, le=1)]
    rpm: Annotated[float, Meta(gt=0)] | None = None
    load: str | None = None
    onset_s: Annotated[float, Meta(ge=0)] | None = None


def read(folder: Path) -> Machines:
    """Open the folder.

    Raises:
        UserError: no recordings, names of another form, a file that is corrupt, empty, of another shape or
            without its ``.json``; see also :func:`cicada.training.corpora.machines.collect`.
    """
    try:
        paths = sorted(path for path in folder.glob("*/*") if path.suffix.lower() in (".npz", ".csv"))
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error
    if not paths:
        raise UserError(f"{folder} has no recordings of machines: {_LAYOUT}")
    return collect(f"recordings in {folder.name}", [_recording(path) for path in paths])


def _recording(path: Path) -> Recording:
    label, match = path.parent.name, _STEM.fullmatch(path.stem)
    if not _LABEL.fullmatch(label) or not match:
        raise UserError(f"{path} does not say label and machine: {_LAYOUT}, in lower-case letters")
    about = _sidecar(path.with_suffix(".json"))
    raw = _npz(path) if path.suffix.lower() == ".npz" else _csv(path)
    if raw.ndim != 2 or raw.shape[1] not in (1, 3) or raw.dtype.kind not in "iu":
        raise UserError(
            f"{path} has {raw.dtype}{list(raw.shape)} instead of integers of 1 or 3 axes: record it again"
        )
    known: dict[str, Any] = {} if about.onset_s is None else {"onset_s": about.onset_s}
    if known and about.onset_s * about.rate_hz >= len(raw):
        raise UserError(f"{path} ends before its onset_s of {about.onset_s:g}: mend the .json beside it")
    return Recording(
        name=f"{label}/{path.stem}",
        frames=counts(raw * about.g_per_count),
        rate_hz=about.rate_hz,
        label=label,
        bearing=match["machine"],
        rpm=about.rpm,
        load=about.load,
        condition=known,
    )


def _sidecar(path: Path) -> Sidecar:
    try:
        return msgspec.convert(json.loads(path.read_text(encoding="utf-8")), Sidecar)
    except OSError as error:
        raise from_os_error(error, f"reading what belongs to a recording, {path}") from error
    except (ValueError, msgspec.ValidationError) as error:
        raise UserError(
            f"{path} does not describe a recording ({error}): give rate_hz and g_per_count"
        ) from error


def _npz(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["frames"]
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} has no readable array 'frames' ({error}): record it again") from error


def _csv(path: Path) -> np.ndarray:
    try:
        header, *lines = path.read_text(encoding="utf-8-sig").split()
        axes = {"x": 1, "x,y,z": 3}.get(header)
        if axes is None or not lines:
            raise UserError(
                f"{path} must begin with x,y,z or x, then have a frame on each line: export it again"
            )
        return np.array([line.split(",") for line in lines], dtype=np.int64)
    except OSError as error:
        raise from_os_error(error, f"reading recording {path}") from error
    except ValueError as error:
        raise UserError(f"{path} is no table of integers ({error}): export it again or delete it") from error
