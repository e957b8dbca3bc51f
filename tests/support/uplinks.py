"""Uplinks on the twin: a program that has one, and whoever listens at the broker."""

from __future__ import annotations

import json
import time
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from support.broker import PASSWORD, USER, Broker
from support.twins import QUIET, script_flash

#: What every program begins with: an outbox in RAM with the methods of node.outbox, hooks, and ``make``.
BEGIN = """
import gc, json, machine, os, time
from node import memory as m, records
from node.net import LinkError
from node.net.link import Link
from node.uplink import Uplink

class Box:
    generation = 0xBEEF
    def __init__(self):
        self.all, self.number = [], 0
    def put(self, kind, priority, data):
        self.number += 1
        self.all.append((self.number, kind, priority, data))
        return self.number
    def pending(self): return len(self.all)
    def highest(self): return max([r[2] for r in self.all]) if self.all else None
    def oldest(self, limit): return self.all[:limit]
    def done(self, sequence): self.all = [r for r in self.all if r[0] != sequence]

class Hooks:
    def __init__(self): self.heard, self.fed = [], 0
    def status(self): return {"site": "barn"}
    def command(self, data):
        self.heard.append(data)
        return b'{"answer": %d}' % len(data)
    def feed(self): self.fed += 1

def fill(count, size=0, priority=records.NORMAL):
    for n in range(count):
        gc.collect()  # the records are kept: garbage between them would leave no room for anything larger
        box.put(records.EVENT, priority, records.encode(1, {"event": "n", "n": n, "more": "x" * size}))

class Hasty(Uplink):
    TIMEOUT_S = 1  # a peer that says nothing costs the tests real time

def make(mqtt, report=REPORT, wifi={"ssid": "cicada", "key": "twinkle twinkle"}, kind=Uplink):
    return kind(mqtt, report, box, Link(wifi, None, hooks.feed), hooks)

box, hooks = Box(), Hooks()
try:
    for name in FILES:
        with open(name, "wb") as file: file.write(FILES[name])
except NameError:
    pass
"""
REPORT = {"health_s": 86400, "batch": 20, "every_s": 3600, "poll_s": 0, "filters": []}
#: The configuration's part for the broker, for one without TLS.
MQTT = {
    "host": "broker",
    "port": 1883,
    "tls": False,
    "ca": None,
    "cert": None,
    "key": None,
    "user": USER,
    "password": PASSWORD,
    "prefix": "cicada",
    "discovery": False,
    "keep_alive_s": 60,
    "stay": False,
    "linger_ms": 300,
    "ntp": None,
}


def begin(files: dict[str, bytes] | None = None, **changes: object) -> str:
    """The beginning of a program: what stands in ``BEGIN``, and ``MQTT`` with these changes.

    Args:
        files: path on the device -> what is in it.
    """
    return f"REPORT = {REPORT}\nMQTT = {MQTT | changes}\nFILES = {files or {}}\n" + BEGIN


def start(code: str, folder: Path, hosts: dict[str, tuple[str, int]], network: Network | None = None) -> Twin:
    """A twin with that program, which should end in ``machine.deepsleep()``."""
    world = World(QUIET, network=network or Network(), hosts=hosts)
    return Twin(script_flash(code, folder), load_board("twin"), world)


def run(
    code: str,
    folder: Path,
    hosts: dict[str, tuple[str, int]],
    network: Network | None = None,
    seconds: float = 600,
) -> dict[str, str]:
    """Run it and return what it printed as ``name -> text``, by name."""
    twin = start(code + "\nmachine.deepsleep()\n", folder, hosts, network)
    twin.run(seconds)
    return results(twin)


def results(twin: Twin) -> dict[str, str]:
    """What it printed as ``name -> text``, by name."""
    assert "Traceback" not in twin.text, twin.text
    return dict(line.split(" -> ", 1) for line in twin.text.splitlines() if " -> " in line)


class Listener:
    """A client that hears everything under ``cicada/``, also what is sent while the broker is away.

    Attributes:
        messages: ``(last part of the topic, payload, retained)`` as they came.
        device: id of the node that was heard last.
    """

    def __init__(self, broker: Broker, certificate: tuple[Path, Path] | None = None) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.device = ""
        self.client = broker.client("listener", certificate)
        self.client.on_message = self._hear
        self.client.subscribe("cicada/#", 1)
        time.sleep(0.1)

    def _hear(self, client, data, message) -> None:
        _, self.device, name = message.topic.split("/", 2)
        self.messages.append((name, message.payload, message.retain))

    def records(self, name: str = "event") -> list[dict]:
        """Records of one kind."""
        return [json.loads(payload) for kind, payload, _ in self.messages if kind == name]

    def wait(self, count: int, name: str = "event") -> list[dict]:
        """Records of one kind, once there are that many."""
        for _ in range(100):
            if len(self.records(name)) >= count:
                break
            time.sleep(0.05)
        return self.records(name)

    def close(self) -> None:
        """Take leave."""
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
