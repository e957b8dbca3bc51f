"""Announce releases by MQTT: every newest envelope becomes a retained message.

A device that subscribes to ``cicada/PRODUCT/BOARD/firmware`` or ``cicada/PRODUCT/BOARD/model/NAME`` gets the
envelope at once, however long ago it was announced; MQTT 3.1.1, section 3.3.1.3. What it names is fetched by
HTTP.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from cicada.tools.errors import UserError, from_os_error
from cicada.tools.release import envelope
from cicada.tools.release import manifest as manifests
from cicada.tools.release.repository import Series

_PATIENCE_S = 10.0


def announce(
    root: Path,
    host: str,
    port: int,
    user: str | None = None,
    password: str | None = None,
    tls: Path | None = None,
    product: str = "cicada",
) -> list[str]:
    """Publish the newest release of each kind and board, retained, at QoS 1.

    Args:
        root: of the repository of releases.
        host, port: of the broker.
        user, password: for the broker; None for none.
        tls: file with the CA's certificate, PEM; None for a connection without TLS.
        product: releases of other products are left alone.

    Returns:
        The topics, once the broker has every message.

    Raises:
        UserError: if there is nothing to announce, or the broker cannot be reached or refuses.
    """
    messages = newest(root, product)
    if not messages:
        raise UserError(f"no release of {product} in {root}: make one first")
    where = f"the MQTT broker at {host}:{port}"
    with _connected(where, host, port, user, password, tls) as client:
        for topic, data in messages.items():
            sent = client.publish(topic, data, qos=1, retain=True)
            with contextlib.suppress(RuntimeError):  # the connection went; said below
                sent.wait_for_publish(_PATIENCE_S)
            if not sent.is_published():
                raise UserError(f"{where} does not acknowledge {topic}: look into its log")
    return list(messages)


def newest(root: Path, product: str) -> dict[str, bytes]:
    """Envelopes of the newest releases by the topic they are announced at.

    Signatures are left to the devices: who can write into the repository can announce what is in it.

    Raises:
        UserError: for a file that is no release.
    """
    messages = {}
    for path in sorted(root.glob("*/*.release")):
        try:
            data = path.read_bytes()
            about = manifests.decode(data[envelope.HEADER_SIZE :])
        except OSError as error:
            raise from_os_error(error, f"reading {path}") from error
        except ValueError as error:
            raise UserError(f"{path} is no release ({error}): take it out of the repository") from error
        board, kind, name = path.parent.name, about["kind"], about["name"]
        if (about["product"], about["board"]) != (product, board):
            continue
        if path == Series(root, board, kind, name).newest_file:
            what = kind if kind == manifests.FIRMWARE else f"{kind}/{name}"
            messages[f"cicada/{product}/{board}/{what}"] = data
    return messages


@contextlib.contextmanager
def _connected(
    where: str, host: str, port: int, user: str | None, password: str | None, tls: Path | None
) -> Iterator[paho.Client]:
    """A client that is logged in; at the end it takes its leave."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv311)
    client.connect_timeout = _PATIENCE_S
    answered = threading.Event()
    answer: list[ReasonCode] = []

    def on_connect(client, data, flags, reason, properties):
        answer.append(reason)
        answered.set()

    client.on_connect = on_connect
    if user is not None:
        client.username_pw_set(user, password)
    try:
        if tls is not None:
            client.tls_set(str(tls))
    except OSError as error:
        raise UserError(f"no CA certificate in {tls}: {error.strerror or error}") from error
    try:
        client.connect(host, port)
    except ssl.SSLError as error:
        raise UserError(f"no TLS with {where}: {error.reason or error}; check the CA and the name") from error
    except OSError as error:
        raise UserError(
            f"{where} cannot be reached ({error.strerror or error}): check host, port, and whether it runs"
        ) from error
    client.loop_start()
    try:
        if not answered.wait(_PATIENCE_S):
            raise UserError(f"{where} does not answer: is that an MQTT broker, and does it want TLS?")
        if answer[0].is_failure:
            raise UserError(f"{where} refuses: {answer[0]}; check user and password")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()
