"""What a node is to be set up with: from options, files, the environment and the keyboard.

Secrets never come from the command line, which every user of a machine can read.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cicada.tools.errors import UserError, from_os_error

#: Bytes of a certificate or key that a node keeps (firmware/app/node/secrets.py).
MOST = 2048


def collect(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that ``node.provision.apply.check`` takes, by name; bytes where it wants bytes.

    Args:
        options: of the command line.

    Raises:
        UserError: what is missing or wrong.
    """
    if options.standalone:
        if options.ssid or options.broker or options.config:
            raise UserError(
                "--standalone is for a node without a network: leave out --ssid, --broker and --config"
            )
        return {"standalone": True}
    given: dict[str, Any] = {}
    if options.config:
        given["config"] = _config(options.config)
    if options.ssid:
        given["ssid"] = options.ssid
        given["key"] = _key(options)
    elif options.key_file or options.open:
        raise UserError("a key was given, but no network: add --ssid NAME")
    if options.name:
        given["name"] = options.name
    if options.broker:
        from cicada.tools.node.remote import Broker

        broker = Broker.parse(options.broker)
        given |= {"host": broker.host, "port": broker.port, "tls": broker.tls}
        options.user = options.user or broker.user
    if options.user:
        given["user"] = options.user
        given["password"] = _secret(
            options.password_file, "CICADA_MQTT_PASSWORD", f"Password of {options.user} at the broker: "
        )
    elif options.password_file:
        raise UserError("a password was given, but no user: add --user NAME")
    if options.ca:
        given["ca"] = _ca(options.ca)
    if bool(options.cert) != bool(options.client_key):
        raise UserError("a client certificate and its key belong together: give --cert and --client-key")
    if options.cert:
        given |= _pair(options.cert, options.client_key)
    if not given:
        raise UserError(
            "there is nothing to set up: give --ssid NAME, --broker URL, --config FILE or --standalone"
        )
    return given


def encoded(given: dict[str, Any]) -> dict[str, bytes]:
    """Settings as they are sent: bytes as they are, everything else as JSON."""
    return {
        name: value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        for name, value in given.items()
    }


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error


def _config(path: Path) -> dict[str, Any]:
    """The document in a file, which a node would take."""
    from cicada.tools.node import device

    device.read(path)
    return json.loads(_read(path))


def _key(options: argparse.Namespace) -> str | None:
    if options.open:
        return None
    key = _secret(options.key_file, "CICADA_WIFI_KEY", f"Key of the network {options.ssid}: ")
    if not 8 <= len(key) <= 64:
        raise UserError(
            "the key of a network has 8 to 63 letters, or 64 hex digits; --open is for one without"
        )
    return key


def _secret(file: Path | None, variable: str, question: str) -> str:
    """From a file, the environment or the keyboard."""
    if file:
        try:
            found = _read(file).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UserError(f"{file} holds no text") from None
    elif variable in os.environ:
        found = os.environ[variable]
    elif sys.stdin.isatty():
        found = getpass.getpass(question)
    else:
        raise UserError(
            f"{question.rstrip(': ')}: nobody is there to type it; put it into a file or into {variable}"
        )
    if not found:
        raise UserError(f"{question.rstrip(': ')}: it is empty")
    return found


def _ca(path: Path) -> str:
    data = _read(path)
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise UserError(f"{path} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None
    pem = "".join(one.public_bytes(serialization.Encoding.PEM).decode() for one in found)
    size = len(pem) if len(found) > 1 else len(found[0].public_bytes(serialization.Encoding.DER))
    if size > MOST:
        raise UserError(
            f"{path} comes to {size} bytes, a node keeps {MOST}: give the one certificate it needs"
        )
    return pem


def _pair(cert: Path, key: Path) -> dict[str, bytes]:
    """A client's certificate and key as DER, which is smaller than PEM; they must belong together."""
    try:
        certificate = x509.load_pem_x509_certificates(_read(cert))[0]
    except ValueError:
        raise UserError(f"{cert} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)") from None
    try:
        private = serialization.load_pem_private_key(_read(key), None)
    except TypeError:
        raise UserError(f"{key} is encrypted: a node has nobody to ask for its passphrase") from None
    except ValueError:
        raise UserError(f"{key} holds no private key in PEM form") from None
    public = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    if certificate.public_key().public_bytes(*public) != private.public_key().public_bytes(*public):
        raise UserError(f"{key} is not the key of {cert}")
    made = {
        "client_cert": certificate.public_bytes(serialization.Encoding.DER),
        "client_key": private.private_bytes(
            serialization.Encoding.DER,
            # Smaller than PKCS#8 by what a node knows anyway.
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    }
    for path, data in ((cert, made["client_cert"]), (key, made["client_key"])):
        if len(data) > MOST:
            raise UserError(f"{path} comes to {len(data)} bytes, a node keeps {MOST}: use the curve P-256")
    return made
