"""Seeded bugs of the boot choice: the twin's boot loader and its ESP-IDF, changed in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace

from cicada.tools.powercut.mutant import Mutant, Plant
from cicada.tools.twin import appimage, boot, ota, otadata
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.otadata import ABORTED, NEW, PENDING_VERIFY, VALID, Entry

Choice = Callable[[Sequence[Entry]], "int | None"]


def _like(module: ModuleType, **changed: object) -> SimpleNamespace:
    """A module with some of its functions changed, for one of those that use it."""
    return SimpleNamespace(**vars(module) | changed)


def _choosing(choice: Choice) -> Callable[[Plant], None]:
    """The boot loader takes the entry of otadata that ``choice`` says."""
    return lambda plant: plant(boot, "otadata", _like(otadata, active=choice))


def _best(entries: Sequence[Entry], usable: Callable[[Entry], bool], highest: bool = True) -> int | None:
    found = sorted((i for i in (0, 1) if usable(entries[i])), key=lambda i: entries[i].sequence)
    return found[-1 if highest else 0] if found else None


def _rewriting(wanted: int, instead: int | None) -> Callable[[Plant], None]:
    """Where the boot loader would write state ``wanted`` it writes another one, or nothing."""
    real = boot._rewrite

    def rewrite(flash, where, index, entry, state):
        if state != wanted:
            return real(flash, where, index, entry, state)
        return entry if instead is None else real(flash, where, index, entry, instead)

    return lambda plant: plant(boot, "_rewrite", rewrite)


def _writing(change: Callable[[int, Entry], tuple[int, Entry]]) -> Callable[[Plant], None]:
    """The application's side writes other entries, or elsewhere."""

    def write(flash, where, index, entry):
        otadata.write(flash, where, *change(index, entry))

    return lambda plant: plant(ota, "otadata", _like(otadata, write=write))


def _instead(old: int, new: int) -> Callable[[int, Entry], tuple[int, Entry]]:
    return lambda index, entry: (index, Entry.of(entry.sequence, new if entry.state == old else entry.state))


def _not_above(index: int, entry: Entry) -> tuple[int, Entry]:
    return index, Entry.of(entry.sequence - 2 * (entry.state == NEW), entry.state)


def _unverified(plant: Plant) -> None:
    def verify(data, chip, room, check=True):
        return appimage.verify(data, chip, room, check=False)

    plant(boot, "appimage", _like(appimage, verify=verify))


def _no_fallback(plant: Plant) -> None:
    real = boot._try

    def only(*arguments):
        booted = real(*arguments)
        if booted is None:
            raise boot.NothingBoots("the slot that was chosen does not boot")
        return booted

    plant(boot, "_try", only)


def _erasing_both(plant: Plant) -> None:
    real = boot._rewrite

    def rewrite(flash, where, index, entry, state):
        flash.erase(where.offset + (1 - index) * SECTOR)
        return real(flash, where, index, entry, state)

    plant(boot, "_rewrite", rewrite)


def _mutant(name: str, wrong: str, where: str, change: Callable[[Plant], None], kill: str = "") -> Mutant:
    return Mutant(name, wrong, boot=change, scenarios=tuple(where.split()), kill=kill)


BOOT = [
    _mutant(
        "boot-lowest",
        "The entry with the lowest sequence number decides.",
        "firmware-upgrade firmware-second",
        _choosing(lambda entries: _best(entries, lambda e: e.valid, highest=False)),
        kill="firmware-upgrade/otadata:program#3:watchdog/updates:CONFIRMING#1:button",
    ),
    _mutant(
        "boot-slot-off-by-one",
        "An entry means the slot behind its own.",
        "firmware-full",
        lambda plant: plant(boot, "otadata", _like(otadata, slot_of=lambda e, count: e.sequence % count)),
    ),
    _mutant(
        "boot-not-on-trial",
        "What is new is not marked as on trial.",
        "firmware-bad-early",
        _rewriting(PENDING_VERIFY, None),
    ),
    _mutant(
        "boot-not-aborted",
        "What was never confirmed is not given up.",
        "firmware-bad-early",
        _rewriting(ABORTED, None),
    ),
    _mutant(
        "boot-second-boot-passes",
        "Whatever boots a second time counts as confirmed.",
        "firmware-bad-early firmware-bad-crash",
        _rewriting(ABORTED, VALID),
    ),
    _mutant(
        "boot-new-is-valid",
        "What is new counts as confirmed at its first boot.",
        "firmware-bad-early firmware-bad-crash",
        _rewriting(PENDING_VERIFY, VALID),
    ),
    _mutant(
        "boot-erases-both",
        "Where one entry of otadata is rewritten, the other is erased.",
        "firmware-full firmware-bad-crash firmware-upgrade",
        _erasing_both,
        kill="firmware-upgrade/updates:TRIAL#1:after",
    ),
    _mutant(
        "boot-unverified",
        "Images are started whatever their hash is.",
        "firmware-revert",
        _unverified,
        kill="firmware-revert/rot-after:ota_0#3",
    ),
    _mutant(
        "boot-no-fallback",
        "If the image that was chosen is damaged, no other is tried.",
        "firmware-revert",
        _no_fallback,
        kill="firmware-revert/rot-after:ota_0#3",
    ),
    _mutant(
        "set-boot-valid",
        "What is chosen to boot counts as confirmed.",
        "firmware-bad-early firmware-bad-crash",
        _writing(_instead(NEW, VALID)),
    ),
    _mutant(
        "set-boot-not-above",
        "The sequence number is not raised.",
        "firmware-full",
        _writing(_not_above),
    ),
    _mutant(
        "mark-valid-nothing",
        "Confirming does nothing.",
        "firmware-full",
        lambda plant: plant(ota, "mark_valid", lambda *arguments: None),
    ),
    _mutant(
        "mark-valid-new",
        "Confirming puts it on trial again.",
        "firmware-full",
        _writing(_instead(VALID, NEW)),
    ),
    _mutant(
        "next-is-running",
        "The next slot to write is the one that runs.",
        "firmware-full",
        lambda plant: plant(ota, "next_update", lambda table, start: start),
    ),
]
