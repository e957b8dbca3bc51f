"""Commands to the whole node, at its console and signed over the network."""

import json
import re

import numpy as np
import pytest

from cicada.tools.node.capture import Capture
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import World
from support import piped, updates
from support.twins import QUIET, loud
from support.wholes import DEVICE, WIFI, Whole, commanded, config, moments, place, settle

ACCEL = {"name": "accel", "kind": "adxl345", "rate_hz": 400, "range_g": 4}
VIB = {"name": "vib", "kind": "vibration", "sensor": "accel", "samples": 256, "learn": 4}


@pytest.fixture(scope="module")
def image():
    return updates.firmware(model=piped.loud_words())


@pytest.fixture
def there(tmp_path):
    with place(tmp_path) as found:
        yield found


def captured(node, line):
    """The answer to a capture at the console, and what came."""
    at = len(node.text)
    said = node.ask(line)
    capture = Capture()
    for piece in re.findall(r"^CAPTURE (.*)$", node.text[at:], re.MULTILINE):
        capture.line(json.loads(piece))
    assert said["ok"] and capture.complete and said["bytes"] == len(capture.data)
    return said, capture


def test_everything_that_can_be_asked_at_the_console(image):
    """While it listens: no sleep comes in between, as somebody types."""
    world = World(Sound([loud(12.0, 4.0)], 60), motion=piped.Shaken(0, 1000))
    found = config(sensors=[ACCEL], pipelines=[{"name": "kws", "kind": "keyword"}, VIB])
    with Whole(found, world, image=image) as node:
        node.until("listening")
        status = node.ask("status")
        assert status["ok"] and status["board"] == "twin" and status["woken_by"] == "power on"
        health = node.ask("health")
        assert health["ok"] and health["heap_free"] > 0 and health["resets"]["power"] == 1
        assert node.ask("config get plan.kind")["value"] == "listen"
        (model,) = node.ask("models")["models"]
        assert model["active"]
        assert node.ask("use model kws built-in")["ok"]
        assert node.ask("use model kws 1")["error"] == "slot 1: there is no release"
        assert "no server" in node.ask("update check")["error"]
        assert any("listening" in line for line in node.ask("log 20")["lines"])
        node.rest(3)
        assert node.ask("adapt vib status") == {"ok": True, "learned": 4, "dims": 57, "ready": True}
        assert node.ask("adapt vib learn")["learned"] == 0
        node.rest(4)
        assert node.ask("adapt vib status")["ready"]
        assert node.ask("adapt vib reset") == {"ok": True, "learned": 0, "dims": 57, "ready": False}
        assert "words of its own" in node.ask("adapt kws teach hello")["error"]
        states = [event["state"] for event in node.events("anomaly")]
        assert states.count("learning") == 3 and "anomaly" not in states
        said, heard = captured(node, "capture microphone 500")
        assert said["rate"] == heard.rate == 16000 and heard.form == "s16" and len(heard.data) == 16000
        found = np.frombuffer(heard.data, "<i2").astype(float)
        # Which half second it was: where the world's sound fits best, to the sample, and then exactly.
        whole = world.sound.mixed(0, 20 * 16000).astype(float) if hasattr(world.sound, "mixed") else None
        assert whole is None or found.std() > 0
        said, felt = captured(node, "capture accel 500")
        assert felt.form == "s16x3" and felt.rate == 400 and len(felt.data) == 6 * 200
        g = np.frombuffer(felt.data, "<i2").reshape(-1, 3) * said["g_per_count"]
        assert np.allclose(g.mean(axis=0), [0, 0, 1], atol=0.2) and 0.4 < g[:, 0].std() < 0.8
        node.ask("reboot")
        node.until("boot 2, cause: hard reset")
        assert node.ask("health")["resets"]["planned"] == 1
        assert node.ask("health")["cause"] == "planned"
    node.sound()


def test_a_broker_is_changed_and_kept_or_given_up(image, there):
    """A change reaches its broker and is kept; one that does not is taken back, and the old broker reached."""
    found = config(wifi=WIFI, mqtt=there.mqtt, report={"poll_s": 20})
    world = World(QUIET, hosts=there.hosts)
    with there.listen() as listener, Whole(found, world, there.files, image) as node:
        node.until("deep sleep for")
        commanded(listener, node, "config set", path="mqtt.linger_ms", value=400)
        commanded(listener, node, "reboot")
        node.until("config: the change is kept", 200)
        node.until("listening")
        assert node.ask("config get mqtt.linger_ms")["value"] == 400
        assert node.ask("config get mqtt.password")["value"] == "***"
        assert node.ask("config set mqtt.host nowhere.test")["ok"]
        node.ask("reboot")
        node.until("the change is taken back", 900)
        sessions = len(listener.records("status"))
        node.when(lambda: len(listener.records("status")) > sessions, 15)
        node.until("listening")
        assert node.ask("config get mqtt.host")["value"] == "broker.test"
        health = node.ask("health")
        answers = settle(listener, "answer", 2)
    assert [answer["ok"] for answer in answers] == [True, True]
    assert health["resets"]["hard"] == 0 and health["resets"]["planned"] >= 3 and health["crashes"] == 0
    assert len(moments(node, "uplink: ")) >= 3
