"""Scenarios that begin in the middle of something: a download cut short, a journal that is nearly full."""

from __future__ import annotations

from dataclasses import replace

from cicada.tools.powercut.builder import Builder, Offer, Recipe, make_scenario, model
from cicada.tools.powercut.images import SECOND, Image, publish
from cicada.tools.powercut.scenario import MODEL, Scenario
from cicada.tools.twin.flash import SECTOR

_JOURNAL, _SECTORS = 0x3DC000, 4  # partition updates, boards/twin/partitions.csv
_RECORD, _COUNT, _COMMIT = 64, 64, 1  # firmware/app/node/updates/journal.py


def filled(flash: bytes, room: int) -> bytes:
    """A flash in whose journal only ``room`` records are left until the next sector; the rest is taken by
    records that are torn, which count for nothing."""
    data, newest, current = bytearray(flash), 0, 0
    for sector in range(_JOURNAL, _JOURNAL + _SECTORS * SECTOR, SECTOR):
        for at in range(sector, sector + SECTOR, _RECORD):
            generation = int.from_bytes(data[at + 4 : at + 8], "little")
            if data[at] == _COMMIT and generation > newest:
                newest, current = generation, sector
    for at in range(current, current + SECTOR - room * _RECORD, _RECORD):
        if data.count(0xFF, at, at + _RECORD) == _RECORD:
            data[at : at + _RECORD] = bytes(_RECORD)
    return bytes(data)


