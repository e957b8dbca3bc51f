"""What firmware does first after a boot: every state of otadata and journal has its action."""

from __future__ import annotations

import hashlib
import itertools

import pytest

from cicada.tools.twin import otadata
from cicada.tools.twin.boot import boot
from cicada.tools.twin.flash import Cut, NorFlash, PowerCut
from cicada.tools.twin.image import partition_table
from support.pretend import Reset, pretend
from support.releases import image_of
from support.slots import SLOTS

IMAGES = [image_of(version="1.0.0"), image_of(version="1.0.1", security=2)]
ABOUT = [(len(image), hashlib.sha256(image).digest()) for image in IMAGES]
STATES = {
    "new": otadata.NEW,
    "pending": otadata.PENDING_VERIFY,
    "valid": otadata.VALID,
    "aborted": otadata.ABORTED,
    "blank": None,
}
POWER_ON, PANIC, WATCHDOG = 1, 2, 3


@pytest.fixture(scope="module")
def node():
    with pretend() as node:
        yield node


class Board:
    """Two images; the one in ota_0 is confirmed, otadata's newer entry is for ota_1.

    Args:
        state: of that entry, a key of ``STATES``.
        running: index of the slot that runs.
        cause: of the reset.
    """

    def __init__(self, node, state="valid", running=1, cause=PANIC):
        self.node, self.j = node, node.journal
        flash = node.esp32.flash = NorFlash(4 << 20)
        flash.program(0x8000, partition_table("twin"))
        for slot, image in enumerate(IMAGES):
            flash.program(SLOTS[f"ota_{slot}"].offset, image)
        otadata.write(flash, SLOTS["otadata"], 0, otadata.Entry.of(1, otadata.VALID))
        if STATES[state] is not None:
            otadata.write(flash, SLOTS["otadata"], 1, otadata.Entry.of(2, STATES[state]))
        node.esp32.running = f"ota_{running}"
        node.machine.cause = cause
        node.machine.dogs.clear()
        node.log.said.clear()
        self.running = running
        self.flash = flash
        self.journal = self.j.Journal(node.esp32.Partition("updates"))

    def staged(self, attempts=0, switches=1, confirming=False, slot=1):
        """A release lies in ``slot``."""
        about = dict(slot=slot, serial=7, security=2)
        size, digest = ABOUT[slot]
        self.journal.append(self.j.STAGED, count=switches, a=size, digest=digest, **about)
        if attempts:
            self.journal.append(self.j.TRIAL, slot=slot, count=attempts, serial=7)
        if confirming:
            self.journal.append(self.j.CONFIRMING, slot=slot, serial=7)
        return self

    def decided(self, verdict, slot=1, serial=7):
        size, digest = ABOUT[slot]
        self.journal.append(self.j.DECIDED, 0, slot, verdict, serial, a=size, digest=digest)
        return self

    def early(self):
        """What comes of a boot, in words."""
        firmware = self.node.firmware.Firmware(self.journal, self.running * 2)
        before = [entry.pack() for entry in otadata.read(self.flash, SLOTS["otadata"])]
        decided = self.journal.decided[0], self.journal.verdict[0]
        try:
            firmware.early()
            end = "trial" if firmware.on_trial else "runs"
        except Reset:
            end = "reset"
        words = [end]
        found = self.node.journal.Journal(self.node.esp32.Partition("updates"))
        if (found.decided[0], found.verdict[0]) != decided:
            words.append("good" if found.verdict[0] == self.j.GOOD else "bad")
        entries = otadata.read(self.flash, SLOTS["otadata"])
        if [entry.pack() for entry in entries] != before:
            active = otadata.active(entries)
            slot = otadata.slot_of(entries[active], 2)
            words.append(f"otadata: {slot} {entries[active].state_name}")
        self.found = found
        return ", ".join(words)


def expected(state, running, attempts, confirming, switches, cause):
    """The rules, written down again."""
    if running == 1:
        if confirming:
            return "runs, good" if state == "valid" else "runs, good, otadata: 1 valid"
        if attempts < 3:
            return "trial"
        # The boot loader rolls a pending one back by itself; of others otadata has to be told.
        if state in ("aborted", "blank"):
            return "reset, bad, otadata: 0 valid"
        return "reset, bad" if state == "pending" else "reset, bad, otadata: 0 new"
    if attempts and not confirming and (cause != POWER_ON or attempts >= 3):
        return "runs, bad"
    if switches >= 5:
        return "runs, bad"
    return "reset, otadata: 1 new"


