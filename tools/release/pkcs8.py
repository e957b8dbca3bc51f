"""Encrypted private keys in PKCS#8, with a passphrase that is slow to guess.

``cryptography`` derives the key of such a file with 2048 rounds of PBKDF2, which is cheap to try in parallel.
A try of scrypt with these parameters takes 16 MiB. OpenSSL and ``cryptography`` read the result.

Formats: RFC 5958 (EncryptedPrivateKeyInfo), RFC 8018 A.4 (PBES2), RFC 7914 section 7 (scrypt), RFC 3565
(AES-256-CBC), RFC 7468 (PEM).
"""

from __future__ import annotations

import base64
import os
import textwrap

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

#: Cost, block size and parallelism of scrypt; the memory it takes, 128 N r bytes, is what OpenSSL allows.
N, R, P = 1 << 14, 8, 1

_PBES2 = bytes.fromhex("2a864886f70d01050d")  # 1.2.840.113549.1.5.13
_SCRYPT = bytes.fromhex("2b06010401da47040b")  # 1.3.6.1.4.1.11591.4.11
_AES_256_CBC = bytes.fromhex("60864801650304012a")  # 2.16.840.1.101.3.4.1.42


def encrypt(key: bytes, passphrase: bytes) -> bytes:
    """PEM text of a private key.

    Args:
        key: PrivateKeyInfo in DER, not encrypted.
        passphrase: not empty.
    """
    salt, vector = os.urandom(16), os.urandom(16)
    secret = Scrypt(salt=salt, length=32, n=N, r=R, p=P).derive(passphrase)
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(secret), modes.CBC(vector)).encryptor()
    hidden = cipher.update(padder.update(key) + padder.finalize()) + cipher.finalize()
    derivation = _sequence(_oid(_SCRYPT), _sequence(_octets(salt), _integer(N), _integer(R), _integer(P)))
    scheme = _sequence(_oid(_AES_256_CBC), _octets(vector))
    der = _sequence(_sequence(_oid(_PBES2), _sequence(derivation, scheme)), _octets(hidden))
    lines = "\n".join(textwrap.wrap(base64.b64encode(der).decode(), 64))
    return f"-----BEGIN ENCRYPTED PRIVATE KEY-----\n{lines}\n-----END ENCRYPTED PRIVATE KEY-----\n".encode()


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(length))) + length + content


def _sequence(*members: bytes) -> bytes:
    return _tagged(0x30, b"".join(members))


def _octets(content: bytes) -> bytes:
    return _tagged(4, content)


def _oid(content: bytes) -> bytes:
    return _tagged(6, content)


def _integer(value: int) -> bytes:
    return _tagged(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))
