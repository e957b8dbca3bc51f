"""Leaks between splits, refused: no speaker, bearing or recording in two of them, and no copy of a sound.

Every corpus goes through here before anything is computed from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from cicada.tools.errors import UserError


class Member(NamedTuple):
    """One recording as a split sees it.

    Attributes:
        group: what must not be in two splits: a speaker, a bearing, a recording, a sound's :func:`content`.
        split: the split it is in.
        name: of the recording, for people.
    """

    group: str
    split: str
    name: str


def refuse(members: Iterable[tuple[str, str, str]], where: str, what: str = "speaker") -> None:
    """Refuse a leak: a group with recordings in two splits.

    Args:
        members: ``(group, split, name)`` of every recording, see :class:`Member`.
        where: the corpus, as the message names it.
        what: what a group is, e.g. ``speaker`` or ``bearing``.

    Raises:
        UserError: there is such a group; the message names it and one recording in either split.
    """
    first: dict[str, Member] = {}
    for member in map(Member._make, members):
        known = first.setdefault(member.group, member)
        if known.split != member.split:
            raise UserError(
                f"{where} has {what} '{member.group}' in two splits ({known.name} in {known.split},"
                f" {member.name} in {member.split}), so the test would not be on an unknown {what}:"
                f" give each {what} one split"
            )


def refuse_copies(recordings: Iterable[tuple[np.ndarray, str, str]], where: str) -> None:
    """Refuse the same sound in two splits, whatever its files are called.

    Args:
        recordings: ``(samples, split, name)`` of every recording, see :func:`content`; they are looked at
            one after the other, so that a generator needs the memory of one.
        where: the corpus, as the message names it.

    Raises:
        UserError: two recordings in different splits have the same content; the message names both.
    """
    first: dict[str, Member] = {}
    for samples, split, name in recordings:
        digest = content(samples)
        if digest is None:
            continue
        known = first.setdefault(digest, Member(digest, split, name))
        if known.split != split:
            raise UserError(
                f"{where} has the same recording in two splits ({known.name} in {known.split}, {name} in"
                f" {split}), so the test would not be on unknown recordings: remove one of them"
            )


def content(samples: np.ndarray) -> str | None:
    """SHA-256 (hex) of a recording's samples, without the zeros before and after them.

    Two files of one recording have one content, be they of another format or filled up with digital
    silence to another length.

    Args:
        samples: ``[n]`` or ``[n, axes]``, any integer or float type.

    Returns:
        None for a recording of zeros alone: nothing can be learnt from it, so it cannot leak.
    """
    sounding = np.flatnonzero(samples.any(axis=tuple(range(1, samples.ndim))))
    if not len(sounding):
        return None
    inner = np.ascontiguousarray(samples[sounding[0] : sounding[-1] + 1])
    # Equal values of another integer width are the same recording.
    plain = inner.astype("<i8" if np.issubdtype(inner.dtype, np.integer) else "<f8")
    return hashlib.sha256(repr(plain.shape).encode() + plain.tobytes()).hexdigest()
