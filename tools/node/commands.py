"""``cicada node``: its command line."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError, from_os_error

_DAY_S = 86400
#: Commands of two words, so that one may leave out the quotes.
_PAIRS = (
    "config get",
    "config set",
    "config keep",
    "config revert",
    "use model",
    "update check",
    "factory reset",
)


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add the command to the main parser's ``commands``."""
    node = commands.add_parser("node", help="check a node's configuration, send it commands")
    actions = node.add_subparsers(dest="action", required=True, metavar="ACTION")

    config = actions.add_parser("config", help="check a configuration with the device's own code")
    config.add_argument("file", nargs="?", type=Path, metavar="FILE")
    config.add_argument("--board", default="twin", help="whose chip must follow the plan (default: twin)")
    config.add_argument("--reference", action="store_true", help="print all keys as Markdown")
    config.add_argument("--write", action="store_true", help="with --reference: into docs/config.md")
    config.set_defaults(run=_config)

    key = actions.add_parser("key", help="make a key for commands, or show its public part")
    key.add_argument("file", type=Path, metavar="PEM")
    key.set_defaults(run=_key)

    command = actions.add_parser("command", help="send a signed command through the broker")
    command.add_argument("device", metavar="DEVICE", help="id: 12 hex digits")
    _asked(command)
    command.add_argument("--key", type=Path, required=True, metavar="PEM", help="to sign with")
    command.add_argument("--broker", metavar="URL", help="mqtts://[USER@]HOST[:PORT]")
    command.add_argument("--ca", type=Path, metavar="FILE", help="CA of the broker (default: the system's)")
    command.add_argument("--cert", type=Path, metavar="FILE", help="certificate to show the broker")
    command.add_argument("--cert-key", type=Path, metavar="FILE", help="its key")
    command.add_argument("--prefix", default="cicada", help="of the topics")
    command.add_argument(
        "--valid", type=int, default=_DAY_S, metavar="S", help="0: for ever (default: a day)"
    )
    command.add_argument("--wait", type=float, default=30, metavar="S", help="for the answer (30)")
    command.add_argument("--out", type=Path, metavar="FILE", help="write the command there, send nothing")
    command.set_defaults(run=_command)

    console = actions.add_parser("console", help="the same commands over the serial console")
    _asked(console)
    console.add_argument("--port", help="serial port or URL (default: the only board)")
    console.add_argument("--board", default="esp32", help="folder in boards/, or 'twin'")
    console.add_argument("--baud", type=int, default=115200)
    console.add_argument("--wait", type=float, default=10, metavar="S", help="for the answer (10)")
    console.set_defaults(run=_console)


