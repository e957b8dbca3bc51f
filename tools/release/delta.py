"""Deltas: payloads that make an image from one the device has.

bsdiff's matcher (Colin Percival, "Naive differences of executable code", 2003) says which bytes of the base
are like which bytes of the image, even where every pointer in them changed. Its answer is then written as the
blocks of :mod:`cicada.tools.release.payload`: of all ways to divide the image's sectors among blocks the one
that takes the fewest bytes, each block a patch or, where that is smaller, a literal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import bsdiff4.core

from cicada.tools.release.manifest import SECTOR, SECTORS
from cicada.tools.release.payload import (
    CONTENT,
    COPY,
    DATA,
    DIFF,
    HEADER_SIZE,
    LONGEST_OPERATION,
    OPERATION,
    Block,
    Payload,
    body,
    chain,
)

#: A delta is kept if it is at most this share of the full payload.
WORTHWHILE = 0.9

#: Shortest runs of unchanged bytes that end a DIFF and become a COPY; each block may choose. Inside a DIFF
#: they are zeros, which deflate to almost nothing but must fit into the content. Under 15 bytes the two more
#: operations take more room than the zeros.
_UNCHANGED = (15, 32, 64, 128, 256)
_CONTROL = 24  # three numbers of 8 bytes


class Operation(NamedTuple):
    """How some bytes of the image come about; see :mod:`cicada.tools.release.payload`.

    Attributes:
        kind: COPY, DIFF or DATA.
        at: where they are in the image.
        length: how many.
        offset: where the base's bytes are.
        follows: bytes to add, or new bytes; empty for COPY.
    """

    kind: int
    at: int
    length: int
    offset: int
    follows: bytes

    def part(self, start: int, end: int) -> Operation:
        """The part that makes bytes ``start`` to ``end`` of the image."""
        skipped = start - self.at
        offset = self.offset + skipped if self.kind != DATA else 0
        return Operation(self.kind, start, end - start, offset, self.follows[skipped : end - self.at])


class Match(NamedTuple):
    """Bytes of the image like some of the base, or new ones.

    Attributes:
        at: where they are in the image.
        length: how many.
        offset: where the base's bytes are; -1 for new ones.
        follows: what to add to the base's bytes, or the new bytes.
    """

    at: int
    length: int
    offset: int
    follows: bytes


def delta(base: bytes, image: bytes, progress: Callable[[float], None] = lambda share: None) -> Payload:
    """The payload that makes ``image`` from ``base``.

    Args:
        base, image: the image not empty. A megabyte takes some seconds, and 20 MB of memory.
        progress: called with the share that is done, 0 to 1.
    """
    found = list(matches(base, image))
    ways = [_by_sector(_operations(found, shortest)) for shortest in _UNCHANGED]
    return chain(_divide(image, ways, progress))


def matches(base: bytes, image: bytes) -> Iterator[Match]:
    """What bsdiff finds, in the image's order and without gaps."""
    control, differences, extra = bsdiff4.core.diff(base, image)
    number = bsdiff4.core.decode_int64
    at = source = compared = 0
    for entry in range(0, len(control), _CONTROL):
        like, new, seek = (number(control[entry + i : entry + i + 8]) for i in (0, 8, 16))
        yield Match(at, like, source, differences[compared : compared + like])
        at, source, compared = at + like, source + like + seek, compared + like
        used = at - compared
        yield Match(at, new, -1, extra[used : used + new])
        at += new


def _operations(found: list[Match], shortest: int) -> Iterator[Operation]:
    """What makes the image; runs of ``shortest`` unchanged bytes and more are copied."""
    unchanged = re.compile(rb"\0{%d,}" % shortest)
    for match in found:
        if match.offset < 0:
            yield Operation(DATA, match.at, match.length, 0, match.follows)
            continue
        done = 0
        for run in unchanged.finditer(match.follows):
            yield _difference(match, done, run.start())
            yield Operation(COPY, match.at + run.start(), len(run[0]), match.offset + run.start(), b"")
            done = run.end()
        yield _difference(match, done, match.length)


def _difference(match: Match, start: int, end: int) -> Operation:
    return Operation(DIFF, match.at + start, end - start, match.offset + start, match.follows[start:end])


def _by_sector(all_operations: Iterator[Operation]) -> list[list[Operation]]:
    """The operations of each sector, cut at its ends."""
    sectors: list[list[Operation]] = []
    for operation in all_operations:
        at, end = operation.at, operation.at + operation.length
        while at < end:
            if at % SECTOR == 0:
                sectors.append([])
            stop = min(end, (at // SECTOR + 1) * SECTOR)
            sectors[-1].append(operation.part(at, stop))
            at = stop
    return sectors


def _divide(
    image: bytes, ways: list[list[list[Operation]]], progress: Callable[[float], None]
) -> list[Block]:
    """The division among blocks that takes the fewest bytes: shortest path, from the image's end.

    Args:
        image: what the blocks make.
        ways: for each way to write a patch the operations of each sector.
        progress: see :func:`delta`.
    """
    count = len(ways[0])
    cost = [0] * (count + 1)
    choice: list[Block] = [Block(b"", False, 1)] * count
    for start in reversed(range(count)):
        literal = image[start * SECTOR : (start + 1) * SECTOR]
        choice[start] = Block(literal, False, 1)
        cost[start] = _cost(literal) + cost[start + 1]
        for sectors in ways:
            content = _Content()
            for end in range(start + 1, min(start + SECTORS, count) + 1):
                content.extend(sectors[end - 1])
                if content.size > CONTENT:
                    break
                patch = content.encoded()
                total = _cost(patch) + cost[end]
                if total < cost[start]:
                    cost[start], choice[start] = total, Block(patch, True, end - start)
        progress(1 - start / count)
    blocks, start = [], 0
    while start < count:
        blocks.append(choice[start])
        start += choice[start].sectors
    return blocks


def _cost(content: bytes) -> int:
    return HEADER_SIZE + len(body(content)[1])


class _Content:
    """A patch's content while it grows by one sector after the other."""

    def __init__(self) -> None:
        self._operations: list[Operation] = []
        self.size = 0  # bytes, once encoded

    def extend(self, more: list[Operation]) -> None:
        """Add operations; ones that go on where the last one ended become part of it."""
        for new in more:
            last = self._operations[-1] if self._operations else None
            if last and _joins(last, new):
                length, follows = last.length + new.length, last.follows + new.follows
                self._operations[-1] = last._replace(length=length, follows=follows)
            else:
                self._operations.append(new)
                self.size += OPERATION.size
            self.size += len(new.follows)

    def encoded(self) -> bytes:
        """Its bytes."""
        return b"".join(OPERATION.pack(o.kind, o.length, o.offset) + o.follows for o in self._operations)


def _joins(last: Operation, new: Operation) -> bool:
    if last.kind != new.kind or last.length + new.length > LONGEST_OPERATION:
        return False
    return new.kind == DATA or last.offset + last.length == new.offset
