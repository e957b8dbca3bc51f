"""One microphone for several audio pipelines, with one front end for all that have the same step.

The front end always runs: its estimate of the noise has to follow the room, whatever gates are closed. A
pipeline that looks at fewer frames than another gets the newest of the common window, and pipelines whose
models must see each frame once get what lies some frames back.
"""

import time

import nn
from micropython import const

from node import log
from node.drivers.microphone import Microphone

_CHANNELS = const(40)
_BLOCK_MS = const(32)
_WAITED_MS = const(2)  # a read that took longer has waited for the sound, so nothing lies behind it


class Sound:
    """The microphone and the front ends of ``pipelines``; it is switched on until ``close``.

    Attributes:
        at: when the newest block was there, ``ticks_ms``.
        lost: how often sound was lost since the last look, because nobody came for it in time.
        featuring_us: time in the front ends for the newest block.
    """

    def __init__(self, board, pipelines):
        self.lost = 0
        self.at = time.ticks_ms()
        self.featuring_us = 0
        steps = []
        for pipeline in pipelines:
            if pipeline.step_ms not in steps:
                steps.append(pipeline.step_ms)
        self._fronts = []
        for step in steps:
            users = [p for p in pipelines if p.step_ms == step]
            front = nn.AudioFrontEnd(step, max([p.kept for p in users]))
            for pipeline in users:
                pipeline.attach(front.window)
            self._fronts.append((front, users))
        self._gained = bytearray(len(steps))
        self._room_ms = board.MICROPHONE["ibuf_ms"]
        self._checked = False
        self._microphone = Microphone(board.MICROPHONE)
        self._edge = time.ticks_ms()  # time of the newest sample that was taken

    def behind(self, now):
        """How many ms of sound wait to be taken."""
        return time.ticks_diff(now, self._edge)

    def room(self, now):
        """In how many ms sound gets lost."""
        return self._room_ms - _BLOCK_MS - self.behind(now)

    def read(self):
        """Wait for the next 32 ms and hand them to the pipelines; True if one of them has had a turn.

        Raises:
            OSError: ETIMEDOUT if the microphone's bus stands still.
        """
        began = time.ticks_ms()
        if self.behind(began) > self._room_ms + _BLOCK_MS:
            self.lost += 1
            self._edge = time.ticks_add(began, -self._room_ms)
        self._microphone.read()
        span = self._microphone.span
        us = time.ticks_us()
        n = 0
        for front, _ in self._fronts:
            self._gained[n] = front.feed(self._microphone.buffer)
            n += 1
        self.featuring_us = time.ticks_diff(time.ticks_us(), us)
        now = self.at = time.ticks_ms()
        self._edge = time.ticks_add(self._edge, _BLOCK_MS)
        if time.ticks_diff(now, began) > _WAITED_MS and self.behind(now) < 2 * _BLOCK_MS:
            self._edge = now
        turn = False
        n = 0
        for _, users in self._fronts:
            for pipeline in users:
                if pipeline.fed(self._gained[n], span, now):
                    turn = True
            n += 1
        return turn

    @property
    def buffer(self):
        """The newest 32 ms, as of the microphone."""
        return self._microphone.buffer

    def check(self, heard):
        """Complain once if the microphone has sent nothing by the time a model runs."""
        if not self._checked:
            self._checked = True
            if not heard:
                log.warn("the microphone sends nothing: check its wiring and board.MICROPHONE")

    def close(self):
        """Switch the microphone off."""
        self._microphone.close()


def views(window, frames, most):
    """Memoryviews of ``frames`` frames of a front end's window: the newest, and those 1 to ``most`` before.

    Made once, as slicing allocates.
    """
    size = frames * _CHANNELS
    if most == 0 and size == len(window):
        return (window,)
    found = []
    for behind in range(most + 1):
        end = len(window) - behind * _CHANNELS
        found.append(window[end - size : end])
    return tuple(found)
