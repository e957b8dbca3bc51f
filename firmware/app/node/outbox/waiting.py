"""What waits in an outbox, and where: two bytes a record, in order of their numbers.

A place is one number: ``sector << 10 | offset in the sector / 16 << 2 | priority``.
"""

from array import array

from micropython import const

from node.outbox.layout import PRIORITIES

_MOST = const(1024)
_SMALLEST = const(32)  # flash that a record takes


def place(sector, at, priority):
    """The place of a record ``at`` bytes into its sector."""
    return sector << 10 | at >> 2 | priority


def offset(where):
    """Bytes from the beginning of the sector to a place."""
    return (where >> 2 & 255) << 4


class Waiting:
    """The index.

    Args:
        sectors: of the ring.
        capacity: bytes that may wait.

    Attributes:
        count: how many records wait.
        most: how many may.
        places: where, oldest first; only the first ``count`` count.
        alive: how many wait in each sector.
        records, bytes: how many, and how much flash they take, by priority.
    """

    def __init__(self, sectors, capacity):
        self.most = min(_MOST, capacity // _SMALLEST)
        self.places = memoryview(array("H", bytes(2 * self.most)))
        self.alive = bytearray(sectors)
        self.clear()

    def clear(self):
        """Nothing waits."""
        self.count = 0
        self.records = [0] * PRIORITIES
        self.bytes = [0] * PRIORITIES
        for sector in range(len(self.alive)):
            self.alive[sector] = 0

    def insert(self, i, where, size):
        """Take in a record as number ``i`` of the index."""
        if i < self.count:
            self.places[i + 1 : self.count + 1] = self.places[i : self.count]
        self.places[i] = where
        self.count += 1
        self.alive[where >> 10] += 1
        self.records[where & 3] += 1
        self.bytes[where & 3] += size

    def remove(self, i, size):
        """Take out number ``i``; returns whether nothing waits in its sector any more."""
        where = self.places[i]
        self.places[i : self.count - 1] = self.places[i + 1 : self.count]
        self.count -= 1
        self.alive[where >> 10] -= 1
        self.records[where & 3] -= 1
        self.bytes[where & 3] -= size
        return not self.alive[where >> 10]

    def moved(self, i, where):
        """Number ``i`` lies in another place now."""
        self.alive[self.places[i] >> 10] -= 1
        self.alive[where >> 10] += 1
        self.places[i] = where

    def oldest_of_lowest(self):
        """Index of the oldest among the records of the lowest priority that waits."""
        lowest = i = 0
        while not self.records[lowest]:
            lowest += 1
        while self.places[i] & 3 != lowest:
            i += 1
        return i
