"""Which model is opened: every state of the two slots and the journal has its answer."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from cicada.tools.release import envelope
from cicada.tools.twin.flash import NorFlash
from support.pretend import pretend
from support.releases import key_of, manifest_of
from support.slots import SLOTS
from support.updates import raw_manifest

SIGNER, KEY = key_of(31)
OTHER, OTHER_KEY = key_of(32)
NO_SLOT = 255
#: What may lie in a slot, and whether it can be opened.
CONTENTS = {
    "good": True,
    "blank": False,
    "damaged": False,
    "unsigned": False,
    "of another name": False,
    "below the floor": False,
    "not a model": False,
    "with a false self-test": False,
}


@pytest.fixture(scope="module")
def node():
    with pretend() as node:
        node.models.open_model = lambda blob: ({"name": "kws"}, opened(node, bytes(blob)))
        node.models.selftest = Selftest
        yield node


def opened(node, blob):
    if blob.startswith(b"PNG"):
        raise ValueError("model: not a model container")
    return node.nn.Model(blob)


class Selftest:
    @staticmethod
    def check(manifest, model):
        if model.data.startswith(b"LIE"):
            raise ValueError("model: self-test gave something else")


class Board:
    """Model slots and a journal."""

    def __init__(self, node):
        self.node, self.j = node, node.journal
        self.flash = node.esp32.flash = NorFlash(4 << 20)
        node.log.said.clear()
        self.journal = self.j.Journal(node.esp32.Partition("updates"))

    def lay(self, slot, serial, what="good", security=5, signer=SIGNER):
        """Put a release into a slot."""
        if what == "blank":
            return
        blob = {"not a model": b"PNG", "with a false self-test": b"LIE"}.get(what, b"OK ") + b"%d" % serial
        about = manifest_of(blob, kind="model", name="kws", serial=serial, security=security)
        about |= {"of another name": {"name": "other"}, "below the floor": {"security": 1}}.get(what, {})
        data = envelope.pack(raw_manifest(about), signer)
        if what == "unsigned":
            data = data[:16] + bytes(64) + data[80:]
        if what == "damaged":
            blob = blob[:-1] + b"?"
        at = SLOTS[f"model_{slot}"].offset
        self.flash.program(at, data)
        self.flash.program(at + 4096, blob)

    def active(self, slot, serial, before=0):
        """Serials ``serial`` in ``slot``, and ``before`` it, were confirmed."""
        j = self.j
        self.journal.append(j.FLOOR, j.MODEL, security=3)
        self.journal.append(j.ACTIVE, j.MODEL, slot, serial=serial, a=before)
        self.journal.append(j.DECIDED, j.MODEL, slot, j.GOOD, serial)

    def stage(self, slot, serial, attempts=0):
        j = self.j
        about = {"serial": serial, "security": 5, "a": 4, "digest": hashlib.sha256(b"").digest()}
        self.journal.append(j.STAGED, j.MODEL, slot, 1, **about)
        if attempts:
            self.journal.append(j.TRIAL, j.MODEL, slot, attempts, serial)

    def models(self):
        """As after a reset."""
        self.journal = self.j.Journal(self.node.esp32.Partition("updates"))
        models = self.node.models.Models((KEY.public, OTHER_KEY.public), "kws")
        models.journal = self.journal
        return models


@pytest.mark.parametrize("first", CONTENTS)
@pytest.mark.parametrize("second", CONTENTS)
def test_the_best_sound_model_is_opened(node, first, second):
    for active in (0, 1):
        board = Board(node)
        board.lay(active, 20, first)
        board.lay(1 - active, 10, second)
        board.active(active, 20, before=10)
        models = board.models()
        models.open()
        wanted = (active, 20) if CONTENTS[first] else (1 - active, 10) if CONTENTS[second] else (NO_SLOT, 0)
        assert (models.slot, models.serial) == wanted and not models.on_trial


@pytest.mark.parametrize("what", CONTENTS)
@pytest.mark.parametrize("attempts", range(5))
@pytest.mark.parametrize("trial", [False, True])
def test_a_model_on_trial(node, what, attempts, trial):
    board = Board(node)
    board.lay(0, 20)
    board.active(0, 20)
    board.lay(1, 30, what)
    board.stage(1, 30, attempts)
    models = board.models()
    models.open(trial)
    tried = trial and attempts < 3
    journal = board.j.Journal(node.esp32.Partition("updates"))
    if tried and CONTENTS[what]:
        assert (models.slot, models.serial, models.on_trial) == (1, 30, True)
        assert journal.staged[1].attempts == attempts + 1 and journal.decided[1] == 20
    else:
        assert (models.slot, models.serial, models.on_trial) == (0, 20, False)
        failed = tried or attempts >= 3
        assert (journal.staged[1] is None) == failed
        assert (journal.decided[1], journal.verdict[1]) == ((30, 2) if failed else (20, 1))


def test_a_release_that_was_never_confirmed_is_not_opened(node):
    board = Board(node)
    board.lay(0, 20)
    models = board.models()
    models.open()
    assert models.slot == NO_SLOT
    board.active(1, 19)
    models = board.models()
    models.open()
    assert models.slot == NO_SLOT


def test_a_confirmation_that_was_broken_off_is_finished(node):
    for facts in itertools.product((False, True), repeat=2):
        board = Board(node)
        board.lay(1, 30, security=9)
        board.stage(1, 30, 1)
        board.journal.append(board.j.ACTIVE, board.j.MODEL, 1, serial=30, a=20)
        if facts[0]:
            board.journal.append(board.j.FLOOR, board.j.MODEL, security=5)
        models = board.models()
        models.open(facts[1])
        journal = board.j.Journal(node.esp32.Partition("updates"))
        assert (models.slot, models.serial, models.on_trial) == (1, 30, False)
        assert (journal.decided[1], journal.verdict[1], journal.floor[1]) == (30, board.j.GOOD, 5)


def test_confirming_makes_it_the_active_one(node):
    board = Board(node)
    board.lay(0, 20)
    board.active(0, 20)
    board.lay(1, 30)
    board.stage(1, 30)
    models = board.models()
    models.open()
    models.confirm()
    journal = board.j.Journal(node.esp32.Partition("updates"))
    assert (journal.active, journal.active_serial, journal.previous_serial) == (1, 30, 20)
    assert (journal.decided[1], journal.verdict[1], journal.staged[1]) == (30, board.j.GOOD, None)
    assert journal.floor[1] == 5 and not models.on_trial


@pytest.mark.parametrize("strikes", range(1, 5))
@pytest.mark.parametrize("previous", ["good", "blank", "damaged", "below the floor"])
def test_crashes_count_against_a_confirmed_model(node, strikes, previous):
    board = Board(node)
    board.lay(0, 20)
    board.lay(1, 10, previous)
    board.active(0, 20, before=10)
    models = board.models()
    given_up = models.struck(strikes)
    assert given_up == (strikes >= 3)
    models = board.models()
    models.open()
    if not given_up:
        assert (models.slot, models.serial) == (0, 20)
    elif previous == "good":
        assert (models.slot, models.serial) == (1, 10)
        assert models.struck(3)
        models = board.models()
        models.open()
        assert models.slot == NO_SLOT and not models.struck(9)
    else:
        assert models.slot == NO_SLOT


def test_the_next_release_never_goes_where_the_open_model_lies(node):
    for active, staged in itertools.product((0, 1), (False, True)):
        board = Board(node)
        board.lay(active, 20)
        board.active(active, 20)
        models = board.models()
        models.open()
        progress = board.j.Progress(active if staged else 1 - active, b"", 0)
        assert models.target(progress)[0] == models.target(None)[0] == 1 - active


def test_a_revoked_key_takes_its_models_along(node):
    board = Board(node)
    board.lay(0, 20, signer=OTHER)
    board.lay(1, 10)
    board.active(0, 20, before=10)
    board.journal.append(board.j.REVOKED, digest=bytes.fromhex(OTHER.id) + bytes(24))
    models = board.models()
    models.open()
    assert (models.slot, models.serial) == (1, 10)


def test_after_deep_sleep_the_same_model_is_opened_and_known(node):
    board = Board(node)
    board.lay(1, 20)
    board.active(1, 20)
    models = board.models()
    models.reopen(1)
    assert (models.slot, models.serial) == (1, 20)
    models = board.models()
    models.reopen(NO_SLOT)
    assert (models.slot, models.serial) == (NO_SLOT, 0)


def test_without_a_journal_the_built_in_model_counts(node):
    models = node.models.Models((), "kws")
    models.open()
    assert models.slot == NO_SLOT and not models.struck(9)


def test_somebody_may_choose_among_the_confirmed_models(node):
    board = Board(node)
    board.lay(0, 20)
    board.lay(1, 10)
    board.active(0, 20, before=10)
    models = board.models()
    models.open()
    assert [(m["slot"], m["serial"], m["active"]) for m in models.all()] == [
        (NO_SLOT, 0, False),
        (0, 20, True),
        (1, 10, False),
    ]
    for slot, serial in ((1, 10), (NO_SLOT, 0), (0, 20), (NO_SLOT, 0), (1, 10)):
        models.use(slot)
        models = board.models()
        models.open()
        assert (models.slot, models.serial, models.on_trial) == (slot, serial, False)
        # What was confirmed last is not fetched again for not being what runs.
        assert models.kept(20) == (serial != 20) and not models.kept(0) and not models.kept(30)


@pytest.mark.parametrize("what", [name for name, sound in CONTENTS.items() if not sound])
def test_what_is_not_a_confirmed_model_cannot_be_chosen(node, what):
    board = Board(node)
    board.lay(0, 20)
    board.lay(1, 10, what)
    board.active(0, 20, before=10)
    models = board.models()
    models.open()
    if what in ("with a false self-test", "not a model"):  # chosen, and passed over when it is opened
        models.use(1)
    else:
        assert [about["slot"] for about in models.all()] == [NO_SLOT, 0]
        with pytest.raises(node.release.Refused):
            models.use(1)
    models = board.models()
    models.open()
    assert (models.slot, models.serial) == (0, 20)


def test_nothing_is_chosen_while_a_model_is_on_trial(node):
    board = Board(node)
    board.lay(0, 20)
    board.active(0, 20)
    board.lay(1, 30)
    board.stage(1, 30)
    models = board.models()
    models.open()
    with pytest.raises(node.release.Refused, match="trial"):
        models.use(0)
