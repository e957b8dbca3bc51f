"""Releases that nobody should take, each with what a device must say to it."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cicada.tools.release.payload import COPY, DATA, DIFF, OPERATION, Block, Payload, chain, full
from support.releases import code
from support.slots import SLOTS
from support.updates import FIRMWARE, KEY, MODEL, SECTOR, STRANGER, Shelf, model
from support.weights import BUILT_IN

#: Nothing boots of it, and it packs badly.
IMAGE = code(1, 5 * SECTOR + 100)


@dataclass(frozen=True)
class Case:
    """One attack.

    Args:
        lay: puts it on the shelf.
        says: what the console must say, beside that it listens.
        event: whether an event must say "refused".
        facts: what is in the journal before, as arguments of ``append``.
        touches: partitions that may be written; "spare" for the slot that an update goes to.
    """

    lay: Callable[[Shelf], Any]
    says: str
    event: bool = True
    facts: tuple[dict, ...] = ()
    touches: tuple[str, ...] = ()


def good(shelf: Shelf, **changes: Any) -> bytes:
    """A firmware release that nothing is wrong with but what ``changes`` say."""
    return shelf.sign(FIRMWARE, shelf.manifest(FIRMWARE, IMAGE, 10) | changes)


def changed(data: bytes, at: int, bit: int = 0) -> bytes:
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def forged(how: Callable[[bytes], bytes]) -> Callable[[Shelf], None]:
    """A good release whose envelope was changed afterwards."""
    return lambda shelf: shelf.put(FIRMWARE, how(good(shelf)))


def payload_of(**changes: Any) -> Callable[[Shelf], bytes]:
    """A good release with another entry for its payload."""

    def lay(shelf: Shelf) -> bytes:
        about = shelf.manifest(FIRMWARE, IMAGE, 10)
        return shelf.sign(FIRMWARE, about | {"payloads": [about["payloads"][0] | changes]})

    return lay


def unsigned(data: bytes) -> bytes:
    return data[:16] + bytes(64) + data[80:]


def by_a_stranger(data: bytes) -> bytes:
    """Signed by a key that nobody trusts, with the id of one that is."""
    fields, manifest = data[:16], data[80:]
    return fields + STRANGER.sign(hashlib.sha256(fields + manifest).digest()) + manifest


MALFORMED, UNSIGNED = "refused: the manifest is malformed", "refused: the signature is wrong"
FORM = "refused: a release of a form that this firmware does not know"

CASES: dict[str, Case] = {
    "unsigned": Case(forged(unsigned), UNSIGNED),
    "bare manifest": Case(forged(lambda data: data[80:]), "refused: not a release"),
    "noise": Case(lambda shelf: shelf.put(FIRMWARE, code(3, 2128)), "refused: not a release"),
    "wrong key": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10, signer=STRANGER), "refused: signed with a key that"
    ),
    "wrong key under a trusted id": Case(forged(by_a_stranger), UNSIGNED),
    "signature of another release": Case(
        lambda shelf: shelf.put(FIRMWARE, good(shelf)[:80] + good(shelf, serial=11)[80:]), UNSIGNED
    ),
    "revoked key": Case(
        good,
        "refused: signed with a revoked key",
        facts=({"what": 4, "digest": bytes.fromhex(KEY.id) + bytes(24)},),
    ),
    "revokes its own key": Case(
        lambda shelf: good(shelf, revoke=[KEY.id]), "refused: it revokes the key it is signed with"
    ),
    "another board": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10, board="esp32"), "refused: for board esp32"
    ),
    "another product": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10, product="cricket"), "refused: for product cricket"
    ),
    "a model for firmware": Case(
        lambda shelf: shelf.sign(FIRMWARE, shelf.manifest(MODEL, model(), 10)),
        "refused: it is of another kind",
    ),
    "firmware for a model": Case(
        lambda shelf: shelf.sign(MODEL, shelf.manifest(FIRMWARE, IMAGE, 10)), "refused: it is of another kind"
    ),
    "another model": Case(
        lambda shelf: shelf.sign(MODEL, shelf.manifest(MODEL, model(), 10, name="other")),
        "refused: it is of another kind",
    ),
    "firmware of another name": Case(
        lambda shelf: good(shelf, name="boot"), "refused: it is of another kind"
    ),
    "replay": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10),
        "refused: serial 10 is not newer than 11",
        facts=({"what": 3, "count": 1, "serial": 11},),
    ),
    "downgrade": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10, security=0), "refused: security version 0 is below 1"
    ),
    "model below the floor": Case(
        lambda shelf: shelf.publish(MODEL, model(), 10, security=4),
        "refused: security version 4 is below 5",
        facts=({"what": 2, "kind": 1, "security": 5},),
    ),
    "needs newer firmware": Case(
        lambda shelf: shelf.publish(FIRMWARE, IMAGE, 10, min_version="1.0.1"), "refused: needs firmware 1.0.1"
    ),
    "image larger than its slot": Case(
        lambda shelf: good(shelf, image={"size": SLOTS["ota_0"].size + 1, "sha256": "0" * 64}),
        "do not fit into a slot",
    ),
    "model larger than its slot": Case(
        lambda shelf: shelf.sign(
            MODEL,
            shelf.manifest(MODEL, model(), 10)
            | {"image": {"size": SLOTS["model_0"].size - SECTOR + 1, "sha256": "0" * 64}},
        ),
        "do not fit into a slot",
    ),
    "payload larger than its image": Case(
        payload_of(size=len(IMAGE) + len(IMAGE) // 8 + 65537), "refused: a payload of"
    ),
    "envelope longer than any": Case(
        forged(lambda data: data.ljust(2129)), "2129 bytes where 2128 are the most", event=False
    ),
    "envelope with a tail": Case(forged(lambda data: data + b"\0"), FORM),
}
CASES |= {
    f"envelope of {size} bytes": Case(
        forged(lambda data, size=size: data[:size]), "refused: not a release" if size <= 80 else FORM
    )
    for size in (1, 4, 16, 79, 80, 81, 300)
}
CASES |= {
    f"bit flipped at {at}": Case(forged(lambda data, at=at: changed(data, at, at % 8)), says)
    for at, says in (
        (0, "refused: not a release"),
        (4, FORM),
        (5, FORM),
        (6, FORM),
        (7, FORM),
        (8, "refused: signed with a key"),
        (15, "refused: signed with a key"),
        (16, UNSIGNED),
        (47, UNSIGNED),
        (48, UNSIGNED),
        (79, UNSIGNED),
        (80, UNSIGNED),
        (81, UNSIGNED),
        (300, UNSIGNED),
        (-1, UNSIGNED),
    )
}
CASES |= {
    f"file {name!r}"[:40]: Case(payload_of(file=name), MALFORMED)
    for name in (
        "../firmware.payload",
        "..",
        "/etc/passwd",
        "a/b",
        ".hidden",
        "a\\b",
        "%2e%2e%2fa",
        "a?b",
        "a b",
        "",
        "x" * 97,
        "x\r\nHost: y",
        "x\0",
        "\u00fc",
        7,
        None,
    )
}
CASES |= {
    f"manifest {name}": Case(lambda shelf, text=text: shelf.sign(FIRMWARE, text), MALFORMED)
    for name, text in (
        ("that is a list", b"[]"),
        ("that is a number", b"17"),
        ("that is nothing", b"  "),
        ("that is no JSON", b'{"schema":'),
        ("that is no text", b"\xff\xfe\x80\0"),
        ("nested deeply", b"[" * 2048),
        ("of objects nested deeply", b'{"a":' * 400),
        ("with a huge number", b'{"serial":' + b"9" * 2000 + b"}"),
        ("with a huge exponent", b'{"serial":1e999999999}'),
    )
}
CASES |= {
    f"manifest whose {name} is {str(value)[:20]}": Case(
        lambda shelf, name=name, value=value: good(shelf, **{name: value}), MALFORMED
    )
    for name, value in (
        ("serial", 0),
        ("serial", -1),
        ("serial", 2**32),
        ("serial", True),
        ("serial", 10.0),
        ("serial", "10"),
        ("serial", None),
        ("security", -1),
        ("security", 2**31),
        ("board", "../twin"),
        ("board", ["twin"]),
        ("kind", 0),
        ("min_version", "1.0"),
        ("min_version", "1..0"),
        ("min_version", "x.y.z"),
        ("min_version", 1),
        ("version", ""),
        ("version", "9" * 33),
        ("revoke", ["xyz"]),
        ("revoke", [1]),
        ("revoke", None),
        ("expires", -1),
        ("image", {}),
        ("image", {"size": 0, "sha256": "0" * 64}),
        ("image", {"size": 4096, "sha256": "0" * 63}),
        ("payloads", []),
        ("payloads", {}),
        ("payloads", [{}] * 4),
    )
}


def patch(content: bytes, sectors: int = 1) -> Callable[[Shelf], bytes]:
    """A model made by a patch of the built-in one, signed like any."""

    def lay(shelf: Shelf) -> bytes:
        made = chain([Block(content, True, sectors)])
        about = shelf.of(MODEL, code(2, SECTOR), 10, [(BUILT_IN, made), (None, full(code(2, SECTOR)))])
        return shelf.sign(MODEL, about)

    return lay


def signed_block(flags: int, body: bytes, sectors: int = 1, **changes: Any) -> Callable[[Shelf], bytes]:
    """Firmware of one block that was signed, though it is not what a block must be."""
    block = struct.pack("<HBB", len(body), flags, sectors) + bytes(32) + body
    made = Payload(block, hashlib.sha256(block).digest(), 1)

    def lay(shelf: Shelf) -> bytes:
        return shelf.sign(FIRMWARE, shelf.of(FIRMWARE, bytes(SECTOR), 10, [(None, made)]) | changes)

    return lay


def bomb() -> bytes:
    """4,000 bytes that inflate to 4 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (packer.compress(bytes(4_000_000)) + packer.flush())[:4352]


