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

    def client(self) -> paho.Client:
        """A paho client, connected and at work."""
        client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        client.username_pw_set(USER, PASSWORD)
        if self.ca:
            client.tls_set(str(self.ca))
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
def running(folder: Path, certificate: tuple[Path, Path, Path] | None = None) -> Iterator[Broker]:
    """A broker that knows ``USER`` only.

    Without mosquitto the test is skipped; with ``CICADA_REQUIRE_TOOLS=1`` it fails.

    Args:
        folder: for its files.
        certificate: CA, chain and key as PEM files; it speaks TLS with them.
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
        "persistence false",
        "max_packet_size 100000",
        f"log_dest file {folder / 'log'}",
        "log_type all",
    ]
    if os.geteuid() == 0:
        lines.append("user root")  # else it changes to one who may not read these files
    if certificate:
        _, chain, key = certificate
        lines += [f"certfile {chain}", f"keyfile {key}"]
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen([program, "-c", settings], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        _wait_for(process, port)
        host = "localhost" if certificate else "127.0.0.1"
        yield Broker(host, port, certificate[0] if certificate else None, folder / "log")
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _wait_for(process: subprocess.Popen, port: int) -> None:
    """Until it listens."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.05)
    raise AssertionError("mosquitto does not listen")
