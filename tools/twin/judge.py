"""Compare what came of a scenario with what was expected."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from cicada.tools.errors import UserError
from cicada.tools.twin import appimage, partitions
from cicada.tools.twin.chip import DEEPSLEEP_RESET, HARD_RESET, PWRON_RESET, SOFT_RESET, WDT_RESET
from cicada.tools.twin.nvs import Nvs
from cicada.tools.twin.partitions import Partition
from cicada.tools.twin.scenario import Expect, Scenario, microseconds
from cicada.tools.twin.twin import Twin

_RESETS = {
    "power on": PWRON_RESET,
    "hard": HARD_RESET,
    "watchdog": WDT_RESET,
    "deep sleep": DEEPSLEEP_RESET,
    "soft": SOFT_RESET,
}


@dataclass(frozen=True)
class Verdict:
    """One expectation: what was asked, what was found, whether it holds."""

    asked: str
    found: str
    holds: bool


def judge(about: Scenario, path: Path, twin: Twin) -> list[Verdict]:
    """Every expectation of a scenario against the twin that has run it."""
    return [_verdict(expect, path, twin) for expect in about.expect]


def _verdict(expect: Expect, path: Path, twin: Twin) -> Verdict:
    subject = expect.subject()
    if subject in ("event", "console", "reset"):
        return _counted(expect, subject, path, twin)
    if subject == "average_ma":
        found = twin.chip.meter.average_ma()
        asked = f"average current at most {expect.average_ma} mA"
        return Verdict(asked, f"{found:.3f} mA", found <= expect.average_ma)
    if subject == "running":
        booted = twin.booted
        found = f"{booted.image.version} in {booted.partition.label}" if booted else "nothing"
        return Verdict(
            f"version {expect.running} runs", found, bool(booted) and booted.image.version == expect.running
        )
    if subject == "nvs":
        return _nvs(expect, path, twin)
    return _flash(expect, path, twin)


def _counted(expect: Expect, subject: str, path: Path, twin: Twin) -> Verdict:
    first = microseconds(expect.after, path) / 1e6
    last = float("inf") if expect.before is None else microseconds(expect.before, path) / 1e6
    if subject == "event":
        times = [
            at
            for at, event in twin.events
            if event["event"] == expect.event
            and all(event.get(name) == value for name, value in expect.where.items())
        ]
        asked = f"event {expect.event}" + (f" {json.dumps(expect.where)}" if expect.where else "")
    elif subject == "reset":
        times = [at for at, cause in twin.resets if cause == _RESETS[expect.reset]]
        asked = f"{expect.reset} reset"
    else:
        try:
            pattern = re.compile(expect.console)
        except re.error as error:
            raise UserError(f"{path}: '{expect.console}' is no regular expression: {error}") from error
        times = [at for at, line in twin.lines if pattern.search(line)]
        asked = f"console says /{expect.console}/"
    count = sum(first <= at <= last for at in times)
    span = f" from {first:g} s" if first else ""
    span += f" to {last:g} s" if expect.before is not None else ""
    low, high = expect.at_least, expect.at_most
    if expect.count is not None:
        low = high = expect.count
    elif low is None and high is None:
        low = 1
    parts = [f"at least {low}"] * (low is not None) + [f"at most {high}"] * (high is not None)
    wanted = f"{low} times" if low == high else " and ".join(parts)
    holds = (low is None or count >= low) and (high is None or count <= high)
    return Verdict(f"{asked}{span}: {wanted}", f"{count} times", holds)


def _table(twin: Twin) -> list[Partition]:
    return partitions.parse(twin.flash.read(partitions.TABLE, partitions.TABLE_SIZE), twin.flash.size)


def _nvs(expect: Expect, path: Path, twin: Twin) -> Verdict:
    where = partitions.find(_table(twin), partitions.DATA, partitions.NVS)
    namespace, _, key = expect.nvs.partition("/")
    values = {}
    if where:
        nvs = Nvs(twin.flash, where.offset, where.size)
        values = {(space, name): value for space, name, _, value in nvs.items()}
    value = values.get((namespace, key))
    plain = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    asked = f"NVS {expect.nvs}" + (f" = {expect.equals}" if expect.equals is not None else " is set")
    holds = plain is not None if expect.equals is None else plain == expect.equals
    return Verdict(asked, "nothing" if plain is None else str(plain), holds)


def _flash(expect: Expect, path: Path, twin: Twin) -> Verdict:
    table = _table(twin)
    part = next((p for p in table if p.label == expect.flash), None)
    if part is None:
        known = ", ".join(p.label for p in table)
        raise UserError(f"{path}: there is no partition '{expect.flash}': choose one of {known}")
    data = twin.flash.read(part.offset, part.size)
    if expect.erased:
        left = part.size - data.count(0xFF)
        return Verdict(f"{part.label} is erased", f"{left} bytes programmed", left == 0)
    if expect.file:
        file = path.parent / expect.file
        try:
            wanted = file.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path} names the file {file}, which cannot be read: correct the name"
            ) from error
        same = data[: len(wanted)] == wanted
        return Verdict(f"{part.label} holds {expect.file}", "the same bytes" if same else "other bytes", same)
    try:
        image = appimage.verify(data, twin.board.CHIP, part.size)
    except appimage.ImageError as error:
        return Verdict(f"{part.label} holds a whole image {expect.image}".rstrip(), str(error), False)
    right = not expect.image or image.version == expect.image
    return Verdict(f"{part.label} holds a whole image {expect.image}".rstrip(), image.version, right)
