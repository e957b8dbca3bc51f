"""``cicada provision``: its command line, and what it does with a node."""

from __future__ import annotations

import argparse
import base64
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError

# Bytes of a piece: its line must stay below the 768 characters that a node takes.
_PIECE = 390
_HEARS_S = 45.0  # a node sleeps, 10 s by default; and a board may have been reset by opening its port
_AGAIN_S = 3.0
_TRIES_S = 120.0  # joining, time, TLS handshake; each with a limit of its own on the node
_ANSWERS_S = 10.0
_REPEATS = 3
#: Words of what a node says of a line that was damaged on its way.
_DAMAGE = ("damaged", "no JSON", "is missing", "no such command", "longer than", "that is too much")


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the main parser."""
    parser = commands.add_parser(
        "provision", help="set a node up over its console: Wi-Fi, broker, certificates"
    )
    parser.add_argument("--port", help="serial port or URL (default: the only board)")
    parser.add_argument("--board", default="esp32", help="folder in boards/, or 'twin'")
    parser.add_argument("--baud", type=int, default=115200)
    wifi = parser.add_argument_group("network", "its key is asked for, or comes from CICADA_WIFI_KEY")
    wifi.add_argument("--ssid", metavar="NAME", help="the network to join")
    wifi.add_argument("--key-file", type=Path, metavar="FILE", help="where its key is")
    wifi.add_argument("--open", action="store_true", help="it has no key")
    wifi.add_argument("--standalone", action="store_true", help="there is none, and none is to be asked for")
    mqtt = parser.add_argument_group(
        "broker", "the password is asked for, or comes from CICADA_MQTT_PASSWORD"
    )
    mqtt.add_argument("--broker", metavar="URL", help="mqtts://HOST[:PORT], or mqtt:// without TLS")
    mqtt.add_argument("--user", metavar="NAME")
    mqtt.add_argument("--password-file", type=Path, metavar="FILE")
    mqtt.add_argument("--ca", type=Path, metavar="FILE", help="certificate of the authority, PEM")
    mqtt.add_argument("--cert", type=Path, metavar="FILE", help="the node's own certificate, PEM")
    mqtt.add_argument("--client-key", type=Path, metavar="FILE", help="its key, PEM, P-256 at best")
    parser.add_argument("--name", help="name of the node for people")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (docs/config.md)")
    parser.set_defaults(run=_provision)


def _provision(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.finding import find_port
    from cicada.tools.provision.asking import Console
    from cicada.tools.provision.settings import collect, encoded

    given = collect(options)
    port = find_port(options.board, options.port)
    with Console(port, options.baud) as console:
        provision(console, encoded(given), print)
    return 0


def provision(console: Any, settings: dict[str, bytes], say: Callable[[str], None]) -> None:
    """Send settings to a node, have it try them, and store them if they work.

    Args:
        console: the :class:`cicada.tools.provision.asking.Console`.
        settings: by name, as they are sent.
        say: called with lines about how it goes; none has a secret in it.

    Raises:
        UserError: what does not work, in the node's words; the node is as it was before.
    """
    about = _hello(console)
    say(f"node {about['setup_ssid']}, network now: {about['ssid'] or 'none'}")
    for left in reversed(range(_REPEATS)):
        try:
            _send(console, settings)
            break
        except _Forgot:
            if not left:
                raise UserError("the node fell asleep while it was told: keep it awake, try again") from None
            _hello(console)
    say("sent; the node tries it now, which takes up to a minute")
    names = {name: zlib.crc32(data) for name, data in settings.items()}
    reached = _ask(console, {"do": "try", "names": names}, _TRIES_S, 1)
    _ask(console, {"do": "store"}, repeats=1)
    if reached["broker"]:
        say(f"it was in {reached['wifi']} and at {reached['broker']}: stored")
    elif reached["wifi"]:
        say(f"it was in {reached['wifi']}: stored")
    else:
        say("stored")
    from cicada.tools.provision.asking import Silent

    try:
        console.command("reboot")
    except Silent:
        say("it counts from the next start on: reset the node")
    else:
        say("the node starts again with that")


class _Forgot(Exception):
    """The node has started anew since it was told the beginning."""


def _send(console: Any, settings: dict[str, bytes]) -> None:
    """Send all settings in pieces."""
    _ask(console, {"do": "begin"})
    for name, data in settings.items():
        for at in range(0, max(len(data), 1), _PIECE):
            piece = data[at : at + _PIECE]
            action = {"do": "piece", "name": name, "at": at, "crc": zlib.crc32(piece)}
            _ask(console, action | {"data": base64.b64encode(piece).decode()})
    # What was sent before a sleep in the middle is gone, and nobody has said so yet.
    if _ask(console, {"do": "about"})["sent"] != len(settings):
        raise _Forgot


def _ask(
    console: Any, action: dict[str, Any], wait_s: float = _ANSWERS_S, repeats: int = _REPEATS
) -> dict[str, Any]:
    """The node's answer to an action; what was damaged on its way is sent again."""
    from cicada.tools.provision.asking import Silent

    for left in reversed(range(repeats)):
        try:
            answer = console.provision(action, wait_s)
        except Silent:
            if not left:
                raise UserError(
                    "the node no longer answers, and has not said that it stored anything"
                ) from None
            continue
        error = str(answer.get("error", "the node refuses"))
        if answer.get("ok"):
            return answer
        if error.startswith("a piece of") and error.endswith("is missing"):
            raise _Forgot
        if not left or not any(words in error for words in _DAMAGE):
            raise UserError(f"{error}; nothing was changed")
    raise AssertionError


def _hello(console: Any) -> dict[str, Any]:
    """What the node says about itself, as soon as it is awake."""
    from cicada.tools.provision.asking import Silent

    end = time.monotonic() + _HEARS_S
    while True:
        try:
            answer = console.provision({"do": "about"}, _AGAIN_S)
        except Silent:
            answer = {}
        if "setup_ssid" in answer:
            return answer
        if time.monotonic() >= end:
            raise UserError(
                "no node answers there: is the application running (cicada monitor shows its lines), and is "
                "it the right port?"
            )
