"""The whole node beside a real broker, with TLS and certificates: what it hears arrives, whatever happens."""

import pytest

from cicada.tools.twin.sound import Sound
from cicada.tools.twin.world import Network, Steps, World
from support import piped, updates
from support.twins import loud
from support.wholes import DEVICE, WIFI, Whole, commanded, config, moments, place, settle

HIGH = {"filters": [{"match": {"event": "keyword"}, "priority": "high"}]}


@pytest.fixture(scope="module")
def image():
    return updates.firmware(model=piped.loud_words())


@pytest.fixture
def there(tmp_path):
    with place(tmp_path) as found:
        yield found


def test_what_is_heard_arrives_and_the_broker_knows_that_it_sleeps(image, there):
    world = World(Sound([loud(3.0), loud(26.0)], 60), hosts=there.hosts)
    found = config(name="Barn", site="north wall", wifi=WIFI, mqtt=there.mqtt, report=HIGH)
    with there.listen() as listener, Whole(found, world, there.files, image) as node:
        node.rest(44)
        events = settle(listener, "event", 2)
        statuses = settle(listener, "status", 4)
        (health,) = settle(listener, "health", 1)
    node.sound()
    said = node.events("keyword")
    assert [event["word"] for event in said] == ["yes", "yes"]
    assert len(events) == 2 and listener.device == DEVICE
    for number, (event, shown) in enumerate(zip(events, said, strict=True)):
        for name in ("event", "source", "word", "score", "latency_ms"):
            assert event[name] == shown[name]
        assert event["v"] == 1 and event["boot"] == (1, 2)[number] and event["at"] is None
    assert events[0]["id"] != events[1]["id"]
    assert [status["state"] for status in statuses] == ["online", "asleep"] * 2
    assert {status["model"] for status in statuses} == {"kws 1"}
    assert [status["woken_by"] for status in statuses] == ["power on"] * 2 + ["timer"] * 2
    assert statuses[0]["name"] == "Barn" and statuses[0]["site"] == "north wall"
    assert statuses[1]["within_s"] == 86400 + 3600
    assert health["cause"] == "power" and health["resets"]["power"] == 1 and health["boots"] == 1
    assert health["heap_low"] <= health["heap_free"] and health["inferences"] > 50
    # It has told the broker before it slept, and then it really slept.
    asleep = moments(node, "deep sleep for")
    assert len(asleep) >= 2 and node.twin.wakes >= 2
    with there.listen() as late:
        assert late.wait(1, "status")[0]["state"] == "asleep" and late.messages[0][2]


def test_events_outlive_sleeps_and_power_cuts_and_arrive_once(image, there):
    """The network is away for two minutes; the power goes twice, once in the middle of delivering."""
    minutes = Steps([(0, 0), (130_000_000, 1)])
    words = [loud(3.0 + 9 * n) for n in range(50)]
    world = World(Sound(words, 500), network=Network(up=minutes), hosts=there.hosts)
    found = config(wifi=WIFI, mqtt=there.mqtt, report=HIGH, plan={"sleep_s": 2})
    with there.listen() as listener, Whole(found, world, there.files, image) as node:
        node.rest(80)
        node.twin.power_off()
        assert len(node.events("keyword")) >= 3 and not listener.messages
        node.twin.power_on()
        node.when(lambda: len(listener.records()) >= 2, 400)
        node.twin.power_off()
        assert listener.wait(1, "status")
        node.twin.power_on()
        node.rest(40)
        heard = node.events("keyword")
        arrived = settle(listener, "event", len(heard))
        lost = [status["state"] for status in listener.records("status")]
    node.sound()
    assert len(heard) >= 5
    # Each with its own id; one that was on its way when the power went may come again, with the same.
    first = {record["id"]: record for record in reversed(arrived)}
    assert len(first) == len(heard) and len(arrived) <= len(heard) + 4
    order = sorted(first, key=lambda known: int(known.split("-")[1]))
    for known, event in zip(order, heard, strict=True):
        assert event["ms"] <= first[known]["ms"] <= event["ms"] + 20 and first[known]["word"] == "yes"
    assert "lost" in lost and lost[-1] == "asleep"
    (health, *_) = [record for record in listener.records("health")]
    assert health["sessions_failed"] == 0 or health["waiting"] > 0


def test_it_stays_connected_and_is_missed_when_the_power_goes(image, there):
    """Listening without a sleep: events and commands go through an open connection, between words."""
    plan = {"kind": "listen", "quiet_s": 0}
    found = config(wifi=WIFI, mqtt=there.mqtt | {"stay": True}, plan=plan, report=HIGH)
    world = World(Sound([loud(9.0), loud(20.0), loud(40.0)], 90), hosts=there.hosts)
    with there.listen() as listener, Whole(found, world, there.files, image) as node:
        node.rest(15)
        commanded(listener, node, "status")
        node.rest(65)
        events = settle(listener, "event", 3)
        (answer,) = settle(listener, "answer", 1)
        node.twin.power_off()
        statuses = settle(listener, "status", 2)
    node.sound()
    assert [event["word"] for event in events] == ["yes"] * 3 and len(node.events("keyword")) == 3
    assert answer["ok"] and answer["plan"] == "listen" and answer["counter"] == 1001
    assert [status["state"] for status in statuses] == ["online", "lost"]
    assert node.twin.wakes == 0
