"""A real MQTT broker for tests: mosquitto, on a free port of this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest

USER, PASSWORD = "node", "a pass word"


@dataclass
class Broker:
    """A broker that runs.

    Attributes:
        host, port: where it listens.
        ca: CA file for TLS, None without.
        log: file it writes what it did to.
    """

    host: str
    port: int
    ca: Path | None
    log: Path
    _command: list[str]
    _process: subprocess.Popen | None = None

    def start(self) -> None:
        """Start it; it listens when this returns."""
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(self._command, **pipes)
        _wait_for(self._process, self.port)

    def stop(self) -> None:
        """End it; what it keeps for clients that are away is kept if it was told to."""
        self._process.terminate()
        self._process.communicate(timeout=10)

    def client(self, name: str = "", certificate: tuple[Path, Path] | None = None) -> paho.Client:
        """A paho client, connected and at work.

        Args:
            name: client id; with one, the broker keeps its session, and it comes back after a loss.
            certificate: files of the client's own chain and key.
        """
        client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
        client.username_pw_set(USER, PASSWORD)
        client.reconnect_delay_set(0.1, 0.1)
        if self.ca:
            chain, key = certificate or (None, None)
            client.tls_set(str(self.ca), chain, key)
        client.connect(self.host, self.port)
        client.loop_start()
        return client

    def publish(self, topic: str, payload: bytes, retain: bool = True) -> None:
        """Publish one message and wait until the broker has it."""
        client = self.client()
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()


@contextlib.contextmanager
def running(
    folder: Path, certificate: tuple[Path, Path, Path] | None = None, settings: tuple[str, ...] = ()
) -> Iterator[Broker]:
    """A broker that knows ``USER`` only.

    Without mosquitto the test is skipped; with ``CICADA_REQUIRE_TOOLS=1`` it fails.

    Args:
        folder: for its files.
        certificate: CA, chain and key as PEM files; it speaks TLS with them.
        settings: further lines of its configuration, for the listener or after it.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    program, hasher = (shutil.which(name, path=path) for name in ("mosquitto", "mosquitto_passwd"))
    if not program or not hasher:
        reason = "mosquitto is not installed (Debian package mosquitto)"
        (pytest.fail if os.environ.get("CICADA_REQUIRE_TOOLS") == "1" else pytest.skip)(reason)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    users = folder / "users"
    users.touch(mode=0o600)
    subprocess.run([hasher, "-b", users, USER, PASSWORD], check=True, capture_output=True)
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {users}",
        "max_packet_size 100000",
        f"log_dest file {folder / 'log'}",
        "log_type all",
        *settings,
    ]
    if not any(line.startswith("persistence ") for line in settings):
        lines.append("persistence false")
    if os.geteuid() == 0:
        lines.append("user root")  # else it changes to one who may not read these files
    if certificate:
        _, chain, key = certificate
        lines += [f"certfile {chain}", f"keyfile {key}"]
    written = folder / "mosquitto.conf"
    written.write_text("\n".join(lines) + "\n")
    host = "localhost" if certificate else "127.0.0.1"
    broker = Broker(
        host, port, certificate[0] if certificate else None, folder / "log", [program, "-c", written]
    )
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


def _wait_for(process: subprocess.Popen, port: int) -> None:
    """Until it listens."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)
    raise AssertionError("mosquitto does not listen")
