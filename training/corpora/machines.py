"""Recordings of machines: what one is, what is checked of all of them, and who reads which data set.

Which recordings may train and which must test is :mod:`cicada.training.corpora.splits`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.tools.errors import UserError
from cicada.training.corpora.base import fingerprint
from cicada.training.corpora.signals import resample

KINDS = ("cwru", "adi", "fan", "folder", "generated")
#: What a machine without a fault is called, in every data set.
NORMAL = "normal"
#: Fewest samples of an axis: the shortest window of the front end.
MIN_FRAMES = 256


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording of one machine in one state.

    All of it is in memory: an hour of three axes at 3.2 kHz takes 69 MB.

    Attributes:
        name: unique in its corpus.
        frames: ``int16[n, axes]``, :data:`~cicada.training.corpora.signals.COUNTS_PER_G` counts for 1 g.
        rate_hz: sample rate.
        label: what is wrong with the machine; ``normal`` is nothing.
        bearing: the physical bearing, or the build of the machine: what no two splits may share.
        rpm: speed of the shaft, None where nobody measured it.
        load: load of the machine in the data set's words, None where there is no such thing.
        condition: what else is known, JSON-able. ``onset_s``: the fault begins so long after the start.
        segment: frames of a continuous piece, where the recording is of such pieces one after another with
            unknown time between them; None where it is continuous.
    """

    name: str
    frames: NDArray[np.int16] = field(repr=False)
    rate_hz: float
    label: str
    bearing: str
    rpm: float | None = None
    load: str | None = None
    condition: dict[str, Any] = field(default_factory=dict)
    segment: int | None = None

    @property
    def axes(self) -> int:
        """Axes of a frame."""
        return self.frames.shape[1]

    @property
    def seconds(self) -> float:
        """Length of the recording."""
        return len(self.frames) / self.rate_hz

    def at(self, rate_hz: float) -> NDArray[np.int16]:
        """Its continuous pieces at another sample rate: ``int16[pieces, n, axes]``.

        Raises:
            ValueError: as :func:`~cicada.training.corpora.signals.resample`.
        """
        length = self.segment or len(self.frames)
        whole = len(self.frames) // length
        return resample(
            self.frames[: whole * length].reshape(whole, length, self.axes), self.rate_hz, rate_hz
        )

    def windows(self, samples: int, rate_hz: float) -> NDArray[np.int16]:
        """Windows for the front end, in their order: ``int16[windows, samples, axes]``.

        None spans two pieces that do not continue each other. The mean of each window is taken off, axis by
        axis: where a sensor's offset was not the same in all recordings, it would give their labels away.

        Args:
            samples: of a window; the next one begins where it ends.
            rate_hz: sample rate of the windows.

        Raises:
            UserError: the recording (or each of its pieces) is shorter than a window.
            ValueError: as :func:`~cicada.training.corpora.signals.resample`.
        """
        pieces = self.at(rate_hz)
        each = pieces.shape[1] // samples
        if not each:
            raise UserError(
                f"recording {self.name} has {pieces.shape[1]} samples in a row at {rate_hz:g} Hz, fewer than"
                f" the {samples} of a window: choose a shorter window, or record longer"
            )
        windows = pieces[:, : each * samples].reshape(-1, samples, self.axes).astype(np.int32)
        windows -= np.rint(windows.mean(axis=1, keepdims=True)).astype(np.int32)
        return np.clip(windows, -32768, 32767).astype(np.int16)


@dataclass(frozen=True)
class Machines:
    """A corpus of recordings of machines.

    Attributes:
        source: one phrase that says where the recordings are from.
        recordings: all of them, in an order that does not change.
        fingerprint: changes if and only if samples or what is known of them change.
    """

    source: str
    recordings: list[Recording]
    fingerprint: str

    def labels(self) -> tuple[str, ...]:
        """Labels that there are; ``normal`` is the first."""
        found = {recording.label for recording in self.recordings}
        return tuple(sorted(found, key=lambda label: (label != NORMAL, label)))

    def by(self, key: str) -> dict[str, list[Recording]]:
        """Recordings by ``label``, ``bearing``, ``recording`` (their name), ``load`` or ``rpm``.

        Raises:
            ValueError: any other key.
        """
        return group(self.recordings, key)

    def only(self, labels: Sequence[str]) -> Machines:
        """The corpus of these labels alone.

        Raises:
            UserError: there is no recording with one of them.
        """
        missing = [label for label in labels if label not in self.labels()]
        if missing:
            raise UserError(
                f"{self.source} has no recording with the label {', '.join(missing)}: it has"
                f" {', '.join(self.labels())}; add recordings or leave the label out of the recipe"
            )
        return collect(self.source, [one for one in self.recordings if one.label in labels])