@pytest.mark.parametrize("cause", [POWER_ON, PANIC, WATCHDOG])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("running", [0, 1])
def test_a_release_waits(node, running, state, cause):
    for attempts, confirming, switches in itertools.product(range(5), (False, True), (1, 4, 5)):
        board = Board(node, state, running, cause).staged(attempts, switches, confirming)
        said = board.early()
        wanted = expected(state, running, attempts, confirming, switches, cause)
        assert said == wanted, (attempts, confirming, switches)
        found, staged = board.found, board.found.staged[0]
        if wanted == "trial":
            assert staged.attempts == attempts + 1 and node.machine.dogs == [30000]
        elif "good" in wanted:
            assert staged is None and found.floor[0] == found.cleaned == 2 and found.decided[0] == 7
            assert node.esp32.flash.read(SLOTS["ota_0"].offset, 4096) == b"\xff" * 4096
        elif "bad" in wanted:
            assert staged is None and found.floor[0] == 0 and found.decided[0] == 7
        else:
            assert staged.switches == switches + 1 and staged.attempts == attempts


@pytest.mark.parametrize(
    ("state", "running", "verdict", "slot", "wanted"),
    [
        ("valid", 0, None, 1, "runs"),
        ("valid", 1, None, 1, "runs"),
        ("pending", 1, None, 1, "trial"),  # put there by hand
        ("pending", 0, None, 1, "runs"),  # otadata speaks of the other slot
        ("pending", 1, "bad", 0, "runs, otadata: 1 valid"),  # back from a failed one
        ("valid", 1, "bad", 0, "runs"),
        ("valid", 1, "bad", 1, "reset, otadata: 0 new"),  # it failed here, and runs
        ("pending", 1, "bad", 1, "reset"),
        ("aborted", 0, "bad", 1, "runs"),
        ("valid", 1, "good", 1, "runs"),
        ("pending", 1, "good", 1, "trial"),
    ],
)
def test_no_release_waits(node, state, running, verdict, slot, wanted):
    board = Board(node, state, running)
    if verdict:
        board.decided(board.j.BAD if verdict == "bad" else board.j.GOOD, slot)
    assert board.early() == wanted


def test_a_slot_that_failed_may_hold_something_else_now(node):
    board = Board(node, "valid", 1)
    board.journal.append(board.j.DECIDED, 0, 1, board.j.BAD, 7, a=ABOUT[1][0], digest=b"x" * 32)
    assert board.early() == "runs"


def test_confirming_goes_on_from_any_step(node):
    """Whichever flash operation the power goes at, the next boots end with the release confirmed."""
    number = 0
    while True:
        board = Board(node, "pending", 1).staged(1, confirming=True)
        board.flash.cut = Cut(board.flash.operations + number, "inside", "byte", number)
        try:
            said = board.early()
        except PowerCut:
            said = ""
        if said:
            break
        for _ in range(4):
            node.esp32.running = boot(board.flash, "esp32").partition.label
            board.running = int(node.esp32.running[-1])
            board.journal = board.j.Journal(node.esp32.Partition("updates"))
            node.machine.cause = POWER_ON
            board.early()
        assert board.running == 1, number
        assert (board.found.verdict[0], board.found.floor[0]) == (board.j.GOOD, 2), number
        number += 1
    assert number > 5


def test_firmware_below_the_floor_knows_it(node):
    board = Board(node)
    board.journal.append(board.j.FLOOR, security=3)
    assert node.firmware.Firmware(board.journal, 2).too_old
    assert not node.firmware.Firmware(board.journal, 3).too_old


def test_an_image_that_does_not_boot_is_bad_at_once(node):
    board = Board(node, "blank", 0)
    board.flash.program(SLOTS["ota_1"].offset, bytes(4096))
    firmware = node.firmware.Firmware(board.journal, 0)
    firmware.switch(7, 2, ABOUT[1])
    assert (board.journal.decided[0], board.journal.verdict[0]) == (7, board.j.BAD)


def test_a_failed_trial_without_another_image_goes_on(node):
    board = Board(node, "valid", 1).staged(1)
    board.flash.program(SLOTS["ota_0"].offset, bytes(4096))
    firmware = node.firmware.Firmware(board.journal, 2)
    firmware.early()
    firmware.fail("a sensor does not answer")
    assert not firmware.on_trial and board.journal.verdict[0] == board.j.BAD
    assert "E update: there is no other image to go back to" in node.log.said
