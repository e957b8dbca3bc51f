"""Keyword: microphone -> features -> gate -> model -> decision.

The cascade saves work in two steps. The level gate lets models run only while a block of 32 ms was louder
than ``level_dbfs`` (its peak-to-peak span against full scale) within the last ``hold_ms``. Behind it a small
first model may decide, ``hold_ms`` at a time, whether the keyword model runs. The very first inference is
never gated: a model that cannot run should be noticed.

Where a model's hop is as long as its window (streaming models), it is given every frame once, in order; other
models see the newest window.
"""

import time

import machine
from micropython import const

from node import log
from node.pipelines import fitting
from node.pipelines.audio import views
from node.pipelines.decide import Words
from node.smoother import FIRST_WORD, Smoother

# After a reset the front end's noise estimate starts from nothing and everything sounds loud.
_SETTLE_FRAMES = const(25)
_BEHIND_MS = const(240)  # of frames kept for a streaming model that comes late


class Keyword:
    """One keyword model and its gate; see :mod:`node.pipelines` for what the runner uses.

    Args:
        about: ``name``, ``model``, ``gate``: None or ``level_dbfs``, ``hold_ms``, ``first`` (a model's name).
        open_model: by name.
        board: has ``LED`` and ``MICROPHONE``.

    Attributes:
        step_ms, kept: of the front end, and the frames that it must keep.
        words, score_sum: detections so far, and the sum of their scores (0..255).
        skipped: hops at which the gate was closed, or the first model found nothing.

    Raises:
        ValueError: the models do not fit each other.
    """

    def __init__(self, about, open_model, board):
        manifest, self._model = open_model(about["model"])
        fitting(about, manifest, ("kws",))
        self.name = about["name"]
        self.board = board
        front = manifest["frontend"]
        decision = manifest["decision"]
        self._labels = manifest.get("labels")
        self._taught = None
        self.step_ms = front["step_ms"]
        self._frames = front["frames"]
        self._hop = decision["hop_frames"]
        self._late = _BEHIND_MS // self.step_ms if self._hop == self._frames else 0
        self.kept = min(self._frames + self._late, 255)
        self._late = self.kept - self._frames
        if manifest.get("embedding"):
            from node.pipelines.taught import Taught

            dims = 1
            for size in self._model.output_shape:
                dims *= size
            self._smoother = self._taught = Taught(self.name, self._model.output_zero_point, dims, decision)
            self._labels = self._taught.names
        elif len(self._labels) > FIRST_WORD:
            self._smoother = Smoother(
                len(self._labels), decision["window"], decision["threshold"], decision["refractory_ms"]
            )
        else:
            zero = self._model.output_zero_point
            self._smoother = Words(zero, decision["window"], decision["threshold"], decision["refractory_ms"])
        self._gate(about, open_model)
        self._led = machine.Pin(board.LED, machine.Pin.OUT, value=0)
        self.emit = None
        self.deadline = 0
        self.longest_ms = self.inferences = self.skipped = 0
        self.words = self.score_sum = 0
        self._window = None

    def _gate(self, about, open_model):
        """Prepare the cascade."""
        gate = about.get("gate")
        self._first = None
        self._limit = -1  # span of a block from which on the gate is open; always
        self._hold_ms = 0
        if not gate:
            return
        level = gate.get("level_dbfs")
        if level is not None:
            self._limit = int(65535 * 10 ** (level / 20))
        self._hold_ms = gate.get("hold_ms", 1500)
        if gate.get("first"):
            manifest, self._first = open_model(gate["first"])
            fitting(about, manifest, ("vad", "kws"))
            front = manifest["frontend"]
            if front["step_ms"] != self.step_ms:
                raise ValueError(
                    "pipeline '%s': models '%s' and '%s' want other steps of the front end"
                    % (self.name, about["model"], gate["first"])
                )
            self._first_frames = front["frames"]
            self.kept = max(self.kept, self._first_frames)

    def attach(self, window):
        """Begin anew with a front end's window of at least ``kept`` frames."""
        self._window = views(window, self._frames, self._late)
        if self._first:
            self._first_window = views(window, self._first_frames, 0)[0]
        # The window must be full of heard audio before the model's word counts.
        self._missing = self._frames + self._late + _SETTLE_FRAMES
        self._fresh = 0  # frames that the model has not seen
        self._loud_at = self._voice_at = (
            None  # when the gate, and the first model, last let something through
        )
        self._passing = True  # the last hop was let through
        self.due = False
        self.quiet = False
        self.heard = self.ran = False
        self._smoother.clear()

    @property
    def done(self):
        """The model has run at least once."""
        return self.ran

    def fed(self, gained, span, now):
        """The front end gained frames of a block with this span; True when a hop was completed."""
        self.quiet = True  # of what was heard last
        if span > 0:
            self.heard = True
        if span >= self._limit:
            self._loud_at = now
        self._fresh += gained
        if self._fresh < self._hop:
            return False
        if self._missing > 0:
            self._missing -= self._fresh
            self._fresh = 0
            self.quiet = False
            return False
        if not self.due:
            self.due = True
            # Before it is due again.
            self.deadline = time.ticks_add(now, self._hop * self.step_ms)
        return True

    def run(self, heard):
        """Look at one hop; True if a word was heard."""
        if self.ran and not (self._taught and self._taught.teaching) and not self._open(heard):
            return self._skip()
        if not self._passing:
            self._passing = True
            if self._late:
                # Its state is of before the pause, and what was heard just now belongs to the word.
                self._model.state_reset()
                self._fresh = self._hop + self._late
        self._fresh -= self._hop
        behind = self._fresh
        if self._late == 0:
            behind = 0
            self.due = False
        else:
            if behind > self._late:  # older frames are gone
                behind = self._fresh = self._late
            self.due = behind >= self._hop
        began = time.ticks_ms()
        output = self._model.invoke(self._window[behind])
        self._count(began)
        self.ran = True
        if self._taught is None:
            hit = self._smoother.update(output, heard)
        else:
            hit = self._taught.update(output, self._window[behind], heard)
        if hit is None:
            self.quiet = self._smoother.quiet()
            if not self.quiet:
                self._led.value(0)
            return False
        now = time.ticks_ms()
        self._led.value(1)
        self.quiet = False
        self._detected(self._labels[hit[0]], hit[1], time.ticks_diff(now, heard))
        return True

    def _open(self, heard):
        """Whether the cascade lets the keyword model run."""
        if self._limit >= 0:
            if self._loud_at is None or time.ticks_diff(heard, self._loud_at) > self._hold_ms:
                self._loud_at = None  # ticks wrap
                return False
        if self._first is None:
            return True
        began = time.ticks_ms()
        output = self._first.invoke(self._first_window)
        self._count(began)
        best = 0
        for c in range(1, len(output)):
            if output[c] > output[best]:
                best = c
        if best:
            self._voice_at = heard
        elif self._voice_at is not None and time.ticks_diff(heard, self._voice_at) > self._hold_ms:
            self._voice_at = None
        return self._voice_at is not None

    def _skip(self):
        """Let a hop go by."""
        self.skipped += 1
        self.due = False
        self._fresh %= self._hop
        if self._passing:
            self._passing = False
            self._smoother.clear()
            self._led.value(0)
        self.quiet = True
        return False

    def _count(self, began):
        self.inferences += 1
        self.longest_ms = max(self.longest_ms, time.ticks_diff(time.ticks_ms(), began))

    def _detected(self, word, score, latency):
        # In the event the score is in whole percent: floats print differently from port to port.
        self.words += 1
        self.score_sum += score
        log.info('heard "%s"  score %.2f  latency %d ms' % (word, score / 255, latency))
        self.emit(
            {
                "event": "keyword",
                "source": self.name,
                "word": word,
                "score": score * 100 // 255,
                "latency_ms": latency,
            }
        )

    def close(self):
        """What the runner calls when it ends."""
        self._led.value(0)

    def adapt(self, action, label):
        """As of node.control.Control.adapt: words that are taught, if the model's output is an embedding.

        Raises:
            ValueError: it is not, or it cannot learn like that.
        """
        if self._taught is None:
            raise ValueError("pipeline '%s' has a model with words of its own" % self.name)
        return self._taught.adapt(action, label)

    def state(self):
        """Nothing of it outlasts a sleep."""
        return b""

    def restore(self, data):
        """Nothing to go on with."""
