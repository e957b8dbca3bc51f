"""Packs memory with lifetimes into as few bytes as can be found in a fixed number of tries."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cicada.training.pack.overlap import Overlap

#: Tries of the search, and the product of tries and items that bounds them for large programs.
_TRIES, _WORK = 600, 20000


@dataclass(frozen=True)
class Item:
    """Memory of ``size`` bytes (a multiple of 4), needed from operator ``start`` to operator ``end``."""

    size: int
    start: int
    end: int


def place(items: Sequence[Item], overlaps: Mapping[tuple[int, int], Overlap], bound: int) -> list[int]:
    """Places of the items, bytes from 0 on, multiples of 4.

    Items that are needed at one time do not overlap, unless ``overlaps`` has rules for them. The search goes
    through orders in which to place one item after the other, each where it makes the whole grow least, and
    changes the best order at random; the same items always give the same places.

    Args:
        overlaps: by the numbers of input and output, how they may lie over each other.
        bound: the search ends where it has reached so many bytes.
    """
    if not items:
        return []
    search = _Search(items, overlaps)
    chosen = random.Random(6)
    everyone = range(len(items))
    orders = [
        sorted(everyone, key=lambda i: (-items[i].size, -items[i].start)),
        sorted(everyone, key=lambda i: (-items[i].start, -items[i].size)),
        sorted(everyone, key=lambda i: (items[i].start, -items[i].size)),
        sorted(
            everyone, key=lambda i: (-(items[i].end - items[i].start + 1) * items[i].size, -items[i].start)
        ),
    ]
    tries = [(order, [high] * len(items)) for order in orders for high in (False, True)]
    best, places = min(((made, search.place(*made)) for made in tries), key=lambda found: found[1][1])
    for _ in range(min(_TRIES, _WORK // len(items))):
        if places[1] <= bound:
            break
        order, upward = list(best[0]), list(best[1])
        for _ in range(1 + int(chosen.random() * 3)):
            moved = order.pop(int(chosen.random() * len(order)))
            order.insert(int(chosen.random() * (len(order) + 1)), moved)
            if chosen.random() < 0.3:
                upward[moved] = not upward[moved]
        found = search.place(order, upward)
        # An equal result is taken too, so that the search can cross a plain.
        if found[1] <= places[1]:
            best, places = (order, upward), found
    lowest = min(places[0].values())
    return [places[0][i] - lowest for i in everyone]


class _Search:
    """Placing in a given order."""

    def __init__(self, items: Sequence[Item], overlaps: Mapping[tuple[int, int], Overlap]) -> None:
        self._items = items
        # Of each item those it lives together with; the sign says which of the two is the input.
        self._others: list[list[tuple[int, Overlap | None, int]]] = [[] for _ in items]
        alive: list[int] = []
        for i in sorted(range(len(items)), key=lambda i: items[i].start):
            alive = [j for j in alive if items[j].end >= items[i].start]
            for j in alive:
                rule, sign = overlaps.get((i, j)), 1
                if rule is None:
                    rule, sign = overlaps.get((j, i)), -1
                self._others[i].append((j, rule, sign))
                self._others[j].append((i, rule, -sign))
            alive.append(i)

    def place(self, order: Sequence[int], upward: Sequence[bool]) -> tuple[dict[int, int], int]:
        """Places (any origin) and the bytes from the lowest to the highest."""
        places: dict[int, int] = {}
        bottom = top = 0
        for i in order:
            size = self._items[i].size
            around = [(j, rule, sign) for j, rule, sign in self._others[i] if j in places]
            candidates = {bottom, top - size}
            for j, rule, sign in around:
                at, length = places[j], self._items[j].size
                candidates.update((at + length, at - size))
                if rule is not None and sign > 0:
                    candidates.update(at + d for d in rule.distances(size, length))
                elif rule is not None:
                    candidates.update(at - d for d in rule.distances(length, size))
            scored = ((max(top, x + size) - min(bottom, x), -x if upward[i] else x, x) for x in candidates)
            for _, _, x in sorted(scored):
                if all(self._right(x, size, places[j], j, rule, sign) for j, rule, sign in around):
                    places[i] = x
                    bottom, top = (min(bottom, x), max(top, x + size)) if len(places) > 1 else (x, x + size)
                    break
        return places, top - bottom

    def _right(self, x: int, size: int, at: int, j: int, rule: Overlap | None, sign: int) -> bool:
        if x >= at + self._items[j].size or at >= x + size:
            return True
        return rule is not None and rule.legal(sign * (x - at))
