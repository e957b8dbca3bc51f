"""Scenarios of releases that a device must refuse, whatever interrupts it."""

from __future__ import annotations

import random
import shutil
import zlib
from collections.abc import Callable

from cicada.tools.powercut.builder import Builder, Offer, Recipe, make_scenario, model
from cicada.tools.powercut.images import BOARD, SECOND, STRANGER, Image, newest, publish
from cicada.tools.powercut.scenario import FIRMWARE, MODEL, Scenario
from cicada.tools.release.payload import CONTENT, HEADER_SIZE

_SLOT = 0x1A0000  # bytes of a firmware slot, boards/twin/partitions.csv
#: Changes a server's folder: ``(builder, folder, what was offered there)``.
Spoil = Callable[[Builder, object, Offer], None]


def _firmware(
    title: str,
    spoil: Spoil,
    begins: str = "",
    version: str = "1.10.0",
    security: int = 2,
    untouched: bool = True,
) -> Recipe:
    """Firmware that must be refused.

    Args:
        title: of the scenario.
        spoil: makes the release what it is.
        begins: scenario after which it is offered; a board as it was made if empty.
        version, security: of the image that is offered.
        untouched: whether it must be refused before anything is fetched.
    """

    def make(b: Builder, name: str) -> Scenario:
        before = b.build(begins).target if begins else {}
        one = (
            b.firmware(before[FIRMWARE].name, before[FIRMWARE].security) if begins else b.firmware("1.0.0", 1)
        )
        ran = [(one, before[FIRMWARE].serial if begins else 0), (model(1), 0)]
        offer = (b.firmware(version, security), 20, ())
        flash = b.after(begins) if begins else b.fresh()
        made = make_scenario(
            b, name, title, flash, ran, [[offer]], ran, True, fails=True, untouched=untouched
        )
        spoil(b, made.roots[0], offer)
        return made

    return make


def _model(title: str, spoil: Spoil, security: int = 2, untouched: bool = True) -> Recipe:
    """A model that must be refused by a device that runs model 3 of security version 2."""

    def make(b: Builder, name: str) -> Scenario:
        ran = [(b.firmware("1.0.0", 1), 0), (model(1), 0), (model(3, 2), 20)]
        offer = (model(4, security), 30, ())
        target = [ran[0], ran[2]]
        begins, how = b.after("model-upgrade"), {"fails": True, "untouched": untouched}
        made = make_scenario(b, name, title, begins, ran, [[offer]], target, True, **how)
        spoil(b, made.roots[0], offer)
        return made

    return make


def _again(signer=None, serial: int | None = None, **changes: object) -> Spoil:
    """Release it another way."""

    def spoil(b: Builder, root, offer: Offer) -> None:
        image, usual, bases = offer
        how = {} if signer is None else {"signer": signer}
        publish(root, image, usual if serial is None else serial, bases, changes, **how)
        if "board" in changes:  # where a device finds the payload that takes the release for its own
            shutil.copytree(root / BOARD, root / changes["board"])

    return spoil


def _as_it_is(b: Builder, root, offer: Offer) -> None:
    """It is refused for what it is."""


def _bit(b: Builder, root, offer: Offer) -> None:
    """One bit of the signature is another."""
    path = root / BOARD / newest(offer[0].kind)
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)


def _payload(b: Builder, root, offer: Offer) -> None:
    """One bit of the payload is another, and the block it is in can be unpacked all the same."""
    (path,) = (root / BOARD).glob(f"{offer[0].kind}-*.payload")
    data, at = bytearray(path.read_bytes()), 0
    for _ in range(3):
        begins, at = at + HEADER_SIZE, at + HEADER_SIZE + int.from_bytes(data[at : at + 2], "little")
    for bit in range(8 * (begins + 100), 8 * at):
        data[bit // 8] ^= 1 << bit % 8
        if _unpacks(data[begins:at]):
            break
        data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def _unpacks(body: bytes) -> bool:
    """Whether something as long as a sector comes of a deflated body."""
    try:
        return len(zlib.decompress(body, -12)) == CONTENT
    except zlib.error:
        return False


def _larger(b: Builder, root, offer: Offer) -> None:
    """Signed, whole, and larger than the slot."""
    publish(root, Image(FIRMWARE, "1.10.0", bytes(_SLOT + 1), 2), 20)


def _garbage(b: Builder, root, offer: Offer) -> None:
    """Signed, whole, and no image at all."""
    publish(root, Image(FIRMWARE, "1.10.0", random.Random(1).randbytes(6000), 2), 20)


def _swapped(b: Builder, root, offer: Offer) -> None:
    """A release of the other kind lies where this one is asked for."""
    folder = root / BOARD
    if offer[0].kind == FIRMWARE:
        publish(root, model(9, 3), 91)  # which is to be installed later
        (folder / newest(MODEL)).replace(folder / newest(FIRMWARE))
    else:
        publish(root, b.firmware("1.10.0", 2), 30)
        (folder / newest(FIRMWARE)).replace(folder / newest(MODEL))


def _other_hash(b: Builder, root, offer: Offer) -> None:
    """The hash of the image is not that of what its blocks make."""
    _again(image={"sha256": "0" * 64, "size": len(offer[0].data)})(b, root, offer)


REFUSED: dict[str, Recipe] = {
    "refuse-signature": _firmware("refused: a wrong signature", _bit),
    "refuse-key": _firmware("refused: signed by a stranger", _again(STRANGER)),
    "refuse-revoked": _firmware(
        "refused: signed with a revoked key", _again(SECOND), "firmware-revoke", "1.11.0"
    ),
    "refuse-board": _firmware("refused: for another board", _again(board="esp32")),
    "refuse-product": _firmware("refused: for another product", _again(product="cricket")),
    "refuse-kind": _firmware("refused: a model in place of firmware", _swapped),
    "refuse-floor": _firmware(
        "refused: security version below the floor", _as_it_is, "firmware-delta", "1.11.0", 1
    ),
    "refuse-serial": _firmware("refused: an old serial", _again(serial=9), "firmware-delta", "1.11.0"),
    "refuse-version": _firmware("refused: needs newer firmware", _again(min_version="9.9.9")),
    "refuse-payload": _firmware("refused: a damaged payload", _payload, untouched=False),
    "refuse-hash": _firmware("refused: firmware whose hash is another", _other_hash, untouched=False),
    "refuse-size": _firmware("refused: firmware larger than its slot", _larger),
    "refuse-garbage": _firmware("refused: no image", _garbage, untouched=False),
    "refuse-model-signature": _model("refused: a model's wrong signature", _bit),
    "refuse-model-kind": _model("refused: firmware in place of a model", _swapped),
    "refuse-model-name": _model("refused: a model of another name", _again(name="gestures")),
    "refuse-model-floor": _model("refused: a model below the floor", _as_it_is, 1),
    "refuse-model-serial": _model("refused: a model's old serial", _again(serial=15)),
    "refuse-model-hash": _model("refused: a model whose hash is another", _other_hash, untouched=False),
}