def group(recordings: Iterable[Recording], key: str) -> dict[str, list[Recording]]:
    """Recordings by ``label``, ``bearing``, ``recording`` (their name), ``load`` or ``rpm``, in their order.

    Raises:
        ValueError: any other key.
    """
    if key not in ("label", "bearing", "recording", "load", "rpm"):
        raise ValueError(f"recordings have no key '{key}': use label, bearing, recording, load or rpm")
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        value = getattr(recording, "name" if key == "recording" else key)
        groups.setdefault(f"{value:g}" if isinstance(value, float) else str(value), []).append(recording)
    return groups


def collect(source: str, recordings: Sequence[Recording]) -> Machines:
    """Check recordings and make a corpus of them.

    Raises:
        UserError: there are none; one is too short, or its sensor was dead; two have one name; the same
            samples are there under two names (a copy in two splits would be a leak, one under two labels is a
            mistake); or they differ in their number of axes.
    """
    if not recordings:
        raise UserError(f"{source} has no recordings: name the folder that they are in")
    content: dict[bytes, Recording] = {}
    names: set[str] = set()
    state = []
    for one in recordings:
        if one.name in names:
            raise UserError(f"{source} has two recordings called {one.name}: rename one of them")
        names.add(one.name)
        if len(one.frames) < MIN_FRAMES:
            raise UserError(
                f"recording {one.name} has {len(one.frames)} samples, fewer than the {MIN_FRAMES} of the"
                " shortest window: record longer or delete it"
            )
        if (one.frames == one.frames[0]).all():
            raise UserError(
                f"recording {one.name} never changes, so its sensor was dead: record it again or delete it"
            )
        if one.axes != recordings[0].axes:
            raise UserError(
                f"recording {one.name} has {one.axes} axes and {recordings[0].name} has {recordings[0].axes}:"
                " train on recordings of one kind of sensor"
            )
        samples = hashlib.sha256(np.ascontiguousarray(one.frames)).digest()
        twin = content.setdefault(samples, one)
        if twin is not one:
            raise UserError(
                f"recordings {twin.name} ({twin.label}) and {one.name} ({one.label}) are the same samples:"
                " delete the one that is a copy or has the wrong label"
            )
        known = [one.name, one.rate_hz, one.label, one.bearing, one.rpm, one.load, one.condition, one.segment]
        state.append([samples.hex(), *known])
    return Machines(source, list(recordings), fingerprint(state))


def open_machines(kind: str, folder: Path | str | None, seed: int = 1, *, count: int = 48) -> Machines:
    """Open recordings to train on.

    Args:
        kind: ``cwru``, ``adi``, ``fan``, ``folder`` or ``generated``: the modules of this package with these
            names, :mod:`~cicada.training.corpora.collected`, and :mod:`~cicada.training.corpora.bearing`.
        folder: of the recordings; not of ``generated``.
        seed: of ``generated``.
        count: recordings of ``generated``.

    Raises:
        UserError: the folder is missing, empty or of another layout; a file is corrupt, too short, without a
            label, or a copy of another one.
        ValueError: another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"'{kind}' is no kind of recordings of machines: use {', '.join(KINDS)}")
    # Each imports only what it needs, and they all need this module.
    if kind == "generated":
        from cicada.training.corpora import bearing

        return bearing.corpus(count, seed)
    from cicada.training.corpora import adi, collected, cwru, fan

    read = {"cwru": cwru.read, "adi": adi.read, "fan": fan.read, "folder": collected.read}[kind]
    if folder is None:
        raise UserError(f"recordings of kind '{kind}' need a folder: name it with --data, or in the recipe")
    path = Path(folder)
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: name the one that the recordings are in")
    return read(path)
