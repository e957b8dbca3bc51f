"""The button, the first power-on, what a locked node gives away, and firmware on trial without its sensor."""

import pytest

from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.world import Steps, World
from support import piped, updates
from support.broker import PASSWORD
from support.twins import QUIET
from support.wholes import BOARD, WIFI, Whole, config, moments, place

ACCEL = {"name": "accel", "kind": "mpu6050", "address": 0x68, "interrupt": 39}
VIB = {"name": "vib", "kind": "vibration", "sensor": "accel", "samples": 256}


@pytest.fixture(scope="module")
def image():
    return updates.firmware(model=piped.loud_words())


def pressed(*spans):
    """The button's levels: down from second to second."""
    changes = [(0, 1)]
    for down, up in spans:
        changes += [(int(down * 1e6), 0), (int(up * 1e6), 1)]
    return {BOARD.BUTTON: Steps(changes)}


def test_the_button_holds_a_session_sets_up_and_forgets_everything(image, tmp_path):
    levels = pressed((14.0, 14.4), (30.0, 34.0), (60.0, 71.0))
    with place(tmp_path) as there:
        found = config(wifi=WIFI, mqtt=there.mqtt, plan={"quiet_s": 0})
        world = World(QUIET, levels=levels, hosts=there.hosts)
        with there.listen() as listener, Whole(found, world, there.files, image) as node:
            node.rest(13)
            before = len(listener.records("status"))
            node.rest(12)
            assert before == 2 and len(listener.wait(4, "status")) == 4
            node.until("set up: join the Wi-Fi network cicada-", 15)
            assert 33 < node.twin.now < 37
            # The access point stands, and the node obeys meanwhile.
            assert node.ask("status")["ok"]
            assert node.ask("reboot")["ok"]
            node.until("cause: hard reset", 10)
            node.until("factory", 45)
            node.until("cause: ", 10)
            node.until("listening", 700)
            forgotten = node.ask("config get")["value"]
    node.sound()
    assert forgotten["wifi"] is None and forgotten["mqtt"] is None and forgotten["plan"]["quiet_s"] == 5
    assert len(moments(node, "SETUP")) >= 1


def test_a_locked_node_gives_away_nothing(image, tmp_path):
    """Ctrl-C, Ctrl-D and a raw REPL are keys like any other; no secret is on the console, whoever asks."""
    with place(tmp_path) as there:
        found = config(wifi=WIFI, mqtt=there.mqtt, updates=updates.CONFIG["updates"], plan={"quiet_s": 3})
        with Whole(found, World(QUIET, hosts=there.hosts), there.files, image) as node:
            for moment in (0.2, 1.0, 2.0):
                node.rest(moment)
                node.twin.type(b"\x03\x03\x04\x01\x02\r\n")
            node.until("deep sleep for", 90)
            node.until("listening")
            for line in ("config get", "config get wifi", "config get mqtt", "log 50", "status", "health"):
                assert node.ask(line)["ok"]
            assert node.ask("config set mqtt.password correcthorse")["ok"]
            assert node.ask('config set {"wifi.key": "batterystaple"}')["ok"] in (True, False)
            assert not node.ask("print(1)")["ok"]
            node.twin.type(b"\x03")
            node.ask("reboot")
            node.until("deep sleep for", 90)
    text = node.text
    for secret in (WIFI["key"], PASSWORD, "correcthorse", "batterystaple", "PRIVATE KEY"):
        assert secret not in text, secret
    assert ">>>" not in text and "KeyboardInterrupt" not in text and "MicroPython" not in text
    assert "development key" not in text


def test_a_new_node_offers_its_access_point_for_a_while(image):
    with Whole(None, image=image) as node:
        node.until("set up: join the Wi-Fi network cicada-", 10)
        node.until("listening", 700)
        assert 600 <= node.twin.now <= 660
        node.until("deep sleep for", 60)
        node.until("listening", 60)
    assert len(moments(node, "set up: join")) == 1
    node.sound()


def test_firmware_on_trial_without_its_sensor_goes_back(image, tmp_path):
    """The accelerometer is unplugged when new firmware comes: that cannot prove itself; the old goes on."""
    shelf = updates.Shelf(tmp_path)
    with ReleaseServer(tmp_path) as server:
        found = {"wifi": WIFI, "updates": updates.CONFIG["updates"], "sensors": [ACCEL], "pipelines": [VIB]}
        hosts = {f"{updates.HOST}:80": server.address}
        devices = [{"kind": "mpu6050", "address": 0x68, "until": 25_000_000}]
        world = World(QUIET, motion=piped.Shaken(0, 1e6), hosts=hosts, devices=devices)
        with Whole(config(found), world, image=image) as node:
            node.rest(26)
            new = updates.firmware("2.0.0", model=piped.loud_words())
            shelf.publish(updates.FIRMWARE, new, 2)
            node.until("listening")
            assert node.ask("update check")["ok"]
            node.until("version 2.0.0", 200)
            node.until("version 1.0.0", 200)
            node.until("listening", 60)
            assert node.ask("status")["missing"] == ["accel"]
            (event,) = node.events("update")
            assert event["result"] == "failed" and "accel" in event["why"]
