"""The whole node by its wake plans: right wakes, right stages, several pipelines, a rule over them."""

import itertools

import pytest

from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import Steps, World
from support import piped, updates
from support.broker import running
from support.twins import QUIET, loud
from support.uplinks import MQTT, Listener
from support.wholes import WIFI, Whole, config, moments, settle

ACCEL = {"name": "accel", "kind": "adxl345", "rate_hz": 400, "range_g": 4}
AIR = {"name": "air", "kind": "bme280", "every_s": 1}
VIB = {"name": "vib", "kind": "vibration", "sensor": "accel", "samples": 256, "windows": 2, "learn": 8}
HOUR = 3600


@pytest.fixture(scope="module")
def image():
    return updates.firmware(model=piped.loud_words())


@pytest.fixture
def server(tmp_path):
    with running(tmp_path) as found:
        yield found


def plain(server):
    """The section for a broker without TLS, and where that is."""
    return {key: MQTT[key] for key in MQTT if MQTT[key] is not None} | {"ntp": None}, {
        "broker:1883": (server.host, server.port)
    }


def test_a_vibration_plan_samples_on_the_hour_and_raises_an_alarm_with_the_temperature(image, server):
    """Learning over several wakes, an anomaly at the ninth hour, and heat in the same minute."""
    mqtt, hosts = plain(server)
    rule = {
        "name": "overheating",
        "within_s": 60,
        "when": [
            {"event": "anomaly", "source": "vib", "state": "anomaly"},
            {"reading": "air", "field": "temperature_c", "rises": 5, "within_s": 2 * HOUR},
        ],
    }
    found = config(
        wifi=WIFI,
        mqtt=mqtt,
        plan={"kind": "sample", "every_s": HOUR, "for_ms": 1500},
        sensors=[ACCEL, AIR],
        pipelines=[VIB],
        rules=[rule],
        report={"filters": [{"match": {"reading": "air"}, "priority": "drop"}]},
    )
    shaken = 8.5 * HOUR
    world = World(
        QUIET,
        motion=piped.Shaken(shaken, 100 * HOUR),
        temperature=Curve([(0, 21.0), (int((shaken - 1) * 1e6), 21.0), (int(shaken * 1e6), 45.0)]),
        hosts=hosts,
    )
    with Listener(server) as listener, Whole(found, world, image=image) as node:
        node.rest(11 * HOUR)
        print(node.text)
        for m in listener.messages:
            print(m)
        alarms = [record for record in settle(listener, "event", 3) if record["event"] == "alarm"]
    node.sound()
    wakes = moments(node, "cause: deep sleep")
    gaps = [b - a for a, b in itertools.pairwise(wakes)]
    assert len(wakes) == 10 and max(gaps) - min(gaps) < 0.05 and abs(gaps[0] - HOUR) < 0.05
    states = [event["state"] for event in node.events("anomaly")]
    assert states == ["learning", "normal", "anomaly"] or states == ["learning", "anomaly"]
    (alarm,) = node.events("alarm")
    assert len(alarms) == 1 and alarms[0]["source"] == "overheating"
    assert moments(node, '"alarm"')[0] // HOUR == 9


BUTTON, PIR = 0, 4


def test_an_event_plan_answers_motion_with_a_sample_and_the_button_with_a_session(image, server):
    mqtt, hosts = plain(server)
    wake = [{"on": "motion", "sensor": "accel", "threshold_g": 0.4}, {"on": "button"}]
    found = config(
        wifi=WIFI,
        mqtt=mqtt,
        plan={"kind": "event", "every_s": 0, "for_ms": 1500, "wake": wake},
        sensors=[ACCEL],
        pipelines=[VIB | {"learn": 2}],
    )
    world = World(
        QUIET,
        motion=piped.Shaken(100, 101.5),
        levels={BUTTON: Steps([(0, 1), (200_000_000, 0), (200_300_000, 1)])},
        hosts=hosts,
    )
    with Listener(server) as listener, Whole(found, world, image=image) as node:
        node.rest(300)
        statuses = settle(listener, "status", 6)
    node.sound()
    assert [
        line.split("woken by ")[1].split(",")[0] for _, line in node.twin.lines if "woken by" in line
    ] == [
        "motion",
        "button",
    ]
    listening = moments(node, "listening")
    assert len(listening) == 2 and 100 < listening[1] < 103
    assert [status["woken_by"] for status in statuses][-2:] == ["button"] * 2
    assert len(moments(node, "deep sleep")) >= 3


def test_a_sensor_that_is_missing_costs_its_pipeline_only(image, server):
    """An optional one is gone quietly; one that is not is told; sound and warmth go on."""
    mqtt, hosts = plain(server)
    lost = [
        ACCEL | {"name": "gone", "kind": "mpu6050", "address": 0x68, "interrupt": 39},
        {"name": "roof", "kind": "ds18b20", "pin": 4, "optional": True, "every_s": 2},
    ]
    found = config(
        wifi=WIFI,
        mqtt=mqtt,
        sensors=[*lost, AIR, {"name": "cellar", "kind": "ds18b20", "pin": 5}],
        pipelines=[VIB | {"sensor": "gone"}, {"name": "kws", "kind": "keyword"}],
        report={"batch": 1},
    )
    world = World(Sound([loud(4.0)], 20), hosts=hosts)
    with Listener(server) as listener, Whole(found, world, image=image) as node:
        node.until("deep sleep for", 60)
        events = settle(listener, "event", 2)
        readings = settle(listener, "reading", 1)
        status = listener.records("status")[0]
    node.sound()
    errors = [event for event in events if event["event"] == "error"]
    assert [event["source"] for event in errors] == ["vib", "cellar"] and "gone" in errors[0]["error"]
    assert [event["word"] for event in events if event["event"] == "keyword"] == ["yes"]
    assert {reading["source"] for reading in readings} == {"air"}
    assert all(reading["temperature_c"] == pytest.approx(25, abs=0.5) for reading in readings)
    assert status["missing"] == ["cellar", "gone", "roof"]


def test_a_node_that_never_sleeps_tells_how_it_is_without_an_event(image, server):
    """It stops listening for a moment when something is due; with a connection that stays, for health."""
    mqtt, hosts = plain(server)
    report = {"health_s": 60, "every_s": 60, "poll_s": 45}
    for stay, runs in ((False, 8), (True, 4)):
        found = config(wifi=WIFI, mqtt=mqtt | {"stay": stay}, plan={"quiet_s": 0}, report=report)
        with Listener(server) as listener, Whole(found, World(QUIET, hosts=hosts), image=image) as node:
            node.rest(140)
            health = settle(listener, "health", 2)
        node.sound()
        assert 2 <= len(health) <= 4 and node.twin.wakes == 0
        assert 2 <= len(moments(node, "listening")) <= runs
        assert health[-1]["awake_s"] >= 60
