"""Releases that are announced by MQTT and fetched by HTTP."""

import binascii
import json

import machine
from micropython import const

from node.net import LinkError
from node.net.http_transport import HttpTransport
from node.net.mqtt import Client

_ENVELOPE = const(2128)
_RETAINED_MS = const(2000)  # from SUBACK to the retained message: a broker without one says nothing


class MqttTransport:
    """The way to releases by MQTT.

    A release announced for ``product``, ``board`` is the retained message of
    ``cicada/<product>/<board>/firmware`` or ``cicada/<product>/<board>/model/<name>``.

    Args:
        config: settings of the device for updates: ``mqtt`` (``host``, ``port``, ``user``, ``password``,
            ``tls``), ``url`` of the releases, ``ca``.
    """

    def __init__(self, config):
        self._config = config
        self._files = HttpTransport(config)

    def newest(self, board, product, kind, name):
        """Envelope of the release that is announced, or None.

        Raises:
            LinkError: see Client; or what is announced cannot be a release.
        """
        topic = "cicada/%s/%s/%s" % (product, board, kind if kind == "firmware" else kind + "/" + name)
        client = self._client()
        client.connect()
        try:
            client.subscribe(topic)
            message = client.wait(_RETAINED_MS)
        finally:
            client.disconnect()
        if message is None or not message[1]:  # an empty one takes a retained one back (3.3.1.3)
            return None
        if message[0] != topic or len(message[1]) > _ENVELOPE:
            raise LinkError("MQTT: not an announcement")
        return message[1]

    def open(self, board, file, offset):
        """The node.net.http.Body of one of the release's files from ``offset`` on."""
        return self._files.open(board, file, offset)

    def report(self, kind, serial, result, text):
        """Say how it goes, in JSON, at ``cicada/<product>/<board>/<device id>/updates``.

        Args:
            result: "started", "confirmed", "failed" or "refused".
            text: why.
        """
        # Only an image has this module, it is written for each.
        from node.identity import IDENTITY

        who = json.loads(IDENTITY[len("CICADA-IDENTITY ") : -1])
        topic = "cicada/%s/%s/%s/updates" % (who["product"], who["board"], _device())
        said = {"schema": 1, "kind": kind, "serial": serial, "result": result, "text": text}
        client = self._client()
        client.connect()
        try:
            client.publish(topic, json.dumps(said).encode())
        finally:
            client.disconnect()

    def close(self):
        """Nothing stays open between two calls."""

    def _client(self):
        at = self._config["mqtt"]
        return Client(
            at["host"],
            at["port"],
            # Not the node's own id (node.uplink): the broker ends one connection for another of the same.
            "cicadau" + _device(),
            at.get("user"),
            at.get("password"),
            (self._config.get("ca"), None, None) if at.get("tls") else None,
        )


def _device():
    return binascii.hexlify(machine.unique_id()).decode()
