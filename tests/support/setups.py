"""Nodes that are being set up: on a twin, with a phone or a serial console beside them."""

from __future__ import annotations

import argparse
import http.client
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from support.twins import QUIET, script_flash

HERE = "192.168.4.1"

#: Offers the access point; what comes of it is printed.
PAGE = """
import gc, machine, time
from node import provision
from node.secrets import Secrets
wdt = machine.WDT(timeout=8000)
{before}
try:
    print("ENDED", provision.run(wdt.feed, {poll}, {timeout}))
except KeyboardInterrupt:
    print("INTERRUPTED")
import network
print("RADIO", network.WLAN(network.WLAN.IF_AP).active(), network.WLAN(network.WLAN.IF_STA).active())
secrets = Secrets()
print("WIFI", (secrets.get("wifi") or {{}}).get("ssid"), secrets.get("mqtt") is not None)
{after}
machine.deepsleep()
"""

#: Listens at the console, with the application's own commands.
CONSOLE = """
import machine, time
from node.commands import Commands
from node.config import Config
from node.console import Console
from node.provision.serial import Serial
from node.secrets import Secrets

class Node:
    def __init__(self):
        self.config = Config()
        self.serial = Serial(self.config, wdt.feed)
        self.asked = None

    def provision(self, action):
        return self.serial.act(action)

    def request(self, what):
        self.asked = what

wdt = machine.WDT(timeout=8000)
node = Node()
console = Console(Commands(node), locked=True)
print("READY", node.config.data["name"], node.config.data["mqtt"])
print("HAS", (Secrets().get("wifi") or {}).get("ssid"), Secrets().get("mqtt") is not None)
while node.asked is None:
    console.poll()
    wdt.feed()
    time.sleep_ms(20)
print("ASKED", node.asked)
machine.reset() if node.asked == "reboot" else machine.deepsleep()
"""


class Setup:
    """A twin that runs in this process while a client talks to it from a thread.

    Args:
        code: its ``main.py``.
        folder: for files.
        world: what surrounds it.
        port: where its console appears, if at all.
    """

    def __init__(self, code: str, folder: Path, world: World, port: Path | None = None) -> None:
        # With a port somebody is at the other end, who needs time of his own.
        speed = 4.0 if port else None
        self.twin = Twin(script_flash(code, folder), load_board("twin"), world, port, speed=speed)
        self.twin.power_on()

    def until(self, text: str, seconds: float = 60) -> None:
        """Run until the console said ``text``."""
        assert self.twin.run_until(lambda: text in self.twin.text, seconds), self.twin.text

    def alongside(self, client: Callable[[], Any], wall_s: float = 60) -> Any:
        """Run until ``client``, in a thread of its own, has ended; what it returned."""
        result: list[Any] = []
        failure: list[BaseException] = []

        def work() -> None:
            try:
                result.append(client())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        end = time.monotonic() + wall_s
        while thread.is_alive():
            assert time.monotonic() < end, self.twin.text
            self.twin.run_until(lambda: not thread.is_alive(), 1)
        if failure:
            raise failure[0]
        return result[0]

    def close(self) -> None:
        self.twin.power_off()


def page(
    folder: Path,
    network: Network | None = None,
    hosts: dict[str, tuple[str, int]] | None = None,
    **parts: Any,
) -> Setup:
    """A twin that offers its page; ``parts`` are those of :data:`PAGE`."""
    parts = {"before": "", "after": "", "poll": "lambda: None", "timeout": 60} | parts
    return Setup(PAGE.format(**parts), folder, World(QUIET, network=network or Network(), hosts=hosts or {}))


class Phone:
    """A phone that has joined the access point, with a browser."""

    def __init__(self, setup: Setup) -> None:
        setup.until("open http://")
        self.about = json.loads(re.search(r"SETUP (.*)", setup.twin.text)[1])
        self.networks = setup.twin.chip.parts["networks"]
        self.networks.access.join(self.about["ssid"], self.about["key"])
        self.port = self.networks.access.served["tcp", 80]
        self.dns = self.networks.access.served["udp", 53]

    def get(self, path: str = "/", host: str = HERE) -> tuple[int, dict[str, str], str]:
        """Status, headers and text."""
        return self._ask("GET", path, None, {"Host": host})

    def post(
        self, path: str, fields: dict[str, str] | bytes, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Send a form."""
        body = fields if isinstance(fields, bytes) else urllib.parse.urlencode(fields).encode()
        kind = {"Host": HERE, "Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, body, kind | headers)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple:
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read().decode()
        finally:
            line.close()

    def token(self) -> str:
        """Of the form as it is now."""
        return re.search(r'name="token" value="(\w+)"', self.get()[2])[1]

    def save(self, **fields: str) -> str:
        """Send the form, and follow to what comes of it."""
        fields = {"token": self.token(), "do": "join", "net": b"cicada".hex()} | fields
        status, headers, text = self.post("/save", fields)
        if status != 303:
            assert status == 200, (status, text)
            return text
        assert headers["Location"] == "/result"
        while "Trying" in (text := self.get("/result")[2]):
            time.sleep(0.02)
        return text


def command(*arguments: str) -> tuple[int, str]:
    """``cicada provision`` in this process: exit code, and the sentence of an error."""
    from cicada.tools.errors import UserError
    from cicada.tools.provision.commands import add_parser

    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers(dest="command"))
    options = parser.parse_args(["provision", *arguments])
    try:
        return options.run(options), ""
    except UserError as error:
        return error.code, str(error)
