"""Commands to a node through its MQTT broker, and over its serial console."""

from __future__ import annotations

import contextlib
import json
import queue
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cicada.tools.errors import UserError

_PATIENCE_S = 10.0


@dataclass(frozen=True)
class Broker:
    """Where a broker is.

    Attributes:
        host, port: of the broker.
        tls: whether the connection is encrypted and the broker verified.
        user: name to log in with, None for none.
    """

    host: str
    port: int
    tls: bool
    user: str | None

    @classmethod
    def parse(cls, url: str) -> Broker:
        """The broker of ``mqtts://[USER@]HOST[:PORT]`` or, without encryption, ``mqtt://...``.

        Raises:
            UserError: it is no such URL.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or port == 0 or parts.password:
            raise UserError(
                f"'{url}' is no broker: write mqtts://[USER@]HOST[:PORT], and the password "
                "into $CICADA_MQTT_PASSWORD"
            )
        tls = parts.scheme == "mqtts"
        return cls(parts.hostname, port or (8883 if tls else 1883), tls, parts.username)

    def __str__(self) -> str:
        return f"the MQTT broker at {self.host}:{self.port}"


@dataclass(frozen=True)
class Login:
    """Files and secrets for a broker: CA (None for the system's), own certificate and key, password."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    password: str | None = None


def send(
    broker: Broker,
    login: Login,
    topics: str,
    envelope: bytes,
    counter: int,
    wait_s: float,
    on_capture: Callable[[bytes], None] = lambda data: None,
) -> dict[str, Any] | None:
    """Publish a command and wait for its answer.

    Args:
        broker, login: where to.
        topics: ``PREFIX/DEVICE``.
        envelope: the command.
        counter: of the envelope, which its answer repeats.
        wait_s: how long to wait, s; 0: only until the broker has it.
        on_capture: called with each message of a capture.

    Returns:
        the answer, None if none came.

    Raises:
        UserError: the broker cannot be reached or refuses.
    """
    answers: queue.Queue[dict[str, Any]] = queue.Queue()

    def on_message(client: Any, data: Any, message: Any) -> None:
        if message.topic.endswith("/capture"):
            on_capture(message.payload)
            return
        with contextlib.suppress(ValueError):
            said = json.loads(message.payload)
            if isinstance(said, dict) and said.get("counter") == counter:
                answers.put(said)

    with _connected(broker, login, on_message) as client:
        for topic in ("answer", "capture"):
            client.subscribe(f"{topics}/{topic}", 1)
        sent = client.publish(f"{topics}/command", envelope, qos=1)
        with contextlib.suppress(RuntimeError):  # the connection went; said below
            sent.wait_for_publish(_PATIENCE_S)
        if not sent.is_published():
            raise UserError(f"{broker} does not take the command: look into its log")
        try:
            return answers.get(timeout=wait_s) if wait_s else None
        except queue.Empty:
            return None


@contextlib.contextmanager
def _connected(broker: Broker, login: Login, on_message: Callable[..., None]) -> Iterator[Any]:
    """A client that is logged in; at the end it takes its leave."""
    try:
        import paho.mqtt.client as paho
    except ImportError as error:
        raise UserError(
            "paho-mqtt is missing: install it with pip install -e '.[release]', or write the command to a "
            "file with --out"
        ) from error
    ready: queue.Queue[Any] = queue.Queue()
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.connect_timeout = _PATIENCE_S
    client.on_connect = lambda client, data, flags, reason, properties: ready.put(reason)
    client.on_message = on_message
    if broker.user is not None:
        client.username_pw_set(broker.user, login.password)
    try:
        if broker.tls:
            files = [str(file) if file else None for file in (login.ca, login.cert, login.key)]
            client.tls_set(*files)
        client.connect(broker.host, broker.port)
    except ssl.SSLError as error:
        raise UserError(
            f"no TLS with {broker}: {error.reason or error}; check the CA and the name"
        ) from error
    except OSError as error:
        raise UserError(
            f"{broker} cannot be reached ({error.strerror or error}): check host, port and files"
        ) from error
    client.loop_start()
    try:
        try:
            reason = ready.get(timeout=_PATIENCE_S)
        except queue.Empty:
            raise UserError(f"{broker} does not answer: is it one, and does it want TLS?") from None
        if reason.is_failure:
            raise UserError(f"{broker} refuses: {reason}; check user and password")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def whole(ask: Callable[[Mapping[str, Any]], dict[str, Any] | None]) -> dict[str, Any] | None:
    """An answer with all its pages.

    Args:
        ask: sends the command with further arguments and returns the answer, None if none came.
    """
    answer = ask({})
    if answer is None or "part" not in answer:
        return answer
    parts = [answer["part"]]
    for page in range(1, answer["pages"]):
        more = ask({"page": page})
        if more is None or "part" not in more:
            return more
        parts.append(more["part"])
    try:
        return json.loads("".join(parts))
    except ValueError:
        raise UserError("the answer changed while its pages came: ask once more") from None


def over_serial(
    port: str,
    baud: int,
    line: str,
    wait_s: float,
    on_capture: Callable[[dict[str, Any]], None] = lambda piece: None,
) -> dict[str, Any] | None:
    """Type a command at a node's console and wait for its answer.

    Args:
        port: serial port or URL.
        baud: bits a second.
        line: the command as one types it.
        wait_s: how long to wait, s.
        on_capture: called with each piece of a capture.

    Returns:
        the answer, None if none came.

    Raises:
        UserError: the port cannot be used.
    """
    from cicada.tools.monitor.link import Gone, Link

    link = Link(port, baud)
    try:
        link.write(b"\n" + line.encode() + b"\n")
        text, end = b"", time.monotonic() + wait_s
        while time.monotonic() < end:
            if not _readable(link, end - time.monotonic()):
                continue
            text += link.read()
            *lines, text = text.split(b"\n")
            for said in lines:
                found = _said(said)
                if found and found[0] == "ANSWER":
                    return found[1]
                if found:
                    on_capture(found[1])
    except Gone:
        raise UserError(f"{port} is gone: was the board unplugged?") from None
    finally:
        link.close()
    return None


def _readable(link: Any, seconds: float) -> bool:
    import select

    return bool(select.select([link], [], [], max(0.0, seconds))[0])


def _said(line: bytes) -> tuple[str, dict[str, Any]] | None:
    """An answer or a piece of a capture in a line of the console."""
    word, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
    if word in ("ANSWER", "CAPTURE"):
        with contextlib.suppress(ValueError):
            found = json.loads(rest)
            if isinstance(found, dict):
                return word, found
    return None
