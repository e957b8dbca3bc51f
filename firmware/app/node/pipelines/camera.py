"""Camera: a frame now and then -> model -> changes.

A frame is cropped and scaled to what the model takes. What is reported is a change of the class, the first
label being nothing to report; averaging, threshold and refractory time keep single frames from doing that.
"""

import time

from node.pipelines import fitting
from node.pipelines.decide import Classes


class Camera:
    """One camera pipeline; see :mod:`node.pipelines` for what the runner uses.

    Args:
        about: ``name``, ``model``, ``every_s``, ``threshold``, ``refractory_s``.
        open_model: by name.
        camera: the driver, of :mod:`node.drivers.camera`.

    Raises:
        ValueError: the model is for something else.
    """

    def __init__(self, about, open_model, camera):
        manifest, self._model = open_model(about["model"])
        fitting(about, manifest, ("image",))
        self.name = about["name"]
        self._camera = camera
        front = manifest["frontend"]
        self._labels = manifest["labels"]
        self._width = front["width"]
        self._height = front["height"]
        self._frame = bytearray(self._width * self._height)
        # The manifest may say over how many frames scores are averaged, and how many in a row it takes.
        decision = manifest.get("decision") or {}
        threshold = about["threshold"]
        self._classes = Classes(
            len(self._labels),
            self._model.output_zero_point,
            decision.get("window", 1),
            threshold,
            decision.get("clear", threshold * 0.75),
            decision.get("hold", 1),
            about["refractory_s"],
        )
        self._every_ms = max(int(about["every_s"] * 1000), 1)
        self.emit = None
        self.quiet = True
        self.longest_ms = self.inferences = 0
        self.attach()

    def attach(self):
        """Begin anew: the first frame is due at once."""
        self.deadline = time.ticks_ms()
        self.heard = self.ran = self._failed = False

    @property
    def due(self):
        """Whether it is time for a frame."""
        return time.ticks_diff(time.ticks_ms(), self.deadline) >= 0

    @property
    def done(self):
        """It has looked at a frame."""
        return self.ran

    def run(self, heard):
        """Take a frame and look at it; True if something was reported."""
        began = time.ticks_ms()
        self.deadline = time.ticks_add(began, self._every_ms)
        frame = self._frame
        try:
            self._camera.capture_into(frame, self._width, self._height, signed=True)
        except OSError as error:
            if not self._failed:
                self.emit({"event": "error", "source": self.name, "error": "no frame came: %s" % error})
            self._failed = True
            return False
        self._failed = False
        if not self.heard:
            for pixel in frame:
                if pixel != frame[0]:
                    self.heard = True
                    break
        scores = self._model.invoke(frame)
        self.inferences += 1
        self.ran = True
        changed = self._classes.update(scores, int(time.time()))
        self.quiet = self._classes.quiet()
        self.longest_ms = max(self.longest_ms, time.ticks_diff(time.ticks_ms(), began))
        if changed:
            self.emit(
                {
                    "event": "class",
                    "source": self.name,
                    "label": self._labels[self._classes.current],
                    "score": round(self._classes.score, 3),
                }
            )
        return changed

    def close(self):
        """What the runner calls when it ends; the camera stays on."""

    def state(self):
        """What outlasts deep sleep: the class that was reported."""
        return self._classes.state()

    def restore(self, data):
        """Go on where :meth:`state` was taken; anything else is ignored."""
        self._classes.restore(data)
