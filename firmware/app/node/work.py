"""One run of the pipelines that the configuration names: from opening their models to what came of it."""

import gc

import board
import machine
import nn
from micropython import const

from node import log
from node import memory as m
from node.drivers import SensorError
from node.model import common_arena, open_model
from node.pipelines import make
from node.pipelines.runner import Runner
from node.plan import SAMPLE

_WATCHDOG_MS = const(8000)
_SAMPLE_MS = const(60000)  # after which a sample ends whether there was enough of it or not
_WELL_MS = const(600000)  # of work that never ends, after which crashes before it do not count
_PAUSE_MS = const(1000)  # of quiet, in which a session may begin


class Work:
    """Pipelines, made anew for each run: what they heard before does not count.

    Args:
        app: the node.app.App.

    Attributes:
        runner: the node.pipelines.runner.Runner, while and after it runs.
        heard: whether every sensor has delivered something other than a constant.
        words, mean_score: keywords detected, and the mean of their scores (0..255).
    """

    def __init__(self, app):
        self._app = app
        self._trial_ms = None
        self._sampling = self._sleepless = False
        self._until = None
        self.runner = self._arena = None

    @property
    def heard(self):
        return self.runner is not None and self.runner.heard

    @property
    def words(self):
        return self._sum("words")

    @property
    def mean_score(self):
        return self._sum("score_sum") // max(self.words, 1)

    def _sum(self, attribute):
        found = self.runner.pipelines if self.runner else ()
        return sum([getattr(pipeline, attribute, 0) for pipeline in found])

    def run(self, trial_ms=None):
        """Run until the wake plan says that it is enough, or for ``trial_ms`` in any case.

        Raises:
            OSError: ETIMEDOUT if the microphone's bus stands still.
            ValueError, SensorError: on trial, if a pipeline cannot run; else it is left out and reported.
        """
        app, memory = self._app, self._app.memory
        self._trial_ms = trial_ms
        watchdog = machine.WDT(timeout=_WATCHDOG_MS)
        gc.collect()
        memory.busy = 1
        memory.save()
        self._sampling = trial_ms is None and app.plan.stage(app.why) == SAMPLE
        self._sleepless = app.plan.kind == "listen" and not app.config.data["plan"]["quiet_s"]
        self._until = app.plan.until(app.why)
        pipelines = self._pipelines()
        log.info("listening")
        # Light sleep stops the console, too: only while nobody is expected to type.
        runner = self.runner = Runner(
            pipelines,
            app.sensors,
            self._event,
            app.idle,
            watchdog.feed,
            app.plan.light_ms if self._sampling else 0,
        )
        runner.restore(memory.section(m.PIPELINES))
        hz = machine.freq()
        if app.plan.mhz:
            machine.freq(1_000_000 * app.plan.mhz)
        try:
            runner.run(self._enough)
            memory.busy = memory.strikes = 0
            memory.save()
        finally:
            if app.plan.mhz:
                machine.freq(hz)
            app.health.ran(runner.inferences, runner.busy_ms, runner.longest_ms, runner.lost)

    def state(self):
        """What of the pipelines outlasts deep sleep."""
        return self.runner.state() if self.runner else b""

    def _pipelines(self):
        made = []
        for about in self._app.config.data["pipelines"]:
            try:
                pipeline = make(about, self._model, self._app.sensors, board)
                if pipeline is not None:  # its sensor is missing
                    made.append(pipeline)
            except (SensorError, ValueError, OSError) as error:
                self._wrong("pipeline %s does not run" % about["name"], about["name"], error)
        for about in self._app.config.data["sensors"]:
            try:
                self._app.sensors.find(about["name"])
            except SensorError as error:
                self._wrong("there are no readings", about["name"], error)
        for name, why in self._app.sensors.missing.items():
            log.warn("going on without %s: %s" % (name, why))
        return made

    def _wrong(self, what, source, error):
        """Report what cannot run; on trial, raise it."""
        if self._trial_ms is not None:
            raise error
        log.error("%s: %s" % (what, error))
        self._app.reporter.take({"event": "error", "source": source, "error": str(error)})

    def _model(self, name):
        """``(manifest, nn.Model)`` of a pipeline's model: the updated one, or one that is built in."""
        app = self._app
        if name == app.model_name:
            return app.manifest, app.model
        if self._arena is None and len(self._others()) > 1:
            self._arena = common_arena([nn.builtin(other) for other in self._others()])
        return open_model(nn.builtin(name), self._arena)

    def _others(self):
        """Names of the built-in models: they run one after the other, so one working memory will do."""
        names = set()
        for about in self._app.config.data["pipelines"]:
            names.add(about["model"])
            names.add((about.get("gate") or {}).get("first"))
        names.discard(None)
        names.discard(self._app.model_name)
        return names

    def _enough(self, elapsed_ms, quiet_ms):
        runner = self.runner
        if self._trial_ms is not None:
            return runner.ran and elapsed_ms >= self._trial_ms  # not before the models have run
        if self._app.asked is not None:
            return True
        if self._sampling:
            return self._until(elapsed_ms, quiet_ms) and (runner.done or elapsed_ms >= _SAMPLE_MS)
        if self._sleepless:  # it stops listening for a moment when something is due
            if elapsed_ms >= _WELL_MS:
                self._app.health.well()
            return self._app.pressing and quiet_ms >= _PAUSE_MS
        return self._until(elapsed_ms, quiet_ms)

    def _event(self, record):
        """What a pipeline or a slow sensor has to say."""
        app = self._app
        kind = record.get("event")
        if kind is not None:
            app.memory.events += 1
            shown = {name: record[name] for name in record if name != "event"}
            log.event(kind, app.memory.events, shown)
        app.reporter.take(record)
