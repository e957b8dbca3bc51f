"""The judge: reads which image runs, which model is invoked, what the flash holds; never the firmware's word.

The one thing a firmware says that counts is what it claims against itself: that an update is confirmed. From
then on nothing older may be seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from cicada.tools.powercut.lives import RESET, SETTLED, Segment
from cicada.tools.powercut.scenario import FIRMWARE, MODEL, Made, Scenario
from cicada.tools.powercut.states import State
from cicada.tools.release import envelope, payload
from cicada.tools.twin import appimage, partitions
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.partitions import Partition

#: Partitions that an update may change.
_OPEN = ("nvs", "otadata", "ota_0", "ota_1", "model_0", "model_1", "updates")


_NOT_VALID = "what runs in the end is not what otadata calls valid"
_NO_MODEL = "no model runs in the end"
#: What is wrong with an end that another reset may put right.
UNSETTLED = (_NOT_VALID, _NO_MODEL)


@dataclass(frozen=True)
class Witness:
    """What was seen so far.

    Args:
        floor: highest security version of an image that otadata called valid while it ran.
        firmware, model: highest serials that were claimed to be confirmed.
        passed: serial of the last firmware that changed otadata while it ran: to be confirmed, if it is good.
    """

    floor: int = 0
    firmware: int = 0
    model: int = 0
    passed: int = 0


@dataclass(frozen=True)
class Verdict:
    """What came of a case and why: ``completed``, ``refused``, ``failed``, or ``residual`` where nothing
    could have helped."""

    result: str
    why: str = ""


class Oracle:
    """Judges the runs of one scenario.

    Args:
        scenario: the scenario.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        flash = scenario.flash
        raw = flash[partitions.TABLE : partitions.TABLE + partitions.TABLE_SIZE]
        self.table = partitions.parse(raw, len(flash))
        self._made: dict[tuple[str, str], Made] = {}
        for one in scenario.made:
            known = self._made.get((one.kind, one.digest))
            if known is None or known.serial < one.serial:
                self._made[one.kind, one.digest] = one

    def made(self, kind: str, digest: str) -> Made | None:
        """What was released with this digest, the newest of it; None if nobody did."""
        return self._made.get((kind, digest))

    def partition_of(self, at: int) -> Partition | None:
        """The partition an offset lies in; None between them."""
        return next((p for p in self.table if p.offset <= at < p.offset + p.size), None)

    def whole(self, state: State, images: list[Made]) -> bool:
        """Whether any firmware slot holds one of ``images``, as a whole."""
        digests = {image.digest for image in images}
        return any(digest in digests for digest in self._bootable(state))

    def too_old(self, state: State, witness: Witness) -> str:
        """What is wrong with a firmware slot: it holds an image below the floor that can boot."""
        for digest in self._bootable(state):
            image = self.made(FIRMWARE, digest)
            if image and image.security < witness.floor:
                return (
                    f"firmware {image.name} can boot, its security {image.security} is below {witness.floor}"
                )
        return ""

    def _bootable(self, state: State) -> Iterator[str]:
        """SHA-256 of every image that the boot loader would start."""
        for slot in partitions.ota_slots(self.table).values():
            data = state.read(slot.offset, slot.size)
            try:
                length = appimage.verify(data, "esp32", slot.size).length
            except appimage.ImageError:
                continue
            yield hashlib.sha256(data[:length]).hexdigest()

    def follow(self, witness: Witness, segment: Segment, steps: int | None = None) -> tuple[Witness, str]:
        """Watch a segment, or its beginning.

        Args:
            witness: what was seen before.
            segment: the segment.
            steps: flash operations done of it; None for all.

        Returns:
            what was seen since, and what was wrong (empty if nothing was).
        """
        running: Made | None = None
        begun = 0
        for done, what, detail in segment.events:
            if steps is not None and done > steps:
                return witness, ""
            if what == "ran":
                running, begun = self.made(FIRMWARE, detail[1]), done
                wrong = self._may_run(witness, running, detail)
                if wrong:
                    return witness, wrong
            elif what == "valid" and running:
                witness = replace(witness, floor=max(witness.floor, running.security))
            elif what == "other" and running and done > begun:
                witness = replace(witness, passed=running.serial)
            elif what == "invoked":
                model = self.made(MODEL, detail)
                if model is None:
                    return witness, f"a model runs that nobody released (SHA-256 {detail[:16]})"
                if model.never:
                    return witness, f"model {model.name} runs, which must be refused"
                if model.serial < witness.model:
                    return witness, f"model {model.name} runs, older than one that was confirmed"
            elif what == "told":
                witness = _claimed(witness, detail)
        if steps is not None:
            return witness, ""
        if segment.end not in (RESET, SETTLED):
            return witness, segment.end
        return witness, self._wrote(segment)

    @staticmethod
    def _may_run(witness: Witness, image: Made | None, detail: tuple[int, str]) -> str:
        if image is None:
            return f"an image runs that nobody released (slot at 0x{detail[0]:x}, SHA-256 {detail[1][:16]})"
        if image.never:
            return f"firmware {image.name} runs, which must be refused"
        if image.security < witness.floor:
            return f"firmware {image.name} runs, its security {image.security} is below {witness.floor}"
        if image.serial < witness.firmware:
            return f"firmware {image.name} runs, older than one that was confirmed"
        return ""

    def _wrote(self, segment: Segment) -> str:
        """Whether it wrote where it must not."""
        for sector in segment.effect:
            where = self.partition_of(sector * SECTOR)
            if where is None or where.label not in _OPEN:
                name = where.label if where else "no partition"
                return f"it wrote to {name} at 0x{sector * SECTOR:x}"
            if any(e[1] == "ran" and e[2][0] == where.offset for e in segment.events):
                return f"it wrote to the slot that runs, at 0x{sector * SECTOR:x}"
            if not self._signed(where, sector - where.offset // SECTOR, segment.effect[sector][1]):
                return f"it wrote what nobody signed to {where.label} at 0x{sector * SECTOR:x}"
        return ""

    def fetched(self, segment: Segment) -> bool:
        """Whether it wrote to any slot."""
        labels = {self.partition_of(sector * SECTOR).label for sector in segment.effect}
        return any(label.startswith(("ota_", "model_")) for label in labels)

    def _signed(self, where: Partition, sector: int, data: bytes) -> bool:
        """Whether ``data`` is the beginning of what some release has for a sector of a slot, or erased."""
        kind = {"ota": FIRMWARE, "model": MODEL}.get(where.label.partition("_")[0])
        sector -= kind == MODEL  # the first one holds the envelope
        if kind is None or sector < 0:
            return True
        written = data.rstrip(b"\xff")
        return not written or any(one.startswith(written) for one in self._blocks.get((kind, sector), ()))

    @cached_property
    def _blocks(self) -> dict[tuple[str, int], set[bytes]]:
        """What the releases on all servers have for each sector, by kind and number, as far as their payloads
        are sound."""
        found: dict[tuple[str, int], set[bytes]] = {}
        for path in (path for root in self.scenario.roots for path in root.glob("*/*.release")):
            about = json.loads(path.read_bytes()[envelope.HEADER_SIZE :])
            whole = about["payloads"][-1]
            data = (path.parent / whole["file"]).read_bytes()
            try:
                for sector, block in enumerate(payload.read(data, bytes.fromhex(whole["first"]))):
                    found.setdefault((about["kind"], sector), set()).add(block.content)
            except ValueError:
                continue  # damaged from here on
        return found

    def settled(self, state: State, segment: Segment, target: dict[str, Made]) -> Verdict:
        """What came of it, when nothing happens any more.

        Args:
            state: of the flash, at the end.
            segment: the last one.
            target: what is to run, by kind.
        """
        running = invoked = None
        selected = ""
        for _, what, detail in segment.events:
            if what == "ran":
                running = detail[1]
            elif what in ("valid", "other"):
                selected = "valid" if what == "valid" else detail
            elif what == "invoked":
                invoked = detail
        image = self.made(FIRMWARE, running or "")
        # As it was made a board has no otadata, and damaged otadata is as none: nothing was ever selected.
        as_made = selected == "unset" and image is not None and image.serial == 0
        if selected != "valid" and not as_made:
            return Verdict("failed", _NOT_VALID)
        if MODEL in target and invoked is None:
            return Verdict("failed", _NO_MODEL)
        runs = {FIRMWARE: running, MODEL: invoked}
        done = all(runs[kind] == made.digest for kind, made in target.items())
        return Verdict("completed" if done else "refused")


def witnessed(confirmed: dict[str, Made]) -> Witness:
    """What was seen if these were confirmed, by kind."""
    firmware, model = confirmed.get(FIRMWARE), confirmed.get(MODEL)
    return Witness(
        firmware.security if firmware else 0,
        firmware.serial if firmware else 0,
        model.serial if model else 0,
    )


def _claimed(witness: Witness, event: dict) -> Witness:
    """With what an event of the console claims."""
    serial, kind = event.get("n"), event.get("kind")
    if event.get("event") != "update" or event.get("result") != "confirmed" or not isinstance(serial, int):
        return witness
    if kind == FIRMWARE:
        return replace(witness, firmware=max(witness.firmware, serial))
    return replace(witness, model=max(witness.model, serial))
