"""Sessions of a node on the twin with a real broker."""

import json
import re
import threading
import time

import jinja2
import pytest

from support import broker
from support.uplinks import Listener, begin, results, run, start


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "broker"
    folder.mkdir()
    keep = ("persistence true", f"persistence_location {folder}/", "autosave_interval 0")
    with broker.running(folder, settings=keep) as running:
        yield running


def hosts(server):
    return {"broker:1883": (server.host, server.port)}


def test_records_arrive_in_order_under_their_ids_between_two_statuses(tmp_path, server):
    code = begin() + (
        "fill(11, 600)\nuplink = make(MQTT)\n"
        "print('due ->', uplink.due(int(time.time())))\n"
        "print('reached ->', uplink.session(200), uplink.last_error, uplink.delivered, box.pending())\n"
        "print('due again ->', uplink.due(int(time.time())))\n"
        "print('radio ->', uplink.radio_ms, hooks.fed, uplink.connected)\n"
    )
    with Listener(server) as listener:
        said = run(code, tmp_path, hosts(server))
        found = listener.wait(11)
        statuses = listener.records("status")
    assert said["due"] == "True" and said["reached"] == "True  11 0" and said["due again"] == "False"
    assert [record["n"] for record in found] == list(range(11))
    assert [record["id"] for record in found] == [f"beef-{n}" for n in range(1, 12)]
    assert all(record["v"] == 1 and record["event"] == "n" for record in found)
    assert statuses[0] == {"v": 1, "state": "online", "site": "barn"}
    assert statuses[1] == {"v": 1, "state": "asleep", "site": "barn", "next": None, "within_s": 90000}
    radio, fed, connected = said["radio"].split()
    assert 800 < int(radio) < 6000 and int(fed) > 10 and connected == "False"
    # The last status waits for whoever comes later.
    with Listener(server) as late:
        assert late.wait(1, "status")[0]["state"] == "asleep"
        assert late.messages[0][2]


def test_when_it_is_due(tmp_path):
    code = begin() + (
        "report = dict(REPORT, batch=3, every_s=600, poll_s=0)\n"
        "def ask(name, last, count=0, priority=records.NORMAL, now=100000, **more):\n"
        "    uplink = make(dict(MQTT, stay=more.pop('stay', False)), dict(report, **more))\n"
        "    uplink._last = last; box.all.clear(); fill(count, 0, priority)\n"
        "    print(name, '->', uplink.due(now))\n"
        "ask('first of all', 0)\n"
        "ask('nothing', 1)\n"
        "ask('nothing for long, asks for commands', 90000, poll_s=10000)\n"
        "ask('asked a moment ago', 90001, poll_s=10000)\n"
        "ask('one', 99500, 1)\n"
        "ask('one for long', 99400, 1)\n"
        "ask('a batch', 99999, 3)\n"
        "ask('important', 99999, 1, records.HIGH)\n"
        "ask('low', 99999, 2, records.LOW)\n"
        "ask('clock went back', 100001)\n"
        "ask('stay', 99999, stay=True)\n"
    )
    said = run(code, tmp_path, {})
    assert {name for name, text in said.items() if text == "True"} == {
        "first of all",
        "nothing for long, asks for commands",
        "one for long",
        "a batch",
        "important",
        "clock went back",
        "stay",
    }
    assert len(said) == 11


