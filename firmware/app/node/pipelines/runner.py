"""One loop for all pipelines: who is waited for, who is drained, whose model runs next.

Sound sets the pace where there is a microphone: a pass begins with the next 32 ms of it. Accelerometers are
drained before their FIFO is full, cameras and slow sensors have their turn by the clock. What a pipeline then
has to decide is done one at a time, the earliest deadline first; before each, FIFOs that would not outlast it
are drained, and sound is taken first if it would get lost meanwhile.

Nothing is allocated in a pass in which nothing is to be reported.
"""

import struct
import time

import machine
from micropython import const

from node import log

_IDLE_MS = const(250)
_COMPLAIN_MS = const(60000)
_STATE = const(1)  # version
_STATE_BYTES = const(512)


class Runner:
    """Runs pipelines until it is told to stop.

    Args:
        pipelines: what :func:`node.pipelines.make` gives.
        sensors: of :mod:`node.sensors`; None without.
        on_event: takes each event and reading, a dict.
        on_idle: called about every 250 ms.
        feed: of the watchdog.
        light_ms: the shortest wait for an accelerometer or the clock that it sleeps lightly in; 0: none.

    Attributes:
        pipelines: as given.
        sound: the node.pipelines.audio.Sound while it runs; None without a microphone.
        lost: how often sound or samples were lost.
        busy_us: time in front ends, buses, models and decisions in this run.
    """

    def __init__(self, pipelines, sensors, on_event, on_idle, feed, light_ms=0):
        self.pipelines = pipelines
        self._sensors = sensors
        self._emit = on_event
        self._idle = on_idle
        self._feed = feed
        self._light_ms = light_ms
        for pipeline in pipelines:
            pipeline.emit = on_event
        self.lost = 0
        self.busy_us = 0
        self._unsaid = 0
        self._said_at = None
        self.sound = None
        self._motions = ()
        self._slow = []

    @property
    def heard(self):
        """Whether every sensor has delivered something other than a constant."""
        return self._all("heard")

    @property
    def ran(self):
        """Whether every pipeline has run its model."""
        return self._all("ran")

    @property
    def done(self):
        """Whether every pipeline has done what one wake of a "sample" plan is for."""
        return self._all("done")

    @property
    def busy_ms(self):
        """Time in front ends, buses, models and decisions in this run."""
        return self.busy_us // 1000

    @property
    def inferences(self):
        """Of all pipelines so far."""
        return sum([p.inferences for p in self.pipelines])

    @property
    def longest_ms(self):
        """The longest that a model has taken."""
        return max([p.longest_ms for p in self.pipelines] or (0,))

    def _all(self, attribute):
        for pipeline in self.pipelines:
            if not getattr(pipeline, attribute):
                return False
        return True

    def run(self, until):
        """Run until ``until(elapsed_ms, quiet_ms)``: since the start, and since a pipeline was not quiet.

        Raises:
            OSError: ETIMEDOUT if the microphone's bus stands still.
            SensorError: a sensor that is not optional does not answer.
        """
        try:
            self._open()
            self._loop(until)
        finally:
            for motion in self._motions:
                motion.close()
            if self.sound is not None:
                self.sound.close()
            for pipeline in self.pipelines:
                pipeline.close()
            self.sound = None
            self._motions = ()

    def _open(self):
        hearing = [p for p in self.pipelines if hasattr(p, "step_ms")]
        moving = [p for p in self.pipelines if hasattr(p, "sensor")]
        for pipeline in self.pipelines:
            if pipeline not in hearing and pipeline not in moving:
                pipeline.attach()
        # What takes its time to open comes before what runs full meanwhile.
        self._slow = []
        if self._sensors is not None:
            for name, every_s in self._sensors.slow():
                self._slow.append([name, max(int(every_s * 1000), 1), time.ticks_ms()])
        if hearing:
            from node.pipelines.audio import Sound

            self.sound = Sound(hearing[0].board, hearing)
        if moving:
            from node.pipelines.motion import Motion

            # One by one, so that those which run are closed if another fails.
            for name in sorted(set([p.sensor for p in moving])):
                users = [p for p in moving if p.sensor == name]
                self._motions += (Motion(name, self._sensors.get(name), users),)

    def _loop(self, until):
        self.busy_us = 0
        elapsed = quiet = 0
        before = idle_at = time.ticks_ms()
        while True:
            turn = self._wait()
            # Of what was heard, not of when it was looked at.
            now = time.ticks_ms() if self.sound is None else self.sound.at
            passed = time.ticks_diff(now, before)
            before = now
            elapsed += passed
            quiet += passed
            self._feed()
            fired = self._decide(now)
            for pipeline in self.pipelines:
                if not pipeline.quiet:
                    quiet = 0
            if fired:
                quiet = -time.ticks_diff(time.ticks_ms(), now)
            if self._slow:
                self._read_slow()
            if self._lost():
                self._complain()
            if time.ticks_diff(time.ticks_ms(), idle_at) >= _IDLE_MS:
                idle_at = time.ticks_ms()
                self._idle()
            if (turn or self.sound is None) and until(elapsed, quiet):
                break

    def _wait(self):
        """Until there is something to do; True if a pipeline's turn has come."""
        turn = self._drain(0)
        if self.sound is not None:
            return self._listen() or turn
        now = time.ticks_ms()
        wait = _IDLE_MS
        for motion in self._motions:
            wait = min(wait, motion.wait_ms(now))
        for pipeline in self.pipelines:
            if pipeline.due:
                wait = 0
            elif not hasattr(pipeline, "sensor"):
                wait = min(wait, time.ticks_diff(pipeline.deadline, now))
        for entry in self._slow:
            wait = min(wait, time.ticks_diff(entry[2], now))
        if wait > 0:
            if self._light_ms and wait >= self._light_ms:
                machine.lightsleep(wait)
            else:
                time.sleep_ms(wait)
            return self._drain(0) or turn
        return turn

    def _listen(self):
        """Wait for the next block of sound; True if a pipeline's turn has come."""
        turn = self.sound.read()
        self.busy_us += self.sound.featuring_us
        return turn

    def _drain(self, ahead_ms):
        """Drain the FIFOs for which it is time, or which would be full in ``ahead_ms``."""
        turn = False
        for motion in self._motions:
            now = time.ticks_ms()
            if motion.wait_ms(now) <= 0 or motion.room(now) < ahead_ms:
                us = time.ticks_us()
                turn = motion.drain(now) or turn
                self.busy_us += time.ticks_diff(time.ticks_us(), us)
                if motion.error is not None:
                    self._emit({"event": "error", "source": motion.name, "error": motion.error})
                    motion.error = None
        return turn

    def _decide(self, heard):
        """Let all decide that have to, the earliest deadline first; True if something was reported."""
        fired = False
        while True:
            first = None
            for pipeline in self.pipelines:
                if pipeline.due and (first is None or time.ticks_diff(pipeline.deadline, first.deadline) < 0):
                    first = pipeline
            if first is None:
                return fired
            self._drain(first.longest_ms)
            sound = self.sound
            if sound is not None:
                now = time.ticks_ms()
                if sound.behind(now) >= 32 and sound.room(now) < first.longest_ms:
                    self._listen()
                    continue  # that may have made another one more urgent
                if hasattr(first, "step_ms"):
                    heard = sound.at
                    sound.check(first.heard)
            us = time.ticks_us()
            fired = first.run(heard) or fired
            self.busy_us += time.ticks_diff(time.ticks_us(), us)

    def _read_slow(self):
        """Read one slow sensor that is due."""
        now = time.ticks_ms()
        for entry in self._slow:
            if time.ticks_diff(now, entry[2]) >= 0:
                entry[2] = time.ticks_add(now, entry[1])
                name = entry[0]
                try:
                    reading = self._sensors.read(name)
                except OSError as error:
                    reading = {"event": "error", "source": name, "error": "it does not answer: %s" % error}
                if reading is not None:
                    self._emit(reading)
                return

    def _lost(self):
        """How often something was lost since it was last reported."""
        sound = self.sound
        if sound is not None:
            if sound.lost:
                self.lost += sound.lost
                self._unsaid += sound.lost
                sound.lost = 0
        for motion in self._motions:
            if motion.lost:
                self.lost += motion.lost
                self._unsaid += motion.lost
                motion.lost = 0
        return self._unsaid

    def _complain(self):
        """Report that something was lost, once a minute at most."""
        now = time.ticks_ms()
        if self._said_at is not None and time.ticks_diff(now, self._said_at) < _COMPLAIN_MS:
            return
        self._said_at = now
        log.warn("what the sensors sent was lost %d times: something took too long" % self._unsaid)
        self._emit({"event": "error", "source": "pipelines", "error": "overrun", "count": self._unsaid})
        self._unsaid = 0

    def state(self):
        """What of the pipelines outlasts deep sleep: at most 512 bytes."""
        data = bytes((_STATE,))
        for pipeline in self.pipelines:
            state = pipeline.state()
            name = pipeline.name.encode()
            if state and len(data) + 2 + len(name) + len(state) <= _STATE_BYTES:
                data += struct.pack("<BB", len(name), len(state)) + name + state
        return data

    def restore(self, data):
        """Go on where :meth:`state` was taken, by pipelines' names; anything else is ignored."""
        if not data or data[0] != _STATE:
            return
        at = 1
        while at + 2 <= len(data):
            size, length = data[at], data[at + 1]
            at += 2
            if at + size + length > len(data):
                return
            for pipeline in self.pipelines:
                if pipeline.name.encode() == data[at : at + size]:
                    pipeline.restore(data[at + size : at + size + length])
            at += size + length
