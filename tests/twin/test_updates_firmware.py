"""Firmware on the twin, from release to confirmation, and what goes wrong on the way."""

from __future__ import annotations

import pytest

from cicada.tools.release.faulty import FaultyServer
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.world import Network, Steps
from support.pretend import pretend
from support.slots import SLOTS
from support.updates import (
    CONFIG,
    FIRMWARE,
    KEY,
    SECOND_SIGNER,
    SIGNER,
    Device,
    Shelf,
    firmware,
    flash,
)

BROKEN = "import machine\nraise ValueError('this firmware is broken')\n"


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def server(shelf):
    with ReleaseServer(shelf.root) as server:
        yield server


@pytest.mark.parametrize("bases", [[], [firmware()]], ids=["full", "delta"])
def test_an_update_runs_and_is_confirmed(shelf, server, bases):
    new = firmware("1.0.1", 2)
    shelf.publish(FIRMWARE, new, 10, bases, security=2)
    with Device(flash(), server) as device:
        device.until("update: firmware confirmed")
        device.until("deep sleep for")
        assert device.runs == "ota_1" and device.contents("ota_1", len(new)) == new
        assert device.touched() <= {"updates", "ota_1", "ota_0", "otadata", "nvs"}  # which counts resets
        (event,) = device.events()
        assert (event["result"], event["kind"], event["n"]) == ("confirmed", "firmware", 10)
        # What is below the floor now cannot boot any more, nor come again.
        assert not device.contents("ota_0", 4096).strip(b"\xff")
        shelf.publish(FIRMWARE, firmware("1.0.2"), 11, security=1)
        device.twin.press_reset()
        assert "refused: security version 1 is below 2" in device.until("node: listening")
        assert device.runs == "ota_1"


def test_an_image_that_is_not_below_the_floor_stays_to_fall_back_to(shelf, server):
    shelf.publish(FIRMWARE, firmware("1.0.1", 1), 10)
    with Device(flash(), server) as device:
        device.until("update: firmware confirmed")
        device.until("deep sleep for")
        assert device.contents("ota_0", len(firmware())) == firmware()
        shelf.publish(FIRMWARE, firmware("1.0.2", 0), 11, security=0)
        device.twin.press_reset()
        assert "refused: security version 0 is below 1" in device.until("node: listening")


def test_what_came_before_the_link_broke_does_not_come_again(shelf):
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    faults = [f"truncate:{n}" for n in (9000, 5000, 20000, 7000)] + ["reset:9000", "500", "wrong-range"]
    with FaultyServer(shelf.root, faults) as server, Device(flash(), server) as device:
        device.until("update: firmware confirmed")
        assert device.runs == "ota_1" and server.payloads == len(faults) + 1


def test_a_release_goes_on_after_a_reset_in_the_middle(shelf):
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    with FaultyServer(shelf.root, ["truncate:30000"] + ["404"] * 4) as server:
        with Device(flash(), server) as device:
            device.until("node: listening")
            device.twin.press_reset()
            said = device.until("update: firmware confirmed")
            assert "going on at sector" in said and "fetching" not in said


def test_firmware_that_does_not_run_is_taken_back(shelf, server):
    broken = firmware("1.0.1", more=(("node/app", BROKEN),))
    shelf.publish(FIRMWARE, broken, 10)
    with Device(flash(), server) as device:
        device.until("firmware 10 failed")
        said = device.until("node: listening")
        assert device.runs == "ota_0" and "fetching" not in said
        device.twin.press_reset()
        assert "fetching" not in device.until("node: listening")
        shelf.publish(FIRMWARE, firmware("1.0.2"), 11)
        device.twin.press_reset()
        device.until("update: firmware confirmed")
        assert device.runs == "ota_1"


def test_firmware_that_loses_its_server_is_taken_back(shelf, server):
    """It must reach the server while it is on trial, unless the configuration says otherwise."""
    alone = firmware("1.0.1", more=(("node/net/wifi", WIFI),))
    shelf.publish(FIRMWARE, alone, 10)
    with Device(flash(), server) as device:
        device.until("firmware 10 failed: the radio is broken")
        device.until("deep sleep for")
        assert device.runs == "ota_0"
    config = CONFIG | {"updates": CONFIG["updates"] | {"require_uplink": False}}
    with Device(flash(config=config), server) as device:
        device.until("update: firmware confirmed")
        assert device.runs == "ota_1"


WIFI = """
from node.net import LinkError
class Wifi:
    def __init__(self, config):
        pass
    def up(self, timeout_ms=0, feed=None):
        raise LinkError("the radio is broken")
    def down(self):
        pass
"""


def test_keys_are_rotated_and_the_old_one_revoked(shelf, server):
    with Device(flash(), server) as device:
        device.until("node: listening")
        shelf.publish(FIRMWARE, firmware("1.0.1"), 10, signer=SECOND_SIGNER, revoke=[KEY.id])
        device.twin.press_reset()
        device.until("update: firmware confirmed")
        shelf.publish(FIRMWARE, firmware("1.0.2"), 11, signer=SIGNER)
        device.twin.press_reset()
        assert "refused: signed with a revoked key" in device.until("node: listening")
        shelf.publish(FIRMWARE, firmware("1.0.2"), 12, signer=SECOND_SIGNER)
        device.twin.press_reset()
        device.until("update: firmware confirmed")


def test_firmware_below_the_floor_does_nothing_but_update(shelf, server):
    with pretend() as node:
        node.esp32.flash = NorFlash(4 << 20)
        journal = node.journal.Journal(node.esp32.Partition("updates"))
        journal.append(node.journal.FLOOR, security=5)
        book = node.esp32.flash.read(SLOTS["updates"].offset, SLOTS["updates"].size)
    with Device(flash(journal=book), server) as device:
        said = device.when(lambda said: "listening" in said, 400)
        assert said.count("rst:") == 1 and "updating is all it will do" in said
        shelf.publish(FIRMWARE, firmware("1.0.1", 5), 10, security=5)
        device.until("update: firmware confirmed")
        device.until("node: listening")


@pytest.mark.parametrize("rate", [40, 400])
def test_a_slow_link_does_not_keep_the_device_from_listening(shelf, server, rate):
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    network = Network(bytes_per_s=Steps([(0, rate)]))
    with Device(flash(), server, network) as device:
        said = device.until("node: listening", 3000)
        assert said.count("rst:") <= 2


def test_a_server_without_ranges_on_a_slow_link_does_neither(shelf):
    """What is here already is sent again, and that takes longer than the watchdog waits."""
    shelf.publish(FIRMWARE, firmware("1.0.1"), 10)
    network = Network(bytes_per_s=Steps([(0, 250_000), (4_000_000, 650)]))
    with FaultyServer(shelf.root, ["truncate:58000", *["200"] * 9]) as server:
        with Device(flash(), server, network) as device:
            assert device.until("node: listening", 3000).count("rst:") <= 2
