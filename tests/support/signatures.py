"""P-256 in plain integers, and signatures on the edge of what is valid.

The formulas are those of SEC 1 (2.2.1, 4.1.3, 4.1.4), the constants of SEC 2 (2.4.2). They make signatures
that no library hands out: with chosen r, with a sum at infinity, with a sum of equal points.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
Point = tuple[int, int]
_HASH = ec.ECDSA(utils.Prehashed(hashes.SHA256()))


class Case(NamedTuple):
    """A call of ``verify``; ``expected`` is True, False, or None where the key must be refused."""

    name: str
    key: bytes
    signature: bytes
    digest: bytes
    expected: bool | None


def add(a: Point | None, b: Point | None) -> Point | None:
    """Sum of two points; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] ** 2 - 3) * pow(2 * a[1], -1, P)
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P)
    x = (slope**2 - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def times(factor: int, point: Point | None) -> Point | None:
    """Multiple of a point."""
    total = None
    for bit in bin(factor % N)[2:]:
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def lift(x: int) -> Point | None:
    """A point with this x, or None."""
    square = (x**3 - 3 * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    return (x, y) if y * y % P == square else None


def b32(value: int) -> bytes:
    """32 bytes, most significant first."""
    return value.to_bytes(32, "big")


def encode(point: Point) -> bytes:
    """An uncompressed point."""
    return b"\x04" + b32(point[0]) + b32(point[1])


def sign(private: int, digest: bytes) -> bytes:
    """r and s of a signature by OpenSSL."""
    key = ec.derive_private_key(private, ec.SECP256R1())
    r, s = utils.decode_dss_signature(key.sign(digest, _HASH))
    return b32(r) + b32(s)


def openssl(key: bytes, signature: bytes, digest: bytes) -> bool | None:
    """What OpenSSL says; None if it refuses the key."""
    try:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), key)
    except ValueError:
        return None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        public.verify(utils.encode_dss_signature(r, s), digest, _HASH)
    except InvalidSignature:
        return False
    return True


@cache
def cases() -> list[Case]:
    """The edges, each with what is right."""
    private = 0x1F2E3D4C5B6A79880123456789ABCDEF00112233445566778899AABBCCDDEEFF
    public = times(private, G)
    key, digest = encode(public), hashlib.sha256(b"manifest").digest()
    signature = sign(private, digest)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    found = [
        Case("valid", key, signature, digest, True),
        Case("the other s", key, b32(r) + b32(N - s), digest, True),
        Case("r and s swapped", key, b32(s) + b32(r), digest, False),
        Case("another digest", key, signature, hashlib.sha256(b"Manifest").digest(), False),
        Case("another key", encode(times(2, G)), signature, digest, False),
        Case("the negated key", encode((public[0], P - public[1])), signature, digest, False),
    ]
    for name, value in (
        ("0", 0),
        ("1", 1),
        ("n - 1", N - 1),
        ("n", N),
        ("n + 1", N + 1),
        ("max", 2**256 - 1),
    ):
        found.append(Case(f"r is {name}", key, b32(value) + b32(s), digest, False))
        found.append(Case(f"s is {name}", key, b32(r) + b32(value), digest, False))
        found.append(Case(f"r and s are {name}", key, b32(value) * 2, digest, False))
    for name, value in (("0", 0), ("n", N), ("n + 1", N + 1), ("max", 2**256 - 1)):
        found.append(Case(f"digest is {name}", key, sign(private, b32(value)), b32(value), True))
    x, y = public
    for name, wrong in (
        ("off the curve", encode((x, y ^ 1))),
        ("x of 0 and y of 0", encode((0, 0))),
        ("y of p", b"\x04" + b32(x) + b32(P)),
        ("x beyond p", b"\x04" + b32(lift_small()[0] + P) + b32(lift_small()[1])),
        ("compressed", bytes([2 + (y & 1)]) + key[1:]),
        ("hybrid", bytes([6 + (y & 1)]) + key[1:]),
        ("infinity", bytes(65)),
    ):
        found.append(Case(f"key {name}", wrong, signature, digest, None))
    return found + [_beyond_the_order(), _beyond_the_order_plus_n(), _infinity(private), _doubling(private)]


def lift_small() -> Point:
    """The point with the smallest x, which fits 32 bytes with p added to it."""
    return next(point for point in map(lift, range(1, 100)) if point)


def _beyond_the_order() -> Case:
    """The sum's x is n or more, so that r is x - n: the key that makes it so is r^-1 (s R - z G)."""
    x = next(x for x in range(N + 1, P) if lift(x))
    r, s, digest = x - N, 12345, hashlib.sha256(b"beyond").digest()
    z = int.from_bytes(digest, "big")
    key = times(pow(r, -1, N), add(times(s, lift(x)), times(-z, G)))
    return Case("the sum's x is beyond n", encode(key), b32(r) + b32(s), digest, True)


def _beyond_the_order_plus_n() -> Case:
    """The same with x itself for r, which is not reduced."""
    case = _beyond_the_order()
    r = int.from_bytes(case.signature[:32], "big") + N
    return case._replace(name="r is not reduced", signature=b32(r) + case.signature[32:], expected=False)


def _infinity(private: int) -> Case:
    """z + r d = 0, so that the sum is the point at infinity, which has no x."""
    r, s = 777, 888
    digest = b32(-r * private % N)
    return Case("the sum is at infinity", encode(times(private, G)), b32(r) + b32(s), digest, False)


def _doubling(private: int) -> Case:
    """Both addends are one point, u G, which the common formula for sums cannot add."""
    u = 0xABCDEF
    r = times(2 * u, G)[0] % N
    s = r * private * pow(u, -1, N) % N
    return Case(
        "the sum is of equal points", encode(times(private, G)), b32(r) + b32(s), b32(u * s % N), True
    )


def script() -> str:
    """MicroPython that gives every case to ``trust.verify`` and prints what comes; see :func:`printed`."""
    lines = [
        "import trust",
        "def t(*arguments):",
        "    try:",
        "        print(trust.verify(*arguments))",
        "    except ValueError as e:",
        "        print('ValueError:', e)",
    ]
    for case in cases():
        lines.append(f"t({case.key!r}, {case.signature!r}, {case.digest!r})")
    return "\n".join(lines) + "\n"


def printed() -> str:
    """What :func:`script` must print."""
    refused = "ValueError: key is not a point of P-256"
    return "".join(f"{refused if case.expected is None else case.expected}\n" for case in cases())
