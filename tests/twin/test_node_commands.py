"""Commands to the whole node, at its console and signed over the network."""

import json
import re

import numpy as np
import pytest

from cicada.tools.node.capture import Capture
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.world import World
from cicada.training.embedding import cut
from cicada.training.pack import pack
from support import piped, updates
from support.twins import QUIET, loud
from support.wholes import DEVICE, WIFI, Whole, commanded, config, moments, place, settle
from support.zoo.model import Model, Quant

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
        assert states[:4] == ["learning", "normal"] * 2 and "anomaly" not in states
        said, heard = captured(node, "capture microphone 500")
        assert said["rate"] == heard.rate == 16000 and heard.form == "s16" and len(heard.data) == 16000
        assert heard.data in world.sound.pcm.tobytes()
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
    """A change that reaches its broker is kept; another is taken back, and the old broker reached at once."""
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
        # Sound over the network; the same envelope again and a stranger's are worth nothing.
        commanded(listener, node, "capture", source="microphone", ms=300)
        again = node.envelope("status")
        for _ in range(2):
            listener.client.publish(f"cicada/{DEVICE}/command", again, qos=1)
        listener.client.publish(f"cicada/{DEVICE}/command", again[:-1] + bytes([again[-1] ^ 1]), qos=1)
        node.until("command refused", 100, count=2)
        node.until("deep sleep for")
        answers = settle(listener, "answer", 4)
    capture = Capture()
    for payload in [payload for name, payload, _ in listener.messages if name == "capture"]:
        capture.message(payload)
    assert capture.complete and len(capture.data) == 2 * 16000 * 300 // 1000
    assert capture.data in world.sound.samples(0, int(node.twin.now * 16000)).tobytes()
    assert [answer["ok"] for answer in answers] == [True] * 4 and answers[2]["id"] == 1003
    assert health["resets"]["hard"] == 0 and health["resets"]["planned"] >= 3 and health["crashes"] == 0
    assert len(moments(node, "uplink: ")) >= 3


def embedding():
    """A keyword model whose output is an embedding, cut out of a classifier of eight bands' loudness."""
    model = Model(tame=True)
    x = model.input((1, 1960), Quant(1 / 128, 0))
    bands = np.arange(1960) % 40 // 5
    step = 1 / 245 / 127
    weights = (bands[None] == np.arange(8)[:, None]).astype(np.int8) * 127
    hidden = model.tensor((1, 8), Quant(1 / 128, -128))
    floor = np.full(8, round(0.6 / (step / 128)), np.int32)
    constants = [model.constant(weights, Quant(step, 0)), model.constant(floor, Quant(step / 128, 0))]
    model.operator("FULLY_CONNECTED", [x, *constants], [hidden], keepNumDims=False, fusedActivationFunction=1)
    logits, out = model.tensor((1, 4), Quant(0.1, 0)), model.tensor((1, 4), Quant(1 / 256, -128))
    last = [
        model.constant(np.ones((4, 8), np.int8), Quant(0.01, 0)),
        model.constant(np.zeros(4, np.int32), Quant(0.01 / 128, 0)),
    ]
    model.operator("FULLY_CONNECTED", [hidden, *last], [logits], keepNumDims=False, fusedActivationFunction=0)
    model.operator("SOFTMAX", [logits], [out], beta=1.0)
    data = pack(cut(model.finish(out))).blob
    decision = {"hop_frames": 5, "window": 2, "threshold": 0.9, "refractory_ms": 1500}
    return piped.boxed(data, "kws", embedding=True, labels=[], frontend=piped.AUDIO, decision=decision)


def call(start, low, high):
    """Half a second of noise in one band, in bursts, that begins at a time."""
    n = 9600
    spectrum = np.fft.rfft(np.random.default_rng(int(start)).normal(0, 1, n))
    hz = np.fft.rfftfreq(n, 1 / 16000)
    noise = np.fft.irfft(spectrum * ((hz > low) & (hz < high)), n)
    bursts = np.sin(np.arange(n) * 2 * np.pi * 6 / 16000) > 0
    return Played(start, (noise / noise.std() * 6000 * bursts).clip(-32000, 32000).astype(np.int16))


def test_words_are_taught_kept_over_a_power_cut_and_forgotten():
    """Three examples of each of two calls; then both are told from each other and from a third."""
    hoots, chirps = (150, 500), (3000, 6000)
    calls = [call(6.0 + 6 * n, *(hoots if n % 2 else chirps)) for n in range(6)]
    calls += [call(50, *hoots), call(55, *chirps), call(60, 900, 1500), call(80, *chirps), call(100, *chirps)]
    found = config(plan={"quiet_s": 0})
    with Whole(found, World(Sound(calls, 120)), image=updates.firmware(model=embedding())) as node:
        node.until("listening")
        for n in range(6):
            node.rest(5.2 + 6 * n - node.twin.now)
            answer = node.ask(f"adapt kws teach {'hoot' if n % 2 else 'chirp'}")
            assert answer["ok"] and answer["for_ms"] == 3000
        node.until("taught 'hoot', example 3")
        assert node.ask("adapt kws status")["examples"] == {"hoot": 3, "chirp": 3}
        node.rest(66 - node.twin.now)
        assert [event["word"] for event in node.events("keyword")] == ["hoot", "chirp"]
        node.twin.power_off()
        node.twin.power_on()
        node.rest(85 - node.twin.now)
        assert [event["word"] for event in node.events("keyword")] == ["hoot", "chirp", "chirp"]
        assert node.ask("adapt kws reset")["examples"] == {}
        node.rest(105 - node.twin.now)
        assert len(node.events("keyword")) == 3
    node.sound()
