"""Which recordings of machines train, validate and test.

Windows of one recording resemble each other far more than two machines do. Whoever splits by window measures
how well a model remembers recordings: CWRU then yields nearly 100 % for almost any model (W. A. Smith, R. B.
Randall, Mechanical Systems and Signal Processing 64-65, 2015, say why the recordings are so easy to tell
apart). So groups are kept together here: physical bearings, or recordings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cicada.tools.errors import UserError
from cicada.training.corpora.machines import Recording, group
from cicada.training.evaluation.groups import refuse, refuse_copies

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
#: Seconds of the pieces that ``by="window"`` deals out unless another length is given.
WINDOW_S = 0.2
# Groups are dealt in a random order. The first dealing whose shares are nearly those wanted is taken, so that
# another seed gives another one; after so many groups dealt out, the best so far.
_NEARLY = 0.05
_EFFORT = 2048


def assign(
    recordings: Sequence[Recording],
    by: str,
    seed: int,
    shares: Mapping[str, float] | None = None,
    piece_s: float = WINDOW_S,
) -> dict[str, list[Recording]]:
    """Deal recordings out to splits, so that no group is in two of them and every label is in each.

    Args:
        recordings: of all labels that matter.
        by: ``bearing`` (nothing of a physical bearing or machine is in two splits) or ``recording``.
            ``window`` leaks: pieces of every recording go to all splits. It is there for one figure alone,
            the warning beside the honest ones.
        seed: other seeds deal otherwise.
        shares: of the recorded time by split, about; by default :data:`SHARES`.
        piece_s: seconds of the pieces of ``window``.

    Returns:
        Recordings by split, in the order in which they came.

    Raises:
        UserError: a label has fewer groups than there are splits, or no dealing gives every split every
            label.
        ValueError: another ``by``, or shares that are not positive.
    """
    wanted = dict(SHARES if shares is None else shares)
    if not wanted or min(wanted.values()) <= 0:
        raise ValueError("shares must be positive")
    if by == "window":
        pieces = [piece for one in recordings for piece in _pieces(one, piece_s)]
        return _deal(pieces, "recording", seed, wanted)
    if by not in ("bearing", "recording"):
        raise ValueError(f"recordings are split by bearing or recording, not by {by}")
    parts = _deal(recordings, by, seed, wanted)
    refuse(_members(parts, by), "the split", by)
    return parts


def folds(
    recordings: Sequence[Recording], by: str, k: int, seed: int = 0
) -> list[dict[str, list[Recording]]]:
    """Cross-validation: ``k`` times ``train`` and ``test``; every recording is tested once.

    Args:
        recordings, by, seed: as for :func:`assign`. A validation split for a choice inside a fold comes from
            ``assign(fold["train"], "recording", ...)``.
        k: 2 or more.

    Raises:
        UserError: a label has fewer than ``k`` groups, or no dealing gives every fold every label.
        ValueError: as :func:`assign`, or ``k`` below 2.
    """
    if k < 2:
        raise ValueError("cross-validation takes 2 folds or more")
    parts = assign(recordings, by, seed, {f"fold {number}": 1 / k for number in range(1, k + 1)})
    return [
        {
            "train": [one for other, part in parts.items() if other != held for one in part],
            "test": parts[held],
        }
        for held in parts
    ]


def check(parts: Mapping[str, Sequence[Recording]], by: str, where: str) -> None:
    """Refuse splits that leak, however they came about: one group in two of them, or the same samples.

    Args:
        parts: recordings by split.
        by: ``bearing`` or ``recording``.
        where: the corpus, as the message names it.

    Raises:
        UserError: what is in two splits, and in which recordings.
    """
    refuse(_members(parts, by), where, by)
    refuse_copies(((one.frames, split, one.name) for split, part in parts.items() for one in part), where)


def _members(parts: Mapping[str, Sequence[Recording]], by: str) -> Iterator[tuple[str, str, str]]:
    for split, part in parts.items():
        for one in part:
            yield one.name if by == "recording" else one.bearing, split, one.name


def divide(recording: Recording, count: int, gap_s: float = 1.0) -> list[Recording]:
    """Cut a recording into pieces by time, for a label of which there is only one recording.

    A split of such pieces says how well a model knows this very machine at another time; never that it knows
    another machine. What lies between two pieces is thrown away, so that no window is next to one of another
    piece.

    Args:
        recording: cut between its continuous pieces, if it has such.
        count: number of pieces of one length.
        gap_s: seconds between them.

    Returns:
        Recordings with ``#1``, ``#2``, ... after name and bearing.

    Raises:
        UserError: it is too short for that.
    """
    unit = recording.segment or 1
    gap = -(-round(gap_s * recording.rate_hz) // unit) * unit
    length = (len(recording.frames) - (count - 1) * gap) // count // unit * unit
    if length <= 0:
        raise UserError(
            f"recording {recording.name} of {recording.seconds:.1f} s is too short for {count} pieces that"
            f" are {gap_s:g} s apart: record longer"
        )
    return [
        _piece(recording, number, at, length)
        for number, at in enumerate(range(0, count * (length + gap), length + gap), 1)
    ]


def _piece(recording: Recording, number: int, at: int, length: int) -> Recording:
    condition = {**recording.condition, "from_s": at / recording.rate_hz}
    if "onset_s" in condition:
        condition["onset_s"] -= condition["from_s"]
    return replace(
        recording,
        name=f"{recording.name}#{number}",
        bearing=f"{recording.bearing}#{number}",
        frames=recording.frames[at : at + length],
        condition=condition,
    )


def _pieces(recording: Recording, seconds: float) -> list[Recording]:
    unit = recording.segment or math.ceil(round(seconds * recording.rate_hz, 6))
    return [
        _piece(recording, at // unit + 1, at, unit) for at in range(0, len(recording.frames) - unit + 1, unit)
    ]


def _deal(
    recordings: Sequence[Recording], by: str, seed: int, shares: Mapping[str, float]
) -> dict[str, list[Recording]]:
    """The best of some random dealings: each group goes where its labels are missing, or most is lacking."""
    groups = group(recordings, by)
    labels = sorted({one.label for one in recordings})
    for label in labels:
        having = [name for name, members in groups.items() if any(one.label == label for one in members)]
        if len(having) < len(shares):
            raise UserError(
                f"'{label}' has {len(having)} {by}s ({', '.join(having)}), too few for {len(shares)} splits"
                " without a leak: record more, or leave the label out of the recipe"
            )
    # Seconds of each label in each group; rows follow `names`.
    names = list(groups)
    time = np.array(
        [
            [sum(one.seconds for one in groups[name] if one.label == label) for label in labels]
            for name in names
        ]
    )
    time /= time.sum(axis=0)
    share = np.array(list(shares.values())) / sum(shares.values())
    rng = np.random.default_rng(seed)
    best, least = None, np.inf
    for _ in range(max(4, _EFFORT // len(names))):
        place, error = _dealt(time, share, rng.permutation(len(names)))
        if error < least:
            best, least = place, error
        if least < _NEARLY:
            break
    if best is None:
        raise UserError(
            f"the {len(names)} {by}s cannot be dealt out to {len(shares)} splits with every label in each"
            f" ({', '.join(labels)}): record more of them"
        )
    of = {name: list(shares)[split] for name, split in zip(names, best, strict=True)}
    split = {id(one): of[name] for name, members in groups.items() for one in members}
    return {name: [one for one in recordings if split[id(one)] == name] for name in shares}


def _dealt(time: np.ndarray, share: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, float]:
    """Deal groups out in an order: the split of each, and how far off a share is at most.

    Infinite if a label is missing in a split.
    """
    have = np.zeros((len(share), time.shape[1]))
    place = np.zeros(len(time), int)
    for row in order:
        lacks = (share[:, None] - have) * (time[row] > 0)
        # A label that a split has nothing of comes before any surplus of time.
        empty = ((have == 0) & (time[row] > 0)).sum(axis=1)
        place[row] = np.argmax(empty * (2 * len(time[row]) + 1) + lacks.sum(axis=1))
        have[place[row]] += time[row]
    if (have == 0).any():
        return place, np.inf
    return place, float(np.abs(have - share[:, None]).max())
