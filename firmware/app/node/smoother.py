"""Decide from a row of model outputs whether a word was said.

    from node.smoother import Smoother
    s = Smoother(classes=4, window=4, threshold=0.8, refractory_ms=1000)
    hit = s.update(model.invoke(features), now_ms)   # None or (class, score 0..255)

The first two classes are always ``_silence_`` and ``_unknown_`` and never fire. The figures come from
the model's manifest, chosen in training on validation data.
"""

from array import array

SILENCE = 0
UNKNOWN = 1
FIRST_WORD = 2


class Smoother:
    """Running average of the class scores over the last ``window`` inferences.

    Args:
        classes: number of classes, the two built-in ones included.
        window: inferences averaged over; no word can fire before that many have been seen.
        threshold: average score, 0..1, at which a word fires.
        refractory_ms: time after a detection in which nothing fires.
    """

    def __init__(self, classes, window, threshold, refractory_ms):
        if classes < FIRST_WORD + 1:
            raise ValueError("a keyword model needs _silence_, _unknown_ and a word")
        if window < 1 or not 0 < threshold <= 1:
            raise ValueError("decision needs window >= 1 and 0 < threshold <= 1")
        self.classes = classes
        self.window = window
        self.refractory_ms = refractory_ms
        # Sums are compared, not averages: no division and no float per inference.
        limit = threshold * window * 255
        self._limit = int(limit) + (limit > int(limit))
        self._history = bytearray(classes * window)
        self._sums = array("H", [0] * classes)
        self._since = None  # ms since the last detection; None when there was none lately
        self._last_ms = 0
        self.clear()

    def clear(self):
        """Forget the scores seen so far (not the refractory time)."""
        history = self._history
        for i in range(len(history)):
            history[i] = 0
        for c in range(self.classes):
            self._sums[c] = 0
        self._row = 0
        self._seen = 0

    def update(self, output, now_ms):
        """Take in one model output.

        Args:
            output: int8 scores, one a class, softmax of scale 1/256 and zero point -128.
            now_ms: time of this inference, ms, rising (wraps are the caller's business).

        Returns:
            ``None``, or ``(class, score)`` with the score averaged over the window, 0..255.
        """
        base = self._row * self.classes
        history = self._history
        sums = self._sums
        best = 0
        for c in range(self.classes):
            score = output[c] + 128
            sums[c] += score - history[base + c]
            history[base + c] = score
            if sums[c] > sums[best]:
                best = c
        self._row = (self._row + 1) % self.window
        if self._seen < self.window:
            self._seen += 1
        if self._since is not None:
            self._since += now_ms - self._last_ms
            if self._since >= self.refractory_ms:
                self._since = None
        self._last_ms = now_ms
        if (
            best < FIRST_WORD
            or self._seen < self.window
            or self._since is not None
            or sums[best] < self._limit
        ):
            return None
        score = sums[best] // self.window
        self.clear()
        self._since = 0
        return best, score

    def quiet(self):
        """True while silence outweighs everything else in the window."""
        sums = self._sums
        for c in range(1, self.classes):
            if sums[c] >= sums[SILENCE]:
                return False
        return True
