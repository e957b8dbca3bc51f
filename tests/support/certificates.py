"""Certificates for tests: an authority's, a server's, devices', in the forms that are out there."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization as ser

YEAR = datetime.timedelta(days=365)
NOW = datetime.datetime.now(datetime.timezone.utc)


@dataclass
class Shown:
    """A certificate and its key, as bytes.

    Attributes:
        pem, der: the certificate.
        key: the key by form: ``pkcs8``, ``traditional`` (SEC 1 or PKCS #1), ``der``, ``encrypted``.
    """

    pem: bytes
    der: bytes
    key: dict[str, bytes]


def device(authority: trustme.CA, rsa: bool = False, **more: object) -> Shown:
    """A client's certificate of that authority."""
    kind = trustme.KeyType.RSA if rsa else trustme.KeyType.ECDSA
    issued = authority.issue_cert(common_name="node", key_type=kind, **more)
    pem = issued.cert_chain_pems[0].bytes()
    key = ser.load_pem_private_key(issued.private_key_pem.bytes(), None)
    plain, secret = ser.NoEncryption(), ser.BestAvailableEncryption(b"pass")
    forms = {
        "pkcs8": key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, plain),
        "traditional": key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.TraditionalOpenSSL, plain),
        "der": key.private_bytes(ser.Encoding.DER, ser.PrivateFormat.PKCS8, plain),
        "encrypted": key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, secret),
    }

    return Shown(pem, ssl.PEM_cert_to_DER_cert(pem.decode()), forms)


def server(authority: trustme.CA, folder: Path, *names: str, **more: object) -> tuple[Path, Path, Path]:
    """CA, chain and key of a server as PEM files in a folder."""
    issued = authority.issue_cert(*names, **more)
    files = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(files[0]))
    issued.private_key_pem.write_to_path(str(files[2]))
    for pem in issued.cert_chain_pems:
        pem.write_to_path(str(files[1]), append=True)
    return files
