"""A small updater for tests of the power-cut campaign: a record in two copies, and one done wrong."""

from __future__ import annotations

import tempfile
import zlib
from functools import lru_cache
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.powercut.lives import SETTLED, Segment, Setting, Start, play
from cicada.tools.powercut.oracle import Oracle, Verdict, Witness
from cicada.tools.powercut.scenario import Scenario
from cicada.tools.powercut.states import Base, State
from cicada.tools.twin.flash import SECTOR
from cicada.tools.twin.world import World
from support.twins import QUIET, script_flash

AT = 0x3DC000  # partition updates
OLD, NEW = b"the old record..", b"the new record.."

_PROGRAM = """
import binascii, struct, machine
from esp32 import Partition

part = Partition.find(Partition.TYPE_DATA, label="updates")[0]
buf = bytearray(24)
best = None
for sector in (0, 1):
    part.readblocks(sector, buf, 0)
    number, crc = struct.unpack("<II", buf[:8])
    if crc == binascii.crc32(buf[:4] + buf[8:]) and (best is None or number > best[0]):
        best = number, sector, bytes(buf[8:])
number, sector, value = best if best else (0, 1, b"?" * 16)
print("record", value)
if value != b"{new}":
    {swap}
    part.ioctl(6, sector)
    head, value = struct.pack("<I", number + 1), b"{new}"
    part.writeblocks(sector, head + struct.pack("<I", binascii.crc32(head + value)) + value, 0)
    machine.reset()
machine.deepsleep(1000)
"""


def _record(number: int, value: bytes) -> bytes:
    head = number.to_bytes(4, "little")
    return head + zlib.crc32(head + value).to_bytes(4, "little") + value


@lru_cache
def flash(sound: bool) -> bytes:
    """The flash of a board with the toy; ``sound`` writes the other copy, else the only one."""
    program = _PROGRAM.format(new=NEW.decode(), swap="sector = 1 - sector" if sound else "pass")
    with tempfile.TemporaryDirectory() as folder:
        image = bytearray(script_flash(program, Path(folder)))
        idle = script_flash("import machine\nmachine.deepsleep(1000)\n", Path(folder))
    # What the first boot leaves, otadata and a file system, is there already.
    for sector, (_, data) in play(setting(), State(Base(idle)), Start()).effect.items():
        image[sector * SECTOR : (sector + 1) * SECTOR] = data
    image[AT : AT + 24] = _record(1, OLD)
    return bytes(image)


def value_in(state: State) -> bytes:
    """The record that a flash holds, as the toy reads it."""
    found = [state.read(AT + sector * SECTOR, 24) for sector in (0, 1)]
    sound = [f for f in found if f == _record(int.from_bytes(f[:4], "little"), f[8:])]
    return max(sound, key=lambda f: f[:4])[8:] if sound else b""


class ToyOracle(Oracle):
    """A record must never be lost, and in the end it is the new one."""

    def follow(self, witness: Witness, segment: Segment, steps: int | None = None) -> tuple[Witness, str]:
        if "record b'????" in segment.console:
            return witness, "the record is lost"
        return witness, "" if steps is not None or segment.end in ("reset", SETTLED) else segment.end

    def settled(self, state: State, segment: Segment, target: dict) -> Verdict:
        found = value_in(state.changed(segment.effect))
        return Verdict("completed") if found == NEW else Verdict("failed", f"the record is {found!r}")


def scenario(sound: bool) -> Scenario:
    """The toy's update."""
    name = "sound" if sound else "broken"
    return Scenario(name, name, flash(sound), roots=[Path()], made=[], target={})


def setting() -> Setting:
    """Where it happens."""
    return Setting(load_board("twin"), lambda phase, faults: World(QUIET), works=False)


def opener(name: str) -> tuple[Setting, bytes]:
    """For :mod:`cicada.tools.powercut.pool`."""
    return setting(), flash(name == "sound")
