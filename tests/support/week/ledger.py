"""The accounts of the week: what was reported and what arrived, what was said and heard, what was drawn."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cicada.tools.node.device import check
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.budget import budget
from cicada.tools.twin.chip import DEEPSLEEP_RESET
from support.week.running import Lived
from support.week.scene import DAY, VOICES, WORDS
from support.wholes import BOARD

#: Events that must not get lost: what node.filters keeps with high priority.
IMPORTANT = ("keyword", "anomaly", "alarm", "battery")
_RECORDS = ("event", "reading", "health", "update", "answer")
_NOT_SENT = ("schema", "n", "ms", "events")  # of an EVENT line: its own
_HEARD_WITHIN_S = 3.0  # from the beginning of a word to its event
_SEARCH_S = 15.0  # with the radio on until a network counts as away (node.net.wifi)
# The word, and the second that the model's window holds it for.
_WORD_S = 1.6
# Of a timer's wake with a microphone: until the model's window is full, and what is sampled after.
_EARS_S = 1.5
# Handshake and delivery on the twin: some 20 exchanges of 20 ms, and the radio's driver.
_SESSION_MS = 500


@dataclass(frozen=True)
class Delivered:
    """What the subscriber got.

    Attributes:
        records: each once, in the order in which they came first.
        when: at which virtual s, to half an hour.
        again: how often one came that was there already.
        changed: ids that came again with other contents.
    """

    records: list[dict[str, Any]]
    when: list[float]
    again: int
    changed: list[str]


def reported(lived: Lived) -> list[tuple[float, dict[str, Any]]]:
    """``(when, event)`` of every important event on the console, as the node would send it."""
    return [(at, _told(event)) for at, event in lived.events if event["event"] in IMPORTANT]


def _told(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in _NOT_SENT}


def delivered(lived: Lived) -> Delivered:
    """What came, by id."""
    found = Delivered([], [], 0, [])
    known: dict[str, dict[str, Any]] = {}
    again = 0
    for at, name, payload in lived.messages:
        if name not in _RECORDS:
            continue
        record = json.loads(payload)
        if record["id"] not in known:
            known[record["id"]] = record
            found.records.append(record | {"kind": name})
            found.when.append(at)
            continue
        again += 1
        if known[record["id"]] != record:
            found.changed.append(record["id"])
    return Delivered(found.records, found.when, again, found.changed)


def important(found: Delivered) -> list[dict[str, Any]]:
    """The important events among what came, without what is added on the way."""
    added = ("id", "v", "at", "boot", "ms", "kind")
    return [
        {name: value for name, value in record.items() if name not in added}
        for record in found.records
        if record["kind"] == "event" and record["event"] in IMPORTANT
    ]


def numbers(found: Delivered) -> dict[str, list[int]]:
    """Sequences of what came, by generation of the outbox."""
    by: dict[str, list[int]] = {}
    for record in found.records:
        generation, _, number = record["id"].rpartition("-")
        by.setdefault(generation, []).append(int(number))
    return by


def torn(lived: Lived) -> dict[str, Any] | None:
    """The event that was on its way into the outbox when the power went: reported, and perhaps not kept."""
    at = lived.injected.get("torn write")
    if at is None:
        return None
    return max((when, n, event) for n, (when, event) in enumerate(reported(lived)) if when <= at)[2]


def understood(lived: Lived, clear: bool = False) -> list[tuple[float, str, bool]]:
    """``(when, word, whether it was heard)`` of every word that was said.

    Args:
        clear: only those whose recording the model understands where it always listens.
    """
    heard = [(at, event["word"]) for at, event in lived.events if event["event"] == "keyword"]
    return [
        (at, word, any(at < when < at + _HEARD_WITHIN_S and word == said for when, said in heard))
        for number, (at, word) in enumerate(lived.spoken)
        if not clear or (word, number // len(WORDS) % VOICES) in lived.clear
    ]


def imagined(lived: Lived) -> int:
    """How many words the node heard that nobody said."""
    return sum(
        not any(at < when < at + _HEARD_WITHIN_S and word == event["word"] for at, word in lived.spoken)
        for when, event in lived.events
        if event["event"] == "keyword"
    )


def versions(lived: Lived) -> Iterator[tuple[float, str]]:
    """``(when, version)`` of the model by which each word was heard."""
    version = ""
    for at, line in lived.lines:
        if ": model kws " in line:
            version = line.split(": model kws ")[1].split(":")[0]
        elif '"event": "keyword"' in line:
            yield at, version


def woken_by(lived: Lived) -> Counter[str]:
    """How often what woke the node."""
    return Counter(line.split("woken by ")[1].split(",")[0] for _, line in lived.lines if "woken by " in line)


def causes(lived: Lived) -> Counter[int]:
    """How often each reset happened, by ``machine.reset_cause()``."""
    return Counter(cause for _, cause in lived.resets)


def health(found: Delivered) -> list[dict[str, Any]]:
    """Health records in order."""
    return [record for record in found.records if record["kind"] == "health"]


@dataclass(frozen=True)
class Spent:
    """Planned and measured.

    Attributes:
        planned: mA by cause.
        twin_ma: the twin's average.
        sessions, searches: how often the radio found the network, and did not.
    """

    planned: dict[str, float]
    twin_ma: float
    sessions: int
    searches: int

    @property
    def planned_ma(self) -> float:
        """Average current that was to be expected of such a week, mA."""
        return sum(self.planned.values())

    @property
    def off(self) -> float:
        """By how much the plan differs from the twin, as a share of the twin's."""
        return self.planned_ma / self.twin_ma - 1