MALFORMED_BLOCK = "refused: a block"
FETCHES = ("updates", "spare")
CASES |= {
    f"block {name}": Case(lay, says, touches=FETCHES)
    for name, lay, says in (
        ("that is a bomb", signed_block(1, bomb()), "refused: a block holds too much"),
        ("that does not inflate", signed_block(1, b"\xff" * 50), "refused: a block cannot be unpacked"),
        ("of no known kind", signed_block(4, b"x"), MALFORMED_BLOCK),
        ("of no sectors", signed_block(0, bytes(SECTOR), 0), MALFORMED_BLOCK),
        ("of too many sectors", signed_block(0, bytes(SECTOR), 17), MALFORMED_BLOCK),
        ("beyond the image", signed_block(0, bytes(SECTOR), 2), MALFORMED_BLOCK),
        ("that is too short", signed_block(0, bytes(100)), MALFORMED_BLOCK),
        ("that is too long", signed_block(0, bytes(4200)), "refused: a block holds too much"),
        ("with a patch of nothing", signed_block(2, b"xxxxxxxxxx"), "refused: a patch without its base"),
    )
}
CASES |= {
    f"patch {name}": Case(patch(content), says, touches=FETCHES)
    for name, content, says in (
        ("beyond its base", OPERATION.pack(COPY, 4096, len(BUILT_IN) - 4095), "reaches too far"),
        ("far beyond its base", OPERATION.pack(COPY, 4096, 0xFFFFFFFF), "reaches too far"),
        ("longer than its sectors", OPERATION.pack(COPY, 4097, 0), "reaches too far"),
        ("of an unknown operation", OPERATION.pack(3, 1, 0) + b"x", "reaches too far"),
        ("that is cut off", OPERATION.pack(DATA, 9, 0) + b"x", "reaches too far"),
        ("with half an operation", OPERATION.pack(COPY, 9, 0)[:5], "is cut short"),
        ("that makes too little", OPERATION.pack(DIFF, 3, 0) + b"abc", "makes too little"),
    )
}
CASES["base larger than any slot"] = Case(
    lambda shelf: shelf.sign(
        MODEL,
        (about := shelf.manifest(MODEL, model(), 10, [BUILT_IN]))
        | {
            "payloads": [
                about["payloads"][0] | {"base": {"size": 0x7FFFFFFF, "sha256": "0" * 64}},
                about["payloads"][1] | {"file": "missing.payload"},
            ]
        },
    ),
    "status 404",
    event=False,
    touches=FETCHES,
)
CASES["image of another hash"] = Case(
    lambda shelf: good(shelf, image={"size": len(IMAGE), "sha256": "1" * 64}),
    "refused: what its blocks make is not its image",
    touches=FETCHES,
)
CASES["image that does not boot"] = Case(good, "refused: it is no image that boots", touches=FETCHES)
PAYLOAD = full(IMAGE).data
CASES |= {
    f"payload {name}": Case(
        lambda shelf, data=data: (good(shelf), (shelf.folder / "firmware-10-0.payload").write_bytes(data)),
        says,
        event=False,
        touches=FETCHES,
    )
    for name, data, says in (
        ("with a bit flipped in its first length", changed(PAYLOAD, 0), "is not the block that was signed"),
        ("with a bit flipped in a header", changed(PAYLOAD, 20), "is not the block that was signed"),
        ("with a bit flipped in its body", changed(PAYLOAD, 40), "is not the block that was signed"),
        ("with a bit flipped at its end", changed(PAYLOAD, -1), "is not the block that was signed"),
        ("that is empty", b"", "ended too early"),
        ("cut off in a header", PAYLOAD[:17], "ended too early"),
        ("cut off in a block", PAYLOAD[:9000], "ended too early"),
        ("with a block of nothing", bytes(4000), "a block of 0 bytes came"),
        ("of another release", full(code(9, len(IMAGE))).data, "is not the block that was signed"),
        ("from its second block on", PAYLOAD[struct.unpack("<H", PAYLOAD[:2])[0] + 36 :], "is not the block"),
    )
}