def _asked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="such as status, or config set plan.quiet_s=8")
    parser.add_argument("values", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--save", type=Path, metavar="FILE", help="for 'capture': WAV or PGM")


def _config(options: argparse.Namespace) -> int:
    from cicada.tools.board import load_board
    from cicada.tools.node import device, reference

    if options.reference == bool(options.file) or (options.write and not options.reference):
        raise UserError("give a FILE to check, or --reference, which --write puts into docs/config.md")
    if options.write:
        reference.write()
    elif options.reference:
        sys.stdout.write(reference.text())
    else:
        found = device.read(options.file, load_board(options.board))
        parts = ", ".join(pipeline["name"] for pipeline in found["pipelines"]) or "none"
        print(f"{options.file}: right; plan '{found['plan']['kind']}', pipelines: {parts}")
    return 0


def _key(options: argparse.Namespace) -> int:
    from cicada.tools.node import envelope

    signer = envelope.key(options.file) if options.file.exists() else envelope.new_key(options.file)
    print(f'"commands": {{"keys": ["{signer.public.hex()}"]}}')
    return 0


def _command(options: argparse.Namespace) -> int:
    from cicada.tools.node import envelope, remote
    from cicada.tools.node.capture import Capture

    if bool(options.out) == bool(options.broker):
        raise UserError("give --broker URL to send the command, or --out FILE to write it")
    broker = remote.Broker.parse(options.broker) if options.broker else None
    device = envelope.device_id(options.device)
    name, arguments = parse([options.name, *options.values])
    signer = envelope.key(options.key)

    def made(more: Mapping[str, Any]) -> tuple[int, bytes]:
        counter = envelope.next_counter(options.key)
        expiry = int(time.time()) + options.valid if options.valid else 0
        return counter, envelope.pack(signer, device, counter, expiry, name, {**arguments, **more})

    if broker is None:
        try:
            options.out.write_bytes(made({})[1])
        except OSError as error:
            raise from_os_error(error, f"writing {options.out}") from error
        return 0
    login = remote.Login(options.ca, options.cert, options.cert_key, os.environ.get("CICADA_MQTT_PASSWORD"))
    topics = f"{options.prefix}/{device.hex()}"
    capture = Capture()

    def ask(more: Mapping[str, Any]) -> dict[str, Any] | None:
        counter, data = made(more)
        return remote.send(broker, login, topics, data, counter, options.wait, capture.message)

    silence = (
        f"no answer within {options.wait:g} s: the node sleeps until its next session (--wait), or takes no "
        "command from this key"
    )
    return _answered(remote.whole(ask), capture, options.save, silence)


def _console(options: argparse.Namespace) -> int:
    from cicada.tools.flashing.finding import find_port
    from cicada.tools.node import remote
    from cicada.tools.node.capture import Capture

    name, arguments = parse([options.name, *options.values])
    port = find_port(options.board, options.port, False)
    capture = Capture()

    def ask(more: Mapping[str, Any]) -> dict[str, Any] | None:
        text = line(name, {**arguments, **more})
        return remote.over_serial(port, options.baud, text, options.wait, capture.line)

    silence = f"no answer at {port} within {options.wait:g} s: does the node run, and is it awake?"
    return _answered(remote.whole(ask), capture, options.save, silence)


def _answered(answer: dict[str, Any] | None, capture: Any, save: Path | None, silence: str) -> int:
    if answer is None:
        raise UserError(silence)
    if not answer.get("ok"):
        raise UserError(f"the node says: {answer.get('error', 'no')}")
    print(
        json.dumps({key: value for key, value in answer.items() if key != "ok"}, indent=1, ensure_ascii=False)
    )
    if save:
        capture.write(save)
    return 0


def parse(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """A command's name and arguments from words as they are typed.

    ``config set`` takes paths and new values; others take names of arguments. Values are JSON, or text where
    they are none.

    Raises:
        UserError: a word is no ``key=value``.
    """
    name, rest = words[0], list(words[1:])
    if rest and f"{name} {rest[0]}" in _PAIRS:
        name = f"{name} {rest.pop(0)}"
    given = {}
    for word in rest:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UserError(
                f"'{word}' is no KEY=VALUE: 'help about={name.split()[0]}' asks the node what it takes"
            )
        try:
            given[key] = json.loads(value)
        except ValueError:
            given[key] = value
    return name, {"values": given} if name == "config set" else given


def line(name: str, arguments: Mapping[str, Any]) -> str:
    """The line that is typed at a console for a command.

    Raises:
        UserError: the console has no way to say that.
    """
    device = _table()
    row = next((found for found in device.TABLE if found[0] == name), None)
    if row is None:
        raise UserError(
            f"there is no command '{name}': there are {', '.join(found[0] for found in device.TABLE)}"
        )
    if name == "config set":
        if len(arguments["values"]) != 1:
            raise UserError("the console takes one value at a time: say 'config set' once for each")
        [(path, value)] = arguments["values"].items()
        return f"{name} {path} {json.dumps(value)}"
    words, last = [name], []
    for key, value in arguments.items():
        kind = next((found[1] for found in row[1] if found[0] == key), None)
        if kind is None:
            raise UserError(f"'{name}' has no argument '{key}': {device.usage(row)}")
        if kind == "json":
            last.append(json.dumps(value))
        else:
            words.append(f"{key}={value}")
    return " ".join(words + last)


def _table() -> Any:
    from cicada.tools.board import load_module
    from cicada.tools.paths import FIRMWARE

    return load_module(FIRMWARE / "app" / "node" / "commands" / "table.py", "cicada_node_table")