def spent(lived: Lived) -> Spent:
    """What the budget of ``cicada plan`` says of a week with as many wakes and sessions, beside the twin's.

    Taken out of it is what the twin does not charge: interpreted code, the way in and out of light sleep,
    the CPU's work for TLS. Three things come on top that the budget does not know: words, which keep the node
    awake while they last; the microphone, which runs in the timer's wakes, too; searches for a network that
    is away.
    """
    config, errors = check(lived.config, BOARD)
    if errors:
        raise ValueError(errors[0])
    days = lived.week.days
    words = sum(event["event"] == "keyword" for _, event in lived.events)
    searches = lived.text.count("no such network in reach")
    sessions = radio_on(lived) - searches
    assumed = Assumptions(
        wakes=(woken_by(lived)["sound"]) / days,
        events=max(sessions / days - DAY / config["report"]["health_s"], 0.0),
        python_ms=0,
        script_ms=0,
        normal_ms=0,
        heard=0,
        session_ms=_SESSION_MS,
        send_ms=0,
        records=len(delivered(lived).records) / days,
    )
    board = type(BOARD)(BOARD.NAME)
    board.__dict__.update(vars(BOARD), LIGHT_SLEEP_US=0)
    found = {name: charge / DAY for name, charge in budget(config, board, assumed).charges.items()}
    power, seconds = BOARD.POWER, lived.week.seconds
    listening = power["cpu_idle"] + power["microphone_on"]
    found["words: awake longer"] = words * _WORD_S * listening / seconds
    ears_s = _EARS_S + config["plan"]["for_ms"] / 1000
    found["timer: listening"] = woken_by(lived)["timer"] * ears_s * listening / seconds
    found["no network: searching"] = (
        searches * _SEARCH_S * (power["cpu_idle"] + power["wifi_receive"]) / seconds
    )
    return Spent(found, lived.average_ma, sessions, searches)


def radio_on(lived: Lived) -> int:
    """How often the radio was switched on."""
    on = [bool(stretch.loads.get("wifi")) for stretch in lived.stretches]
    return sum(now and not before for before, now in zip([False, *on], on, strict=False))


def sleeps(lived: Lived) -> int:
    """Boots after deep sleep."""
    return causes(lived)[DEEPSLEEP_RESET]
