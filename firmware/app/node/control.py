"""What commands do to the node, from the console or over the network: see node.commands."""

import time
from array import array

import board
import machine
from micropython import const

from node import VERSION, log
from node.drivers import SensorError

_RATE = const(16000)  # of the microphone, Hz
_FRAME = const(6)  # bytes of an accelerometer's
_PICTURE = const(96)  # pixels each way
_WAIT_MS = const(60000)
#: Values of the sensors that are read by the clock.
_VALUES = {"bme280": ("temperature_c", "humidity_percent", "pressure_hpa"), "ds18b20": ("temperature_c",)}


class Control:
    """The node as node.commands.Commands wants it.

    Args:
        app: the node.app.App.
    """

    def __init__(self, app):
        self._app = app
        self._serial = None

    @property
    def config(self):
        """The node.config.Config."""
        return self._app.config

    def status(self):
        """What it is and what it does: dict, also the retained status at the broker."""
        app = self._app
        data = app.config.data
        found = {
            "name": data["name"],
            "site": data["site"],
            "board": board.NAME,
            "version": VERSION,
            "plan": app.plan.kind,
            "woken_by": app.woken_by,
            "boots": app.memory.boots,
            "events": app.memory.events,
            "safe": app.safe,
            "on_trial": app.updates.on_trial,
            "config_on_trial": app.config.on_trial,
        }
        if app.manifest:
            found["model"] = app.manifest["name"] + " " + app.manifest["version"]
        if app.health.mv is not None:
            found["battery_mv"] = app.health.mv
        if app.sensors.missing:
            found["missing"] = sorted(app.sensors.missing)
        found.update(app.reporter.link_figures())
        return found

    def health(self):
        """How it is: dict, as in a health record."""
        return self._app.reporter.health_record()

    def about(self):
        """What node.net.discovery tells about this node."""
        app = self._app
        data = app.config.data
        found = {
            "name": data["name"] or "Cicada",
            "model": board.TITLE,
            "version": VERSION,
            "readings": {},
            "words": {},
            "anomalies": [],
            "alarms": [rule["name"] for rule in data["rules"]],
            "health": ["battery_mv", "rssi", "heap_low", "duty_percent", "waiting", "crashes"],
        }
        for sensor in data["sensors"]:
            values = _VALUES.get(sensor["kind"])
            if values:
                found["readings"][sensor["name"]] = values
        for pipeline in data["pipelines"]:
            if pipeline["kind"] == "vibration":
                found["anomalies"].append(pipeline["name"])
            elif pipeline["model"] == app.model_name and app.manifest:
                labels = [label for label in app.manifest.get("labels", ()) if not label.startswith("_")]
                found["words"][pipeline["name"]] = labels
        return found

    # Models and updates

    def models(self):
        """Models that could run: list of dicts."""
        return self._app.updates.models()

    def use_model(self, name, slot):
        """Let another model run from the next start on; ValueError if there is none.

        Args:
            name: of the model.
            slot: "0", "1" or "built-in".
        """
        self._app.updates.use_model(name, slot)
        return {"active": "from the next start on; 'reboot' is one"}

    def check_updates(self):
        """Look for updates when the answer is out."""
        if not self.config.data.get("updates"):
            raise ValueError('no server is configured: set "updates" first')
        self.request("update")
        return {"looking": True}

    # Sensors

    def capture(self, source, ms, sink):
        """Send raw samples of a sensor, or a picture.

        Args:
            source: "microphone", "camera", or the name of an accelerometer.
            ms: how long.
            sink: node.commands.capture.Sink.

        Raises:
            ValueError: there is no such source, or not enough memory for so long: all of it has to fit, as no
                way out of here is as fast as sound.
        """
        if source == "microphone":
            return self._sound(ms, sink)
        if source == "camera":
            return self._picture(sink)
        return self._motion(source, ms, sink)

    def _sound(self, ms, sink):
        data = _room(2 * _RATE * ms // 1000)
        work = self._app.work
        shared = work.runner.sound if work and work.runner else None
        microphone = shared
        if shared is None:
            from node.drivers.microphone import Microphone

            microphone = Microphone(board.MICROPHONE)
        try:
            at = 0
            while at < len(data):
                microphone.read()
                part = memoryview(microphone.buffer)[: len(data) - at]
                data[at : at + len(part)] = part
                at += len(part)
        finally:
            if shared is None:
                microphone.close()
        sink.write(data, "s16", _RATE, True)
        return {"form": "s16", "rate": _RATE}

    def _motion(self, name, ms, sink):
        try:
            sensor = self._app.sensors.get(name)
        except SensorError as error:
            raise ValueError(str(error))
        if sensor is None or not hasattr(sensor, "read_into"):
            raise ValueError("there is no source '%s': microphone, camera or an accelerometer's name" % name)
        rate = int(sensor.rate_hz)
        frames = max(rate * ms // 1000, 1)
        _room(_FRAME * frames)
        data = array("h", bytes(_FRAME * frames))
        sensor.start()
        at, since = 0, time.ticks_ms()
        while at < frames and time.ticks_diff(time.ticks_ms(), since) < ms + _WAIT_MS:
            at += sensor.read_into(data, at)
            if sensor.overrun:
                raise ValueError("samples were lost: take a lower rate_hz")
            time.sleep_ms(1)
        sink.write(memoryview(data)[: 3 * at], "s16x3", rate, True)
        return {"form": "s16x3", "rate": rate, "g_per_count": sensor.g_per_count}

    def _picture(self, sink):
        from node.drivers.camera import Camera

        data = _room(_PICTURE * _PICTURE)
        try:
            camera = Camera(board)
        except SensorError as error:
            raise ValueError(str(error))
        try:
            camera.capture_into(data, _PICTURE, _PICTURE, signed=False)
        finally:
            camera.deinit()
        sink.write(data, "grey8", _PICTURE, True)
        return {"form": "grey8", "width": _PICTURE, "height": _PICTURE}

    def adapt(self, name, action, label):
        """What a pipeline has learnt at this place.

        Args:
            name: of the pipeline.
            action: "status", "reset" (forget), "learn" (begin anew), or "teach".
            label: for "teach".
        """
        work = self._app.work
        for pipeline in work.runner.pipelines if work and work.runner else ():
            if pipeline.name == name and hasattr(pipeline, "adapt"):
                return pipeline.adapt(action, label)
        raise ValueError("no pipeline '%s' that adapts runs now" % name)

    # Network

    def publish(self, topic, data):
        """Send something that is no record, while there is a connection."""
        self._app.reporter.uplink.send(topic, data)

    def provision(self, settings):
        """Set the node up over the console: node.provision.serial."""
        if self._serial is None:
            from node.provision.serial import Serial

            self._serial = Serial(self.config, machine.WDT(timeout=_WAIT_MS).feed)
        answer = self._serial.act(settings)
        if not answer.pop("ok"):
            raise ValueError(answer["error"])
        return answer

    def request(self, what):
        """Do something when the answer is out: "reboot", "reload", "update", "setup" or "factory"."""
        log.info("asked for: %s" % what)
        self._app.asked = what


def _room(count):
    """A buffer; ValueError if there is no memory for it."""
    try:
        return bytearray(count)
    except MemoryError:
        import gc

        raise ValueError("%d bytes do not fit into memory: %d are free" % (count, gc.mem_free()))
