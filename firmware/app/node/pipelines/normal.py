"""What is normal at this place, for one pipeline: a baseline that is learned once and kept on flash."""

from node import log
from node.adapt import Baseline, Store


class Normal:
    """A baseline of vectors of ``dims`` values, complete after ``learn`` of them.

    It is kept on flash under the pipeline's name. What was kept of other dimensions is not taken over.
    """

    def __init__(self, name, dims, learn):
        self._baseline = Baseline(dims, minimum=max(learn, 1))
        self._store = Store(name)
        self._unsaved = False
        kept = self._store.load()
        if kept is not None and not self._baseline.restore(kept):
            log.warn("what '%s' has learned is of another front end or model, it learns anew" % name)

    @property
    def ready(self):
        """Whether it has learned enough to compare."""
        return self._baseline.ready

    def update(self, vector):
        """Learn from a vector."""
        self._baseline.update(vector)
        self._unsaved = True

    def keep(self):
        """Put what is new onto flash, which takes some 100 ms."""
        if self._unsaved:
            self._unsaved = False
            try:
                self._store.save(self._baseline.state())
            except OSError as error:
                log.warn("what is normal could not be kept: %s" % error)

    def score(self, vector):
        """How far a vector is from what is normal: about 1 if it is."""
        return self._baseline.score(vector)

    def reset(self):
        """Learn anew."""
        self._baseline.reset()
        self._store.reset()

    def adapt(self, action, label):
        """As of node.control.Control.adapt: what it has learned, and how to make it learn anew."""
        if action == "teach":
            raise ValueError("this pipeline learns what is normal: 'learn' or 'reset'")
        if action != "status":
            self.reset()
        baseline = self._baseline
        return {"ready": baseline.ready, "learned": baseline.count, "dims": baseline.dims}
