"""What the whole node takes of the heap: nothing for a hop, and a bounded amount for a session."""

import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.paths import FIRMWARE
from cicada.tools.twin.child import IN_FLASH
from cicada.tools.twin.world import World
from support import piped, updates
from support.twins import QUIET, Sound, loud
from support.wholes import DEVICE, WIFI, Whole, config, place, settle

#: Bytes of the twin are those of a 64-bit interpreter: two for one of the chip's.
WIDE = 2
HEAP = load_board("twin").HEAP


def measuring(file, place_in, code, rest=""):
    """The application with some lines more."""
    text = (FIRMWARE / "app" / file).read_text()
    assert text.count(place_in) == 1, file
    more = (file.removesuffix(".py"), text.replace(place_in, code + place_in) + rest)
    return updates.firmware(model=piped.loud_words(), more=(more,))


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with place(tmp_path_factory.mktemp("broker")) as there:
        yield there


@pytest.fixture(scope="module")
def counting():
    """Tells what the heap had at each look at console, button, battery and broker, with the collector off."""
    code = """        _seen[_count[0] % 200] = gc.mem_alloc()
        _count[0] += 1
        if _count[0] == 60:
            gc.collect()
            gc.disable()
            self.health._heap_low = 0  # else it would collect, to see what is really in use
        if _count[0] == 160:
            gc.enable()
            print("HEAP", list(_seen[61:160]))
"""
    rest = (
        "\nimport gc\nfrom array import array\n_seen, _count = array('i', bytes(800)), array('i', bytes(4))\n"
    )
    return measuring("node/app.py", "        self.health.look()\n        if self.health.sank", code, rest)


@pytest.mark.parametrize("how", ["alone", "with a broker", "connected"])
def test_working_allocates_nothing(how, counting, broker):
    """The real loop: 100 looks are 250 hops. Once a minute the battery is measured; a ping may come."""
    mqtt = None if how == "alone" else broker.mqtt | {"stay": how == "connected"}
    found = config(wifi=WIFI, mqtt=mqtt, plan={"kind": "listen", "quiet_s": 0})
    with Whole(found, World(QUIET, hosts=broker.hosts), broker.files, counting) as node:
        node.until("HEAP", 60)
        node.rest(0.5)
        seen = [int(n) for n in re.search(r"HEAP \[(.*)\]", node.text)[1].split(", ")]
    steps = [b - a for a, b in zip(seen, seen[1:], strict=False)]
    # A look at an open connection costs what it takes to learn that nothing has come.
    usual = WIDE * 100 if how == "connected" else 0
    assert len(steps) == 98 and sum(step <= usual for step in steps) >= 98 - 2, steps
    assert sum(step - usual for step in steps if step > usual) < 2000, steps


def test_a_session_with_tls_leaves_room(broker):
    """The most that is in use at any moment of a session, with sound's pipeline, commands and the outbox."""
    code = "        _most()\n"
    rest = """
import gc
from array import array
_peak = array("i", bytes(4))
def _most():
    gc.collect()
    if gc.mem_alloc() > _peak[0]:
        _peak[0] = gc.mem_alloc()
        print("PEAK", _peak[0], gc.mem_alloc() + gc.mem_free())
"""
    image = measuring("node/reporter.py", "        machine.WDT(timeout=_PATIENT_MS).feed()\n", code, rest)
    high = {"filters": [{"match": {"event": "keyword"}, "priority": "high"}]}
    found = config(wifi=WIFI, mqtt=broker.mqtt | {"linger_ms": 3000}, report=high)
    world = World(Sound([loud(3.0)], 30), hosts=broker.hosts)
    with broker.listen() as listener, Whole(found, world, broker.files, image) as node:
        node.until("listening")
        listener.client.publish(f"cicada/{DEVICE}/command", node.envelope("config get"), qos=1)
        node.until("deep sleep for", 60)
        assert settle(listener, "event", 1)
    peak, total = map(int, re.findall(r"PEAK (\d+) (\d+)", node.text)[-1])
    # What a chip has in flash lies in the twin's heap, too (cicada.tools.twin.child).
    assert total >= WIDE * HEAP
    assert (peak - WIDE * IN_FLASH) / WIDE < 0.6 * HEAP  # 0.39 when this was written
