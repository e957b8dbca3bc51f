"""Decisions over time: scores in, changes out.

A score says something about one window. What is reported is a change that lasts: averaged over some windows,
beyond one threshold to begin and another to end, for a number of windows in a row, and not again too soon.
Times are seconds that go on in deep sleep (``time.time()``); one that lies in the future, because the clock
was set back, counts as now.
"""

import struct
from array import array

_STATE = "<BBBI"
_NEVER = 0


class Hysteresis:
    """Whether something is on: it comes on above ``threshold`` and goes off below ``clear``.

    Args:
        threshold: at which a score counts for on.
        clear: below which it counts for off; not more than ``threshold``.
        hold: scores in a row that it takes, either way.
        refractory_s: time after coming on in which it does not come on again.

    Attributes:
        on: whether it is on.
    """

    def __init__(self, threshold, clear, hold, refractory_s):
        if not clear <= threshold:
            raise ValueError("clear must not be above threshold")
        self.on = False
        self._threshold = threshold
        self._clear = clear
        self._hold = max(1, min(hold, 255))
        self._refractory_s = refractory_s
        self._row = 0  # scores in a row for the other side
        self._last = _NEVER

    def update(self, score, now):
        """Take in a score at ``now`` (s); 1 if it came on, -1 if it went off, else 0."""
        if self.on:
            against = score < self._clear
        else:
            against = score >= self._threshold
        self._row = min(self._row + 1, 255) if against else 0
        if self._row < self._hold:
            return 0
        if self.on:
            self.on = False
            self._row = 0
            return -1
        if self._last != _NEVER:
            if now < self._last:
                self._last = max(now, 1)
            if now - self._last < self._refractory_s:
                return 0
        self.on = True
        self._row = 0
        self._last = max(now, 1)
        return 1

    def pending(self):
        """Whether scores in a row speak for a change that has not come yet."""
        return self._row > 0

    def state(self):
        """7 bytes for :meth:`restore`."""
        return struct.pack(_STATE, self.on, self._row, self._hold, self._last & 0xFFFFFFFF)

    def restore(self, data):
        """Go on where :meth:`state` was taken; anything else is ignored."""
        if len(data) == struct.calcsize(_STATE):
            on, row, hold, last = struct.unpack(_STATE, data)
            if on < 2 and hold == self._hold:
                self.on = bool(on)
                self._row = row
                self._last = last


class Classes:
    """Which class it is, the first of them being the state of rest.

    Scores are averaged over the last ``window`` outputs; nothing is decided before there are as many, so what
    was on before a sleep does not end for lack of them. A class other than rest begins as :class:`Hysteresis`
    says, by its own average; while one is on, no other begins.

    Args:
        classes: how many, at least 2.
        zero: what an output of 0 % is: -128 for int8, 0 for uint8.
        window: outputs averaged over, 1 to 16.
        threshold, clear: of the averaged score, 0..1.
        hold, refractory_s: as of :class:`Hysteresis`.

    Attributes:
        current: the class that is on, 0 for rest.
        score: its averaged score, 0..1; of rest when that is current.
    """

    def __init__(self, classes, zero, window, threshold, clear, hold, refractory_s):
        if classes < 2 or not 1 <= window <= 16:
            raise ValueError("it takes 2 classes and a window of 1 to 16")
        self.current = 0
        self.score = 0.0
        self._classes = classes
        self._zero = zero
        self._window = window
        self._on = Hysteresis(threshold, clear, hold, refractory_s)
        self._history = bytearray(classes * window)
        self._sums = array("H", bytes(2 * classes))
        self._row = self._seen = 0

    def update(self, output, now):
        """Take in a model's output at ``now`` (s); True if the current class has changed."""
        sums = self._sums
        history = self._history
        base = self._row * self._classes
        best = 1
        for c in range(self._classes):
            score = output[c] - self._zero
            sums[c] += score - history[base + c]
            history[base + c] = score
            if c > 1 and sums[c] > sums[best]:
                best = c
        self._row = (self._row + 1) % self._window
        if self._seen < self._window:
            self._seen += 1
            if self._seen < self._window:
                return False
        watched = self.current or best
        score = sums[watched] / (255 * self._window)
        change = self._on.update(score, now)
        if change > 0:
            self.current = best
        elif change < 0:
            self.current = 0
            score = sums[0] / (255 * self._window)
        self.score = score
        return change != 0

    def quiet(self):
        """Whether it has decided, and nothing speaks for a change.

        What lasts and is reported must not keep the node awake.
        """
        return self._seen == self._window and not self._on.pending()

    def state(self):
        """8 bytes for :meth:`restore`; the history is not among them."""
        return self._on.state() + bytes((self.current,))

    def restore(self, data):
        """Go on where :meth:`state` was taken; anything else is ignored."""
        if len(data) == 8 and data[7] < self._classes and (data[7] > 0) == (data[0] > 0):
            self._on.restore(data[:7])
            if self._on.on == (data[7] > 0):
                self.current = data[7]


class Words:
    """Whether the one word of a wake-word model was said: the mean of its last scores reaches a threshold.

    It stands in for :class:`node.smoother.Smoother`, whose models have classes for silence and other words.

    Args:
        zero: what an output of 0 % is: -128 for int8, 0 for uint8.
        window: scores averaged over; nothing is heard before that many have been seen.
        threshold: average, 0..1.
        refractory_ms: time after a detection in which nothing is heard.
    """

    def __init__(self, zero, window, threshold, refractory_ms):
        self._zero = zero
        self._limit = threshold * window * 255
        self._history = bytearray(window)
        self._refractory_ms = refractory_ms
        self._since = None  # ms since the last detection; None when there was none lately
        self._last_ms = 0
        self.clear()

    def clear(self):
        """Forget the scores seen so far (not the refractory time)."""
        for i in range(len(self._history)):
            self._history[i] = 0
        self._sum = self._row = self._seen = 0

    def update(self, output, now_ms):
        """Take in one output; ``None`` or ``(0, score 0..255)``, as the smoother's."""
        history = self._history
        score = output[0] - self._zero
        self._sum += score - history[self._row]
        history[self._row] = score
        self._row = (self._row + 1) % len(history)
        if self._seen < len(history):
            self._seen += 1
        if self._since is not None:
            self._since += now_ms - self._last_ms
            if self._since >= self._refractory_ms:
                self._since = None
        self._last_ms = now_ms
        if self._seen < len(history) or self._since is not None or self._sum < self._limit:
            return None
        score = self._sum // len(history)
        self.clear()
        self._since = 0
        return 0, score

    def quiet(self):
        """True while the mean is below an eighth."""
        return self._sum * 8 < 255 * len(self._history)