def test_an_outbox_on_flash_survives_a_power_cut_in_the_middle(tmp_path, server):
    code = begin() + (
        "from esp32 import Partition\nfrom node.outbox import Outbox\n"
        "box = Outbox(Partition.find(Partition.TYPE_DATA, label='outbox')[0])\n"
        "try: open('/filled').close()\n"
        "except OSError:\n"
        "    fill(60, 200); open('/filled', 'w').close()\n"
        "print('waiting', box.pending()); uplink = make(MQTT)\n"
        "print('session ->', uplink.session(100), box.pending(), uplink.delivered)\n"
        "print('end')\nmachine.deepsleep()\n"
    )
    twin = start(code, tmp_path, hosts(server))
    with Listener(server) as listener:
        try:
            for count in (7, 33):
                twin.power_on()
                assert twin.run_until(lambda: len(listener.records()) >= count, 300), twin.text  # noqa: B023
                twin.power_off()
            twin.power_on()
            assert twin.run_until(lambda: "\nend" in twin.text, 300), twin.text
        finally:
            twin.power_off()
        found = listener.wait(60)
    waiting = [int(n) for n in re.findall(r"waiting (\d+)", twin.text)]
    assert waiting[0] == 60 > waiting[1] > waiting[2] > 0
    reached, left, delivered = results(twin)["session"].split()
    assert (reached, left, delivered) == ("True", "0", str(waiting[2]))
    # A record may come twice, with the same id; none is missing, and each is itself.
    assert sorted({record["id"]: record["n"] for record in found}.values()) == list(range(60))
    assert len({record["id"] for record in found}) == 60


def test_commands_that_were_sent_while_it_slept_arrive_and_are_answered(tmp_path, server):
    code = begin() + "uplink = make(MQTT)\nuplink.session(100)\nprint('first ->', hooks.heard)\n"
    said = run(code, tmp_path, hosts(server))
    assert said["first"] == "[]"
    device = re.search(r"as cicada([0-9a-f]{12})", server.log.read_text()).group(1)
    for n in range(7):
        server.publish(f"cicada/{device}/command", b"command" * (n + 1), retain=False)
    code = begin() + (
        "uplink = make(MQTT)\nprint('session ->', uplink.session(200), box.pending(), len(hooks.heard))\n"
        "print('heard ->', [len(c) // 7 for c in hooks.heard])\n"
        "uplink.session(200)\nprint('again ->', len(hooks.heard))\n"
    )
    with Listener(server) as listener:
        said = run(code, tmp_path, hosts(server))
        answers = listener.wait(7, "answer")
    assert said["session"] == "True 0 7" and said["heard"] == "[1, 2, 3, 4, 5, 6, 7]" and said["again"] == "7"
    assert [answer["answer"] for answer in answers] == [7 * (n + 1) for n in range(7)]
    assert [answer["id"] for answer in answers] == [f"beef-{n}" for n in range(1, 8)]


def test_a_flood_of_messages_costs_neither_records_nor_commands(tmp_path, server):
    """The broker keeps what a session does not take."""
    code = begin() + (
        "heard, many = bytearray(500), 0\n"
        "def command(data):\n"
        "    global many\n"
        "    many += 1; heard[int(data)] += 1\n"
        "hooks.command = command\n"
        "uplink = make(MQTT)\nuplink.session(0)\nprint('ready')\ntime.sleep(1)\n"
        "counts, took = [], 0\n"
        "for _ in range(10):\n"
        "    fill(10); began = time.ticks_ms(); before = many; uplink.session(300)\n"
        "    counts.append(many - before)\n"
        "    took = max(took, time.ticks_diff(time.ticks_ms(), began))\n"
        "print('counts ->', counts, heard == b'\\1' * 500)\n"
        "print('rest ->', uplink.failures, uplink.delivered, box.pending(), took)\n"
        "print('end')\nmachine.deepsleep()\n"
    )
    twin = start(code, tmp_path, hosts(server))
    with Listener(server) as listener:
        twin.power_on()
        try:
            assert twin.run_until(lambda: "ready" in twin.text, 60)
            device = listener.device
            for n in range(500):
                info = listener.client.publish(f"cicada/{device}/command", b"%d" % n, qos=1)
            info.wait_for_publish(10)
            assert twin.run_until(lambda: "end" in twin.text, 600), twin.text
        finally:
            twin.power_off()
        assert len(listener.wait(100)) == 100
    said = results(twin)
    assert said["counts"] == "[64, 64, 64, 64, 64, 64, 64, 52, 0, 0] True"
    failures, delivered, pending, took = map(int, said["rest"].split())
    assert (failures, delivered, pending) == (0, 100, 0) and took < 20_000


