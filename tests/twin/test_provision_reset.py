"""Factory reset and first boot on the twin, with the real file system and the real NVS."""

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.flash import Cut
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import World
from support.keeping import Chip
from support.slots import SLOTS
from support.twins import QUIET, script_flash

SECRET = "correct horse battery staple"
CODE = f"""
import machine, os
from node import provision, reset
from node.secrets import Secrets
if reset.unfinished():
    print("FINISHED")
secrets = Secrets()
if machine.RTC().memory() == b"" and "used" not in os.listdir("/") and not secrets.get("setup_key"):
    print("KEY", provision.setup_key(secrets))
    secrets.set("wifi", {{"ssid": "barn", "key": "{SECRET}"}})
    os.mkdir("/adapt")
    for name in ("/used", "/cicada.json", "/adapt/fan"):
        with open(name, "w") as file:
            file.write("{SECRET}" * 20)
    machine.RTC().memory(b"kept")
    print("RESET")
    reset.factory()
print("LEFT", secrets.get("wifi"), os.listdir("/"), machine.RTC().memory(), "KEY", secrets.get("setup_key"))
with open("/fresh", "w") as file:
    file.write("it goes on")
machine.deepsleep()
"""


def run(tmp_path, *cuts):
    twin = Twin(script_flash(CODE, tmp_path), load_board("twin"), World(QUIET))
    twin.power_on()
    twin.run_until(lambda: "RESET" in twin.text, 30)
    began = twin.flash.operations
    twin.cut_later([Cut(began + cut, "inside", "prefix", cut) for cut in cuts])
    assert twin.run_until(lambda: "LEFT" in twin.text, 120), twin.text
    twin.power_off()
    return twin, began


def judge(twin):
    # Its line of code in the image is all that is left of it.
    flash = bytes(twin.flash.read(0, twin.flash.size))
    for label in ("nvs", "outbox", "vfs", "updates"):
        slot = SLOTS[label]
        assert SECRET.encode() not in flash[slot.offset : slot.offset + slot.size], label
    key = twin.text.split("KEY ")[1].split()[0]
    assert f"LEFT None ['rom'] b'' KEY {key}" in twin.text
    assert "Traceback" not in twin.text


def test_a_used_device_is_as_new_and_keeps_the_key_on_its_label(tmp_path):
    twin, began = run(tmp_path)
    judge(twin)
    assert "factory reset: done" in twin.text and "FINISHED" in twin.text
    assert len(twin.resets) == 2 and twin.flash.operations - began < 200


@pytest.mark.parametrize("cut", [4, 9, 17])
def test_the_power_may_go_in_the_middle(cut, tmp_path):
    twin, _ = run(tmp_path, cut)
    assert len(twin.cuts) == 1
    judge(twin)


def test_the_access_point_is_offered_to_new_devices_for_use_only(tmp_path, monkeypatch):
    chip = Chip()
    with chip.boot("provision") as node:
        import sys
        from types import ModuleType

        identity = ModuleType("node.identity")
        monkeypatch.setitem(sys.modules, "node.identity", identity)
        identity.DEVELOPMENT = ()
        assert node.provision.wanted(1) and not node.provision.wanted(4)
        identity.DEVELOPMENT = (b"key",)
        assert not node.provision.wanted(1)
        identity.DEVELOPMENT = ()
        node.secrets.Secrets().set("wifi", {})  # to be used without a network
        assert not node.provision.wanted(1)
        node.secrets.Secrets().erase("wifi")
        monkeypatch.setattr(node.provision.os, "stat", lambda path: None)  # /cicada.json is there
        assert not node.provision.wanted(1)