def _records(image: Image) -> int:
    """Records of a download: its beginning and one for each block."""
    return 1 + -(-len(image.data) // SECTOR)


def _firmware_superseded(b: Builder, name: str) -> Scenario:
    one, three = b.firmware("1.0.0", 1), b.firmware("1.2.0", 2)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, a newer one arrives during the download"
    begins = b.during("firmware-full", 0.5)
    return make_scenario(b, name, title, begins, ran, [[(three, 20, ())]], [(three, 20), (model(1), 0)])


def _model_superseded(b: Builder, name: str) -> Scenario:
    one = b.firmware("1.0.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "model, a newer one arrives during the download"
    begins = b.during("model-first", 0.5)
    return make_scenario(b, name, title, begins, ran, [[(model(3), 20, ())]], [(one, 0), (model(3), 20)])


def _firmware_other(b: Builder, name: str) -> Scenario:
    one, two, other = b.firmware("1.0.0", 1), b.firmware("1.10.0", 2), b.firmware("1.5.0", 1)
    ran = [(one, 0), (model(1), 0)]
    title = "firmware, delta against another image"
    return make_scenario(b, name, title, b.fresh(), ran, [[(two, 10, [other])]], [(two, 10), (model(1), 0)])


def _model_crashes(title: str, begins: str, security: int, *left: int) -> Recipe:
    """A model that was confirmed begins to crash.

    Args:
        title: of the scenario.
        begins: scenario after which that happens.
        security: of the model that crashes.
        left: numbers of the models that may run then, the best last.
    """

    def make(b: Builder, name: str) -> Scenario:
        one, three = b.firmware("1.0.0", 1), model(3, security)
        serials = {1: 0, 2: 10}
        ran = [(one, 0), *((model(number), serials[number]) for number in left), (three, 20)]
        how = {"fails": True, "crashes": (three.made().digest,), "confirmed": {}}
        return make_scenario(b, name, title, b.after(begins), ran, [[(three, 20, ())]], ran[:-1], **how)

    return make


def _model_downgrade(b: Builder, name: str) -> Scenario:
    """Once the new one is opened, one of the old security version is offered under a newer serial."""
    one, three, low = b.firmware("1.0.0", 1), model(3, 2), model(5, 1)
    ran = [(one, 0), (model(1), 0), (model(2), 10)]
    title = "model, then one below its security version"
    offered: list[list[Offer]] = [[(three, 20, ())], [(low, 30, ())]]
    target = [(one, 0), (three, 20)]
    turns = (three.made().digest,)
    made = make_scenario(
        b, name, title, b.after("model-first"), ran, offered, target, fails=True, turns=turns
    )
    made.made = [replace(m, never=m.digest == low.made().digest) for m in made.made]
    return made


def _firmware_turn(title: str, before: int) -> Recipe:
    """A second update of firmware, in which the journal goes on in its next sector ``before`` records before
    the download is complete (after it if negative)."""

    def make(b: Builder, name: str) -> Scenario:
        two, three = b.firmware("1.10.0", 1), b.firmware("1.11.0", 2)
        ran = [(two, 10), (model(1), 0)]
        begins = filled(b.after("firmware-same"), _records(three) - before)
        return make_scenario(b, name, title, begins, ran, [[(three, 20, ())]], [(three, 20), (model(1), 0)])

    return make


def _model_turn(title: str, before: int) -> Recipe:
    def make(b: Builder, name: str) -> Scenario:
        one, three = b.firmware("1.0.0", 1), model(3, 2)
        ran = [(one, 0), (model(1), 0), (model(2), 10)]
        begins = filled(b.after("model-first"), _records(three) - before)
        return make_scenario(b, name, title, begins, ran, [[(three, 20, ())]], [(one, 0), (three, 20)])

    return make


def _round(number: int) -> Recipe:
    """A model, and the journal goes on in its next sector. The first revokes a key and raises the floor."""

    def make(b: Builder, name: str) -> Scenario:
        two, new, old = b.firmware("1.10.0", 2), model(2 + number % 2, 2), model(3 - number % 2, 2)
        begins = filled(b.after(f"round-{number - 1}" if number else "both"), 2)
        ran = [(two, 10), (model(1), 0), (old, 30 + number - 1)]
        title = f"model, and sector {number + 1} of the journal is begun"
        target = [(two, 10), (new, 30 + number)]
        made = make_scenario(b, name, title, begins, ran, [[(new, 30 + number, ())]], target)
        if not number:
            publish(made.roots[0], new, 30, (), {"revoke": [SECOND.id]})
        return made

    return make


_ROUNDS = 5  # after which nothing is left of what the journal held before the second


def _refuse_round(title: str, serial: int, second: bool) -> Recipe:
    """Firmware that must be refused, and a model below the floor, after the journal went round."""

    def make(b: Builder, name: str) -> Scenario:
        before = f"round-{_ROUNDS - 1}"
        runs = b.build(before).target
        two, low = b.firmware("1.10.0", 2), model(5, 1)
        good = model(2 + (_ROUNDS - 1) % 2, 2)
        ran = [(two, 10), (model(1), 0), (good, runs[MODEL].serial)]
        bad = b.firmware("1.11.0", 2)
        offered: list[list[Offer]] = [[(bad, serial, ()), (low, 80, ())]]
        target = [ran[0], ran[2]]
        made = make_scenario(b, name, title, b.after(before), ran, offered, target, True, fails=True)
        if second:
            publish(made.roots[0], bad, serial, (), {}, SECOND)
        return made

    return make


#: By name, as in :data:`cicada.tools.powercut.scenarios.SCENARIOS`.
BEGINNINGS: dict[str, Recipe] = {
    "firmware-superseded": _firmware_superseded,
    "firmware-other": _firmware_other,
    "firmware-turn-fetch": _firmware_turn("firmware, the journal turns during the download", 6),
    "firmware-turn-confirm": _firmware_turn("firmware, the journal turns when it is confirmed", -2),
    "model-superseded": _model_superseded,
    "model-crashes": _model_crashes("model that crashes, with one before it", "model-second", 1, 1, 2),
    "model-crashes-last": _model_crashes(
        "model that crashes, with nothing above the floor before it", "model-upgrade", 2, 1
    ),
    "model-downgrade": _model_downgrade,
    "model-turn-fetch": _model_turn("model, the journal turns during the download", 1),
    "model-turn-trial": _model_turn("model, the journal turns when the trial begins", -1),
    **{f"round-{number}": _round(number) for number in range(_ROUNDS)},
    "refuse-round-serial": _refuse_round("refused: an old serial, after the journal went round", 9, False),
    "refuse-round-key": _refuse_round("refused: a revoked key, after the journal went round", 20, True),
}