def test_a_broker_that_restarts_in_the_middle_loses_nothing(tmp_path, server):
    code = begin() + (
        "fill(60, 300)\nuplink = make(MQTT)\nfor tries in range(200):\n"
        "    if not box.pending(): break\n"
        "    uplink.session(50)\n"
        "print('end ->', box.pending(), uplink.delivered, uplink.failures > 0)\n"
    )
    with Listener(server) as listener:
        restart = threading.Thread(target=lambda: (server.stop(), server.start()))
        hear = listener.client.on_message

        def restart_after_a_few(*arguments):
            hear(*arguments)
            if len(listener.records()) >= 10 and not restart.ident:
                restart.start()

        listener.client.on_message = restart_after_a_few
        said = run(code, tmp_path, hosts(server))
        restart.join(10)
        found = {record["id"]: record["n"] for record in listener.wait(60)}
    assert said["end"] == "0 60 True"
    assert found == {f"beef-{n + 1}": n for n in range(60)}


def test_the_will_is_seen_when_the_power_goes(tmp_path, server):
    code = begin() + "make(dict(MQTT, stay=True)).session(100)\nprint('up')\ntime.sleep(10)\n"
    twin = start(code, tmp_path, hosts(server))
    with Listener(server) as listener:
        twin.power_on()
        try:
            assert twin.run_until(lambda: "up" in twin.text, 60)
            assert listener.wait(1, "status") == [{"v": 1, "state": "online", "site": "barn"}]
        finally:
            twin.power_off()
        assert listener.wait(2, "status")[1] == {"v": 1, "state": "lost"}
    with Listener(server) as late:
        assert late.wait(1, "status")[0]["state"] == "lost"


def test_a_connection_that_stays_takes_commands_and_records_at_once(tmp_path, server):
    code = begin(stay=True, keep_alive_s=10) + (
        "uplink = make(MQTT)\nuplink.session(100)\nprint('up')\n"
        "longest = 0\n"
        "for n in range(1500):\n"
        "    began = time.ticks_ms(); there = uplink.poll()\n"
        "    longest = max(longest, time.ticks_diff(time.ticks_ms(), began))\n"
        "    if n == 300: fill(3)\n"
        "    time.sleep_ms(20)\n"
        "due = uplink.due(int(time.time()))\n"
        "print('stay ->', there, uplink.connected, due, hooks.heard, uplink.delivered)\n"
        "print('longest ->', longest)\n"
        "uplink.leave(); print('left ->', uplink.connected, uplink.poll(), uplink.radio_ms > 30000)\n"
    )
    twin = start(code + "print('end')\nmachine.deepsleep()\n", tmp_path, hosts(server))
    with Listener(server) as listener:
        twin.power_on()
        try:
            assert twin.run_until(lambda: "up" in twin.text, 60)
            server.publish(f"cicada/{listener.device}/command", b"now", retain=False)
            assert twin.run_until(lambda: "end" in twin.text, 600), twin.text
        finally:
            twin.power_off()
        assert len(listener.wait(3)) == 3 and len(listener.wait(1, "answer")) == 1
        assert [status["state"] for status in listener.wait(2, "status")] == ["online", "asleep"]
    said = results(twin)
    assert said["stay"] == "True True False [b'now'] 4" and said["left"] == "False False True"
    assert int(said["longest"]) < 200
    assert "Received PINGREQ" in server.log.read_text()


def test_wrong_credentials_are_said_and_come_again_later_and_later(tmp_path, server):
    code = begin(password="wrong secret") + (
        "fill(1, 0, records.HIGH)\nuplink = make(MQTT)\nwaits = []\n"
        "for _ in range(11):\n"
        "    reached = uplink.session(100); began = now = int(time.time())\n"
        "    while not uplink.due(now): now += 1\n"
        "    waits.append(now - began); time.sleep(now - began)\n"
        "print('said ->', reached, uplink.last_error, uplink.failures, box.pending())\n"
        "print('waits ->', waits)\n"
        "again = make(MQTT); uplink.session(0); again.restore(uplink.state())\n"
        "print('kept ->', again.due(int(time.time())), again.failures, again.radio_ms == uplink.radio_ms)\n"
        "for data in (b'', b'x' * 40, uplink.state()[:-1], b'\\0' + uplink.state()[1:]):\n"
        "    fresh = make(MQTT); fresh.restore(data)\n"
        "    print('fresh ->', fresh.due(int(time.time())), fresh.failures)\n"
    )
    said = run(code, tmp_path, hosts(server), seconds=100_000)
    assert said["said"] == "False MQTT: broker refused: not authorised 11 1"
    waits = json.loads(said["waits"])
    assert all(
        0.74 * want <= wait <= want
        for wait, want in zip(waits, [min(15 << n, 3600) for n in range(11)], strict=True)
    )
    assert len(set(waits[8:])) > 1
    assert said["kept"] == "False 12 True" and said["fresh"] == "True 0"


