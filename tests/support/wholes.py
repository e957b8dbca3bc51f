"""Whole nodes on the twin: the real application with a configuration, a console, and a broker beside it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import trustme

from cicada.tools.board import load_board
from cicada.tools.node import envelope
from cicada.tools.twin import factory
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from support import broker, updates
from support.broker import PASSWORD, USER, Broker
from support.certificates import device, server
from support.releases import key_of
from support.twins import QUIET
from support.uplinks import Listener

BOARD = load_board("twin")
DEVICE = BOARD.UNIQUE_ID
#: Whose commands the node takes.
COMMANDER, COMMAND_KEY = key_of(0xC0DE, "commander")
HOST = "broker.test"
WIFI = {"ssid": Network.ssid, "key": Network.key}


@dataclass
class Place:
    """A broker that speaks TLS and wants certificates, and what a node needs for it.

    Attributes:
        broker: it runs.
        files: of the node, by their paths.
        mqtt: the node's section ``mqtt``.
        own: chain and key for a client on this machine.
    """

    broker: Broker
    files: dict[str, bytes]
    mqtt: dict[str, Any]
    own: tuple[Path, Path]

    @property
    def hosts(self) -> dict[str, tuple[str, int]]:
        """For the twin's world."""
        return {f"{HOST}:8883": (self.broker.host, self.broker.port)}

    def listen(self) -> Listener:
        """Somebody who hears everything."""
        return Listener(self.broker, self.own)


@contextlib.contextmanager
def place(folder: Path, settings: tuple[str, ...] = ()) -> Iterator[Place]:
    """A broker with TLS that lets in nobody without a certificate.

    Args:
        folder: for its files.
        settings: further lines of its configuration.
    """
    authority = trustme.CA()
    certificate = server(authority, folder, HOST, "localhost")
    shown = device(authority)
    own = folder / "own.pem", folder / "own.key"
    own[0].write_bytes(shown.pem)
    own[1].write_bytes(shown.key["pkcs8"])
    files = {
        "/ca.pem": authority.cert_pem.bytes(),
        "/own.pem": shown.pem,
        "/own.key": shown.key["pkcs8"],
    }
    mqtt = {
        "host": HOST,
        "ca": "/ca.pem",
        "cert": "/own.pem",
        "key": "/own.key",
        "user": USER,
        "password": PASSWORD,
        "linger_ms": 300,
        "ntp": None,
    }
    demand = (f"cafile {certificate[0]}", "require_certificate true")
    with broker.running(folder, certificate, (*demand, *settings)) as running:
        yield Place(running, files, mqtt, own)


class Whole:
    """A node at work, until the end of ``with``.

    Args:
        config: of ``/cicada.json``; None: there is none.
        world: what surrounds it.
        files: further files, by their paths.
        image: firmware (default: updates.firmware()).
        flash: of another one, to go on with.

    Attributes:
        twin: the twin.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | None,
        world: World | None = None,
        files: Mapping[str, bytes] | None = None,
        image: bytes | None = None,
        flash: Any = None,
        board: ModuleType = BOARD,
    ) -> None:
        if flash is None:
            flash = _empty(image) if config is None else updates.flash(image, dict(config), b"", files)
        self.twin = Twin(flash, board, world or World(QUIET))
        self._counter = 1000

    def __enter__(self) -> Whole:
        self.twin.power_on()
        return self

    def __exit__(self, *exception: object) -> None:
        self.twin.power_off()

    @property
    def text(self) -> str:
        """What the console said, without carriage returns."""
        return self.twin.text.replace("\r", "")

    def until(self, text: str, seconds: float = 120, count: int = 1) -> None:
        """Run on until the console says ``text`` once more, or ``count`` times more."""
        at = len(self.twin.text)
        done = self.twin.run_until(lambda: self.twin.text.count(text, at) >= count, seconds)
        assert done, f"{text!r} did not come:\n{self.twin.text[at:]}"

    def when(self, done: Callable[[], Any], seconds: float = 120) -> None:
        """Run on until ``done()``."""
        assert self.twin.run_until(lambda: bool(done()), seconds), self.twin.text

    def rest(self, seconds: float) -> None:
        """Run on for a while."""
        self.twin.run_until(lambda: False, seconds)

    def ask(self, line: str, seconds: float = 30) -> dict[str, Any]:
        """Type a line at the console; its answer, put together if it comes in pages."""
        answer = self._ask(line, seconds)
        if "pages" in answer:
            parts = [answer["part"]]
            for page in range(1, answer["pages"]):
                parts.append(self._ask(f"{line} page={page}", seconds)["part"])
            answer = json.loads("".join(parts))
        return answer

    def _ask(self, line: str, seconds: float) -> dict[str, Any]:
        at = len(self.twin.text)

        def said() -> list[str]:
            return re.findall(r"^ANSWER (.*)\r?\n", self.twin.text[at:], re.MULTILINE)

        self.twin.type(line.encode() + b"\n")
        self.when(said, seconds)
        return json.loads(said()[0])

    def envelope(self, command: str, **arguments: Any) -> bytes:
        """A signed command."""
        self._counter += 1
        return envelope.pack(COMMANDER, bytes.fromhex(DEVICE), self._counter, 0, command, arguments)

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Every event of a kind that the console told."""
        return [event for _, event in self.twin.events if event["event"] == kind]

    def sound(self) -> None:
        """Nothing has gone wrong that was not meant to."""
        assert "Traceback" not in self.twin.text, self.twin.text


def _empty(image: bytes | None) -> bytes:
    """Flash of a board that was just made."""
    return factory.flash({"ota_0": image or updates.firmware()})


def settle(listener: Listener, name: str, count: int) -> list[dict[str, Any]]:
    """Records of one kind, once there are that many, and a moment for one too many."""
    listener.wait(count, name)
    time.sleep(0.1)
    return listener.records(name)


def commanded(listener: Listener, whole: Whole, command: str, **arguments: Any) -> None:
    """Send a command to the node, to wait at the broker."""
    listener.client.publish(
        f"cicada/{DEVICE}/command", whole.envelope(command, **arguments), qos=1
    ).wait_for_publish(10)


def config(*parts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A configuration of some sections, with the commander's key."""
    made: dict[str, Any] = {"schema": 1, "commands": {"keys": [COMMAND_KEY.public.hex()]}}
    for part in parts:
        made |= part
    return made | more


def moments(whole: Whole, text: str) -> Sequence[float]:
    """When the console said ``text``, virtual seconds."""
    return [at for at, line in whole.twin.lines if text in line]
