"""Words that were taught at this place, by a few examples each, over a model whose output is an embedding.

taught = Taught("kws", model.output_zero_point, 64, decision)
taught.teach("hello")           # the loudest window of the next three seconds becomes an example
hit = taught.update(output, window, now)    # (index in taught.names, score) or None

A taught word counts from its third example on (node.adapt.Prototypes). What was taught is kept on flash.
"""

import time

from micropython import const

from node import log
from node.adapt import Prototypes, Store

_WORDS = const(8)
_TEACH_MS = const(3000)


class Taught:
    """The words of one pipeline; takes the place of a smoother.

    Args:
        name: of the pipeline, under which the words are kept.
        zero: the model's ``output_zero_point``.
        dims: values of its output.
        decision: of the manifest: ``window``, windows in a row that must agree; ``threshold``, the least
            cosine; ``refractory_ms``.

    Attributes:
        names: the words that were reported, for the indices that ``update`` gives.
    """

    def __init__(self, name, zero, dims, decision):
        self.names = []
        self._known = Prototypes(dims, _WORDS, zero, decision["threshold"])
        self._store = Store(name)
        self._row_least = decision["window"]
        self._refractory_ms = decision["refractory_ms"]
        self._label = self._began = self._last_at = None
        self._best = bytearray(dims)
        self._loudest = None
        kept = self._store.load()
        if kept is not None and not self._known.restore(kept):
            log.warn("what '%s' was taught is of another model, it has to be taught anew" % name)
        self._any = bool(self._known.examples())
        self.clear()

    @property
    def teaching(self):
        """Whether an example is awaited."""
        return self._label is not None

    def teach(self, label):
        """Let the loudest window of the next seconds be an example of ``label``."""
        self._label = label
        self._began = self._loudest = None

    def update(self, output, window, now):
        """Take in an embedding and the features it is of; ``(index, score 0..255)`` if a word was heard."""
        if self._label is not None:
            self._listen(output, window, now)
            return None
        if not self._any or self._resting(now):
            return None
        name, similarity = self._known.classify(output)
        self._row = self._row + 1 if name is not None and name == self._name else int(name is not None)
        self._name = name
        if self._row < self._row_least:
            return None
        self._last_at = now
        self.clear()
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name), min(int(similarity * 255), 255)

    def _resting(self, now):
        if self._last_at is not None and time.ticks_diff(now, self._last_at) >= self._refractory_ms:
            self._last_at = None  # ticks wrap
        return self._last_at is not None

    def _listen(self, output, window, now):
        if self._began is None:
            self._began = now
        loud = sum(window)
        if self._loudest is None or loud > self._loudest:
            self._loudest = loud
            for i in range(len(output)):
                self._best[i] = output[i] & 255
        if time.ticks_diff(now, self._began) < _TEACH_MS:
            return
        label, self._label = self._label, None
        try:
            count = self._known.add(label, memoryview(_signed(self._best)))
            self._store.save(self._known.state())
            self._any = True
            log.info("taught '%s', example %d" % (label, count))
        except (ValueError, OSError) as error:
            log.error("could not be taught '%s': %s" % (label, error))

    def quiet(self):
        """Whether neither a word nor an example is under way."""
        return self._row == 0 and self._label is None

    def clear(self):
        """What was heard before does not count."""
        self._row = 0
        self._name = None

    def adapt(self, action, label):
        """As of node.control.Control.adapt.

        Raises:
            ValueError: it cannot learn like that.
        """
        if action == "learn":
            raise ValueError("words are taught: adapt NAME teach LABEL")
        if action == "teach":
            self.teach(label)
            return {"teaching": label, "for_ms": _TEACH_MS}
        if action == "reset":
            self._known.reset()
            self._store.reset()
            self._any = False
            self._label = None
            self.clear()
        return {"examples": self._known.examples()}


def _signed(data):
    from array import array

    return array("b", data)