ABOUT = {
    "name": "Barn",
    "model": "Twin",
    "version": "1.0",
    "readings": {"air": ["temperature_c", "x"]},
    "words": {"kws": ["yes", "no"]},
    "anomalies": ["vib"],
    "alarms": ["fire alarm"],
    "health": ["rssi"],
}


def test_home_assistant_is_told_once_what_there_is(tmp_path, server):
    code = begin(discovery=True) + (
        f"about = {ABOUT}\n"
        "hooks.about = lambda: about\nuplink = make(MQTT)\n"
        "uplink.session(0); state = uplink.state(); print('first')\n"
        "uplink = make(MQTT); uplink.restore(state); uplink.session(0); print('second')\n"
        "about['version'] = '1.1'; uplink.session(0)\n"
    )
    heard = []
    client = server.client()
    client.on_message = lambda client, data, message: heard.append(
        (message.topic, json.loads(message.payload))
    )
    client.subscribe("homeassistant/#", 1)
    time.sleep(0.1)
    run(code, tmp_path, hosts(server))
    time.sleep(0.1)
    client.loop_stop()
    assert len(heard) == 12
    first, second = dict(heard[:6]), dict(heard[6:])
    assert first.keys() == second.keys()
    device = heard[0][0].split("/")[2]
    assert {topic.replace(device, "D") for topic in first} == {
        "homeassistant/sensor/D/air_temperature_c/config",
        "homeassistant/sensor/D/air_x/config",
        "homeassistant/sensor/D/health_rssi/config",
        "homeassistant/event/D/kws/config",
        "homeassistant/binary_sensor/D/vib_anomaly/config",
        "homeassistant/binary_sensor/D/fire_alarm_alarm/config",
    }
    air = first[f"homeassistant/sensor/{device}/air_temperature_c/config"]
    assert air["unit_of_measurement"] == "°C" and air["device_class"] == "temperature"
    assert air["device"]["sw_version"] == "1.0" and air["unique_id"] == f"{device}_air_temperature_c"
    assert {entity["device"]["sw_version"] for entity in second.values()} == {"1.1"}
    # What Home Assistant makes of a record, by its own kind of template.
    env = jinja2.Environment()
    env.filters["tojson"] = json.dumps
    record = {"v": 1, "reading": "air", "temperature_c": 21.5}

    def made(topic, value):
        return env.from_string(first[f"homeassistant/{topic}/config"]["value_template"]).render(
            value_json=value
        )

    assert made(f"sensor/{device}/air_temperature_c", record) == "21.5"
    assert made(f"sensor/{device}/air_temperature_c", {"reading": "other", "temperature_c": 1}) == ""
    word = {"event": "keyword", "source": "kws", "word": "yes", "score": 93}
    assert json.loads(made(f"event/{device}/kws", word)) == {"event_type": "yes", "score": 93}
    assert made(f"event/{device}/kws", {"event": "alarm", "source": "x"}) == ""
    for state, want in (("anomaly", "ON"), ("normal", "OFF")):
        event = {"event": "anomaly", "source": "vib", "state": state}
        assert made(f"binary_sensor/{device}/vib_anomaly", event) == want
    alarm = {"event": "alarm", "source": "fire alarm"}
    assert made(f"binary_sensor/{device}/fire_alarm_alarm", alarm) == "ON"
    assert made(f"binary_sensor/{device}/fire_alarm_alarm", word) == ""
