"""The outbox: records wait in flash until they are delivered.

Sectors are a ring: records are appended to one of them, the head. The sector behind the head counts for
nothing, whatever lies in it. When the head is full, that sector is erased, gets copies of what still waits
in the sector behind it, and at last its own first bytes: only they make it the head, and at the same moment
the one behind it counts for nothing. So every record lies in exactly one place that counts, every sector is
erased equally often, and a power cut in between leaves the ring as it was.

What can wait is bounded so that a turn of the ring always finds room: of S - 1 sectors, one must have room
for the largest record beside its own that wait.
"""

import os
from array import array

from micropython import const

from node.outbox import layout
from node.outbox.layout import DONE, DROPPED, FIRST, HEAD, PRIORITIES, SECTOR
from node.outbox.waiting import Waiting, offset, place

_BUFFER = const(1040)  # the largest record
_EIO = const(5)
_CLEARED = b"\0"


class Outbox:
    """The outbox of one partition; reading it is part of making it.

    A partition that holds no outbox, or one of another format or size, is made a new one.

    Args:
        device: ``esp32.Partition`` with at least two sectors, of which 64 are used at most. It must not be
            encrypted: single bytes are cleared in place.

    Attributes:
        generation: 0 to 65535, drawn by lot when the outbox was made; numbers are unique within it.
        capacity: bytes that may wait; a record takes 16 bytes beside its data, rounded up to 16.

    Raises:
        ValueError: the partition is too small.
        OSError: the flash cannot be read or written.
    """

    def __init__(self, device):
        self._device = device
        self._sectors = min(device.ioctl(4, 0), layout.SECTORS)
        if self._sectors < 2:
            raise ValueError("an outbox needs two sectors of flash")
        self.capacity = (self._sectors - 1) * (SECTOR - FIRST - _BUFFER)
        self._view = memoryview(bytearray(_BUFFER))
        self._waiting = Waiting(self._sectors, self.capacity)
        self._marked = bytearray(PRIORITIES * self._sectors)  # dropped, in sectors that count
        self._known = False
        self._ready()

    def pending(self):
        """How many records wait."""
        self._ready()
        return self._waiting.count

    def highest(self):
        """The highest priority of what waits, None if nothing does."""
        self._ready()
        for priority in range(PRIORITIES - 1, -1, -1):
            if self._waiting.records[priority]:
                return priority
        return None

    @property
    def dropped(self):
        """How many records were dropped since the outbox was made, ``[low, normal, high]``."""
        self._ready()
        n = self._sectors
        return [self._base[p] + sum(self._marked[p * n : (p + 1) * n]) for p in range(PRIORITIES)]

    @property
    def erases(self):
        """How often sectors were erased since the outbox was made: ``(all together, the most of one)``."""
        return self._epoch, (self._epoch + self._sectors - 1) // self._sectors

    def put(self, kind, priority, data):
        """Keep a record; it is on the flash when this returns.

        When that is more than may wait, the oldest of the lowest priority are dropped for it; if there would
        not be room among the records of higher priority, it is dropped itself.

        Args:
            kind: 0 to 15.
            priority: 0 low, 1 normal, 2 high.
            data: 1 to 1024 bytes.

        Returns:
            Its number.

        Raises:
            ValueError: arguments out of these ranges.
            OSError: the flash could not be written; the record is not kept.
        """
        if not (0 <= kind <= 15 and 0 <= priority < PRIORITIES and 1 <= len(data) <= layout.MOST):
            raise ValueError("a record has a kind of 0 to 15, a priority of 0 to 2 and 1 to 1024 bytes")
        self._ready()
        self._known = False
        if not self._make_room(priority, layout.size(len(data))):
            data = b""
        number = self._append(kind, priority, data)
        self._known = True
        return number

    def oldest(self, limit):
        """Up to ``limit`` records in order of their numbers: ``(number, kind, priority, data)``.

        A record that has rotted is dropped, and counted as such.

        Raises:
            OSError: the flash cannot be read or written.
        """
        self._ready()
        found = []
        while len(found) < min(limit, self._waiting.count):
            i = len(found)
            about = self._fetch(self._waiting.places[i])
            if about:
                kind, priority, count, number = about
                found.append((number, kind, priority, bytes(self._view[HEAD : HEAD + count])))
            else:
                self._known = False
                self._drop(i)
                self._known = True
        return found

    def done(self, number):
        """The record was delivered; on the flash when this returns. One that does not wait is passed over.

        If the power goes meanwhile, the record may wait again, under the same number.

        Raises:
            OSError: the flash could not be written.
        """
        self._ready()
        self._known = False
        self._deliver(number)
        self._known = True

    def _deliver(self, number):
        low, high = 0, self._waiting.count
        while low < high:
            middle = (low + high) // 2
            where = self._waiting.places[middle]
            about = self._about(where)
            if not about:  # rotted
                self._drop(middle)
                high -= 1
            elif about[3] == number:
                self._clear(where, DONE)
                return self._remove(middle, about)
            elif about[3] < number:
                low = middle + 1
            else:
                high = middle

    # Reading

    def _ready(self):
        """Look again if something was broken off: what is in memory may not be what is on the flash."""
        if not self._known:
            self._load()
            self._known = True

    def _load(self):
        """Find out from the flash how things stand."""
        self._waiting.clear()
        self._base = [0] * PRIORITIES
        for i in range(len(self._marked)):
            self._marked[i] = 0
        newest, sectors = self._find()
        if newest is None:
            return self._format()
        self.generation, self._epoch, self._next = newest[:3]
        self._base[:] = newest[3:]
        self._head = self._sector(self._epoch)
        numbers = array("I")
        for epoch in range(max(1, self._epoch - self._sectors + 2), self._epoch + 1):
            sector = self._sector(epoch)
            if sectors[sector] and sectors[sector][:2] == (self.generation, epoch):
                self._take(sector, sectors[sector][2], numbers)

    def _find(self):
        """The newest sector as :func:`layout.sector` has it, and ``(generation, epoch, closing)`` or None of
        each."""
        newest, sectors = None, []
        for i in range(self._sectors):
            raw = bytearray(layout.CLOSING + 8)
            self._device.readblocks(i, raw, 0)
            about = layout.sector(raw, self._sectors)
            if about and self._sector(about[1]) == i:
                sectors.append((about[0], about[1], layout.closing(raw)))
                if newest is None or about[1] > newest[1]:
                    newest = about
            else:
                sectors.append(None)
        return newest, sectors

    def _sector(self, epoch):
        return (epoch - 1) % self._sectors

    def _take(self, sector, closing, numbers):
        """Take in a sector that counts; ``numbers`` are those of the index."""
        head = sector == self._head
        if closing and not head:
            for priority in range(PRIORITIES):
                self._marked[priority * self._sectors + sector] = closing[priority]
            return
        at, last, torn = FIRST, None, False
        start = stop = 0  # what of the sector is in the buffer
        while at <= SECTOR - HEAD:
            if at + HEAD > stop:
                start, stop = at, min(SECTOR, at + _BUFFER)
                self._device.readblocks(sector, self._view[: stop - start], start)
            view = self._view[at - start : at - start + HEAD]
            about = layout.about(view, at)
            if about:
                if last:
                    self._enter(last, numbers)
                last = place(sector, at, about[1]), about, view[DONE], view[DROPPED]
                at += layout.size(about[2])
            elif layout.erased(view) and not torn:
                break
            else:
                torn = True  # by a power cut, then nothing follows; or rotted, then others may
                at += 16
        if last and (not head or self._whole(last)):
            self._enter(last, numbers)
        if head:
            self._tail = SECTOR if torn else at
        elif closing is None and not self._waiting.alive[sector]:
            self._close(sector)

    def _whole(self, last):
        """Whether the head's last record was written to its end; if not, it counts for nothing."""
        where, about, done, _ = last
        self._next = max(self._next, about[3] + 1)
        if about[2] and done and not self._fetch(where):
            self._clear(where, DONE)
            return False
        return True

    def _enter(self, record, numbers):
        """Take in one record of a sector."""
        where, (_, priority, count, number), done, dropped = record
        self._next = max(self._next, number + 1)
        if not done:
            return
        if not dropped or not count:
            self._mark(where)
            return
        i = self._waiting.count  # copies of older records come late
        while i and numbers[i - 1] >= number:
            i -= 1
        # The rest is only for sectors that rotted, so that older ones count again.
        if i < self._waiting.count and numbers[i] == number:
            return
        if self._waiting.count == self._waiting.most:
            self._clear(where, DROPPED)
            self._mark(where)
            return
        numbers.append(number)
        if i < self._waiting.count:
            moved = memoryview(numbers)
            moved[i + 1 :] = moved[i:-1]
            numbers[i] = number
        self._waiting.insert(i, where, layout.size(count))

    def _about(self, where):
        """What the record's first bytes say, None if they have rotted; they are in the buffer then."""
        self._device.readblocks(where >> 10, self._view[:HEAD], offset(where))
        return layout.about(self._view, offset(where))

    def _fetch(self, where):
        """The same with its data; None if they have rotted, or were never written."""
        about = self._about(where)
        if not about:
            return None
        count = about[2]
        self._device.readblocks(where >> 10, self._view[HEAD : HEAD + count], offset(where) + HEAD)
        return about if layout.sound(self._view, count) else None

    # Writing

    def _clear(self, where, which):
        self._device.writeblocks(where >> 10, _CLEARED, offset(where) + which)

    def _mark(self, where):
        """Count a record that was dropped."""
        self._marked[(where & 3) * self._sectors + (where >> 10)] += 1

    def _drop(self, i):
        where = self._waiting.places[i]
        about = self._about(where)
        self._clear(where, DROPPED)
        self._mark(where)
        self._remove(i, about)

    def _remove(self, i, about):
        """Take a record out of the index; what its first bytes say is None if they have rotted."""
        sector = self._waiting.places[i] >> 10
        if self._waiting.remove(i, layout.size(about[2] if about else 0)) and sector != self._head:
            self._close(sector)

    def _make_room(self, priority, size):
        """Drop what has to go before a record may wait; whether it may."""
        waiting, above = self._waiting, priority + 1
        if sum(waiting.bytes[above:]) + size > self.capacity or sum(waiting.records[above:]) == waiting.most:
            return False
        while sum(waiting.bytes) + size > self.capacity or waiting.count == waiting.most:
            self._drop(waiting.oldest_of_lowest())
        return True

    def _append(self, kind, priority, data):
        """Write a record, or a tally without data, and take it in. Returns its number."""
        size = layout.size(len(data))
        for _ in range(2 * self._sectors):
            if self._tail + size > SECTOR or not self._free(size):
                self._turn()
                continue
            number = self._next
            layout.put_record(self._view, kind, priority, number, data)
            where = place(self._head, self._tail, priority)
            self._device.writeblocks(self._head, self._view[: HEAD + len(data)], self._tail)
            if self._fetch(where):
                break
            self._load()
        else:
            raise OSError(_EIO)  # the flash does not keep what is written to it
        self._tail += size
        self._next += 1
        if data:
            self._waiting.insert(self._waiting.count, where, size)
        else:
            self._mark(where)
        return number

    def _free(self, size):
        """Whether the next bytes of the head are erased: a torn record may lie there."""
        self._device.readblocks(self._head, self._view[:size], self._tail)
        return layout.erased(self._view[:size])

    def _turn(self):
        """Go on in the next sector: what waits in the one behind it is copied, then it counts."""
        waiting, n, old = self._waiting, self._sectors, self._head
        new = (old + 1) % n
        victim = (new + 1) % n
        self._device.ioctl(6, new)
        at = FIRST
        i = 0
        while i < waiting.count:
            where = waiting.places[i]
            if where >> 10 == victim:
                about = self._fetch(where)
                if not about:
                    self._drop(i)
                    continue
                layout.wait(self._view)
                self._device.writeblocks(new, self._view[: HEAD + about[2]], at)
                where = place(new, at, where & 3)
                if not self._fetch(where):
                    raise OSError(_EIO)
                waiting.moved(i, where)
                at += layout.size(about[2])
            i += 1
        base = [self._base[p] + self._marked[p * n + victim] for p in range(PRIORITIES)]
        self._begin(new, self._epoch + 1, base)
        self._tail = at
        for p in range(PRIORITIES):
            self._marked[p * n + victim] = 0
        if old != victim and not waiting.alive[old]:
            self._close(old)

    def _begin(self, sector, epoch, base):
        """Make a sector the head."""
        raw = layout.put_sector(self._sectors, self.generation, epoch, self._next, base)
        self._device.writeblocks(sector, raw, 0)
        self._head, self._epoch, self._base = sector, epoch, base

    def _close(self, sector):
        """Nothing in a sector waits any more: it need not be looked through again."""
        n = self._sectors
        counts = [self._marked[p * n + sector] for p in range(PRIORITIES)]
        self._device.writeblocks(sector, layout.put_closing(counts), layout.CLOSING)

    def _format(self):
        """Make a new outbox."""
        self.generation = int.from_bytes(os.urandom(2), "little")
        self._next = 1
        self._tail = FIRST
        self._device.ioctl(6, 0)
        self._begin(0, 1, self._base)
