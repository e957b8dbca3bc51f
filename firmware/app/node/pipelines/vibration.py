"""Vibration: accelerometer -> features -> what is normal here, or a model -> changes.

Without a model the features themselves, with a model whose output is an embedding that, are compared with
what was normal at this place: the pipeline first learns for ``learn`` windows, kept on flash, then scores how
far a window is from that, in standard deviations. A model with labels says which state it is in instead.
Either way one event is reported for each change. A model of one axis is fed one of the accelerometer's.
"""

import math
import time
from array import array

import nn
from micropython import const

from node.pipelines import fitting
from node.pipelines.decide import Classes, Hysteresis
from node.pipelines.motion import FRAMES

_AXES = const(3)
# Score at which a class begins, and below which it ends, unless the configuration or the manifest says.
_SURE = 0.8
_UNSURE = 0.6
_NEAR = 0.05  # share by which a sensor's rate may differ from a model's: a fifth of a band


class Vibration:
    """One vibration pipeline; see :mod:`node.pipelines` for what the runner uses.

    Args:
        about: ``name``, ``sensor``, ``model`` (a name or None), ``samples``, ``bands``, ``windows``,
            ``threshold``, ``clear``, ``hold``, ``refractory_s``, ``learn``, ``rpm``, ``axis``. With a
            model, ``samples`` and ``bands`` are those of its manifest.
        open_model: by name.
        sensor: its accelerometer, of :mod:`node.drivers`.

    Attributes:
        sensor: its accelerometer's name.
        windows: looked at in this run.

    Raises:
        ValueError: the model is for something else, or for another rate, or needs a speed that is not known.
    """

    def __init__(self, about, open_model, sensor):
        self.name = about["name"]
        self.sensor = about["sensor"]
        self._about = about
        self._model = None
        self._labels = self._classes = self._learned = None
        self._axis = self._alone = None  # which one a model of one axis is fed, and its frames
        self._enough = about["windows"]
        self._levels = None  # with a model of another scale: its features, moved by so many steps
        self._louder = 0
        samples = about["samples"]
        bands = about["bands"]
        axes = _AXES
        envelope = rpm = 0
        if about["model"] is not None:
            manifest, self._model = open_model(about["model"])
            fitting(about, manifest, ("vibration",))
            front = manifest["frontend"]
            samples = front["samples"]
            bands = front["bands"]
            axes = front["axes"]
            if axes == 1:
                self._axis = "xyz".index(about["axis"])
                self._alone = array("h", bytes(2 * FRAMES))
            envelope = front.get("envelope", 0)
            rpm = self._speed(front, sensor.rate_hz)
            if not manifest.get("embedding"):
                self._labels = manifest["labels"]
        self._front = nn.VibrationFrontEnd(samples, bands, axes, envelope)
        if rpm:
            self._front.speed(sensor.rate_hz, rpm)
        if self._model is not None and front.get("counts_per_g"):
            # Spectrum and level are 12 steps for twice the amplitude.
            ratio = front["counts_per_g"] * sensor.g_per_count
            self._louder = round(12 * math.log(ratio) / math.log(2))
            if self._louder:
                self._levels = array("b", self._front.features)
                self._span = len(self._levels) // axes
                self._scaled = bands + 1
        self._samples = samples
        if self._labels:
            decision = manifest.get("decision") or {}
            threshold, clear = about["threshold"], about["clear"]
            if threshold > 1:
                # That of distances from what is normal, which is what the configuration's defaults are for.
                threshold = decision.get("threshold", _SURE)
                clear = decision.get("clear", _UNSURE)
            zero = self._model.output_zero_point
            window = decision.get("window", 1)
            self._classes = Classes(
                len(self._labels), zero, window, threshold, clear, about["hold"], about["refractory_s"]
            )
            # Averages do not outlast deep sleep: one wake looks at as many windows as one decision takes.
            self._enough = max(self._enough, window)
        else:
            from node.pipelines.normal import Normal

            vector = self._front.features if self._model is None else self._model.invoke(self._features())
            self._learned = Normal(self.name, len(vector), about["learn"])
            self._watch()
        self.emit = None
        self.due = False
        self.deadline = 0
        self.quiet = True
        self.heard = self.ran = False
        self.windows = self.longest_ms = self.inferences = 0

    def _speed(self, front, rate_hz):
        """Check a model's front end against the sensor; the speed that its bands follow, 0 if they do not."""
        about = self._about
        wanted = front.get("rate_hz")
        if wanted and abs(rate_hz - wanted) > _NEAR * wanted:
            raise ValueError(
                "pipeline '%s': model '%s' wants %g samples a second, sensor '%s' has %g: set its rate_hz"
                % (self.name, about["model"], wanted, self.sensor, rate_hz)
            )
        if not front.get("orders"):
            return 0
        if not about["rpm"]:
            raise ValueError(
                "pipeline '%s': model '%s' follows the speed of the shaft: give the pipeline its rpm"
                % (self.name, about["model"])
            )
        return about["rpm"]

    def _watch(self):
        """Begin to compare with what is normal."""
        about = self._about
        self._alarm = Hysteresis(about["threshold"], about["clear"], about["hold"], about["refractory_s"])
        self._told = None  # the state that was reported last

    def attach(self, sensor):
        """Begin anew with an accelerometer."""
        self._front.reset()
        self._window_ms = int(self._samples * 1000 / sensor.rate_hz)
        self.due = False
        self.heard = self.ran = False
        self.windows = 0

    @property
    def done(self):
        """It has looked at as many windows as one wake of a "sample" plan is for."""
        return self.windows >= self._enough

    def fed(self, buffer, now):
        """Take in frames; True if a window was completed."""
        if not self.heard:
            for i in range(_AXES, len(buffer)):
                if buffer[i] != buffer[i - _AXES]:
                    self.heard = True
                    break
        if not self._front.feed(buffer if self._alone is None else self._picked(buffer)):
            return False
        self.due = True
        # The next window will lie where this one does.
        self.deadline = time.ticks_add(now, self._window_ms)
        return True

    def _picked(self, buffer):
        """One axis of ``FRAMES`` frames, in memory that is used again."""
        alone = self._alone
        at = self._axis
        for i in range(FRAMES):
            alone[i] = buffer[at]
            at += _AXES
        return alone

    def broken(self):
        """Samples were lost: the window begins anew."""
        self._front.reset()

    def run(self, heard):
        """Look at one window; True if something was reported."""
        self.due = False
        began = time.ticks_ms()
        vector = self._features()
        if self._model is not None:
            vector = self._model.invoke(vector)
            self.inferences += 1
        told = self._classify(vector) if self._classes else self._compare(vector)
        self.longest_ms = max(self.longest_ms, time.ticks_diff(time.ticks_ms(), began))
        self.windows += 1
        self.ran = True
        return told

    def _features(self):
        """Those of the window, as a sensor of the model's scale would have made them."""
        features = self._front.features
        levels = self._levels
        if levels is None:
            return features
        for i in range(len(levels)):
            value = features[i]
            if i % self._span < self._scaled:
                value = max(-128, min(127, value + self._louder))
            levels[i] = value
        return levels

    def _classify(self, scores):
        classes = self._classes
        changed = classes.update(scores, int(time.time()))
        self.quiet = classes.quiet()
        if changed:
            self.emit(
                {
                    "event": "class",
                    "source": self.name,
                    "label": self._labels[classes.current],
                    "score": round(classes.score, 3),
                }
            )
        return changed

    def _compare(self, vector):
        learned = self._learned
        if not learned.ready:
            learned.update(vector)
            self.quiet = True
            return self._tell("learning", 0.0)
        score = learned.score(vector)
        change = self._alarm.update(score, int(time.time()))
        # An anomaly may last for weeks: once it is reported, it must not keep the node awake.
        self.quiet = not self._alarm.pending()
        return self._tell("anomaly" if self._alarm.on else "normal", score, change != 0)

    def _tell(self, state, score, changed=False):
        """Report a state unless it was reported already."""
        if self._told == state and not changed:
            return False
        first = self._told is None
        self._told = state
        if first and state == "normal" and not changed:
            return False  # as it should be, and as it was before this boot for all we know
        self.emit({"event": "anomaly", "source": self.name, "state": state, "score": round(score, 2)})
        return True

    def adapt(self, action, label):
        """As of node.control.Control.adapt.

        Raises:
            ValueError: it learns nothing, or not that.
        """
        if self._learned is None:
            raise ValueError("pipeline '%s' has a model that says what it is: it learns nothing" % self.name)
        answer = self._learned.adapt(action, label)
        if action != "status":
            self._watch()
        return answer

    def close(self):
        """What the runner calls when it ends: what was learned goes to flash, so that it outlasts a sleep."""
        if self._learned:
            self._learned.keep()

    def state(self):
        """What outlasts deep sleep: the state that was reported, and how long it has lasted."""
        if self._classes:
            return self._classes.state()
        told = {None: 0, "learning": 1, "normal": 2, "anomaly": 3}[self._told]
        return self._alarm.state() + bytes((told,))

    def restore(self, data):
        """Go on where :meth:`state` was taken; anything else is ignored."""
        if self._classes:
            self._classes.restore(data)
        elif len(data) == 8 and data[7] < 4 and (data[7] == 3) == (data[0] == 1):
            self._alarm.restore(data[:7])
            self._told = (None, "learning", "normal", "anomaly")[data[7]]
