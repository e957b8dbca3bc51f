"""Run the week: the real application on the twin, a real broker with TLS, a server with a new model."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.chip import PWRON_RESET, Restart
from cicada.tools.twin.flash import SECTOR, Cut, NorFlash
from cicada.tools.twin.power import Stretch
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.twin import Twin
from support import updates
from support.slots import SLOTS
from support.uplinks import Listener
from support.week import scene
from support.week.scene import Week
from support.wholes import BOARD, WIFI, Place, config, place

_HOUR = 3600
_LOOK_DAY = 1 / 48  # of seven days: between two looks at what has come
_APART_S = 2.6  # between two words for a node that only listens
_OFF_S = 30
_REST_S = 5.0  # of real time for the broker to hand on what came last


class CutAt:
    """Takes the power away in the middle of writing to the outbox, from a moment on.

    Args:
        flash: of the node.
        meter: of the twin's chip, as its clock and to know whether the radio is on.
        session: whether it waits for a write in a session, while the radio is on, or for that of a keyword.
        after: such writes that pass before.

    Attributes:
        at: when it happened, virtual s; None before.
    """

    def __init__(self, flash: NorFlash, meter: Any, session: bool, after: int) -> None:
        self.at: float | None = None
        self._flash, self._meter, self._session, self._left = flash, meter, session, after

    def arm(self) -> None:
        """Watch what is written from now on."""
        self._program = self._flash.program
        self._flash.program = self._look

    def _look(self, at: int, data: bytes) -> None:
        slot = SLOTS["outbox"]
        wanted = self._meter.loads.get("wifi") if self._session else b'"keyword"' in bytes(data)
        if wanted and slot.offset <= at < slot.offset + slot.size:
            self._left -= 1
            if self._left < 0:
                self._flash.program = self._program
                self.at = self._meter.now / 1e6
                self._flash.cut = Cut(self._flash.operations, "inside", "bits", 7)
        self._program(at, data)


@dataclass
class Lived:
    """What came of the week. Times are virtual s since the first power-on.

    Attributes:
        week: how much there was.
        config: the node's, as it was told.
        spoken: ``(when, word)``, in order.
        clear: ``(word, which of its recordings)`` that the model understands where it always listens.
        text: what the console said.
        lines: ``(when, line)`` of it.
        events: ``(when, event)`` of its ``EVENT`` lines.
        resets: ``(when, cause)`` of every boot.
        wakes: how many were from deep sleep.
        stretches: what was drawn when, of the power meter.
        average_ma: over all of it.
        messages: ``(when, last part of the topic, payload)`` at the subscriber in order; when is known to
            half an hour of seven days.
        injected: what was done to the node, and when: "power gone", "torn write", "torn session".
        erases: of each sector of the outbox.
        wall_s: how long the run took.
    """

    week: Week
    config: dict[str, Any]
    spoken: list[tuple[float, str]]
    clear: set[tuple[str, int]] = field(default_factory=set)
    text: str = ""
    lines: list[tuple[float, str]] = field(default_factory=list)
    events: list[tuple[float, dict]] = field(default_factory=list)
    resets: list[tuple[float, int]] = field(default_factory=list)
    wakes: int = 0
    stretches: list[Stretch] = field(default_factory=list)
    average_ma: float = 0.0
    messages: list[tuple[float, str, bytes]] = field(default_factory=list)
    injected: dict[str, float] = field(default_factory=dict)
    erases: list[int] = field(default_factory=list)
    wall_s: float = 0.0

    def take(self, twin: Twin) -> None:
        """What the twin knows after its run."""
        self.text, self.lines, self.events = twin.text, twin.lines, twin.events
        self.resets, self.wakes = twin.resets, twin.wakes
        self.stretches, self.average_ma = twin.chip.meter.stretches, twin.chip.meter.average_ma()
        slot = SLOTS["outbox"]
        first = slot.offset // SECTOR
        self.erases = list(twin.flash.wear[first : first + slot.size // SECTOR])


def settings(week: Week, there: Place) -> dict[str, Any]:
    """The node's configuration; periods shrink with the week."""

    def period(seconds: int) -> int:
        return max(round(seconds * week.days / 7), 60)

    rule = {
        "name": "bearing",
        "when": [
            {"event": "anomaly", "source": "vib", "state": "anomaly"},
            {"reading": "air", "field": "temperature_c", "rises": 6, "within_s": 4 * week.every_s},
        ],
        "within_s": 60,
        "priority": "high",
        "refractory_s": 24 * week.every_s,
    }
    high = [{"match": {"event": kind}, "priority": "high"} for kind in ("alarm", "battery")]
    air = {
        "match": {"reading": "air"},
        "priority": "low",
        "change": {"field": "temperature_c", "by": 1.0},
    }
    sound = {"on": "sound", "pin": BOARD.SOUND_ADC["pin"], "threshold_mv": 40, "every_ms": 20}
    return config(
        name="Week",
        wifi=WIFI,
        mqtt=there.mqtt,
        updates={
            "transport": "http",
            "url": f"http://{updates.HOST}/",
            "every_s": period(12 * _HOUR),
            "trial_s": 2,
        },
        plan={"kind": "event", "quiet_s": 2, "every_s": week.every_s, "for_ms": 1000, "wake": [sound]},
        sensors=[
            {"name": "accel", "kind": "adxl345", "rate_hz": 400, "range_g": 4},
            {"name": "air", "kind": "bme280", "every_s": 60},
        ],
        pipelines=[
            {"name": "kws", "kind": "keyword", "gate": {"level_dbfs": -50, "hold_ms": 1000}},
            {"name": "vib", "kind": "vibration", "sensor": "accel", "learn": 30},
        ],
        rules=[rule],
        report={
            "health_s": period(24 * _HOUR),
            "every_s": period(6 * _HOUR),
            "batch": 40,
            "filters": [*high, air],
        },
        battery={"low_mv": scene.LOW_MV, "critical_mv": None},
    )


def live(week: Week, folder: Path) -> Lived:
    """Run it; takes some minutes for seven days."""
    (folder / "shelf").mkdir()
    (folder / "broker").mkdir()
    shelf = updates.Shelf(folder / "shelf")
    kept = ("persistence true", f"persistence_location {folder / 'broker'}/")
    played = scene.sounds(week)
    world = scene.world(week, played)
    with place(folder / "broker", kept) as there, ReleaseServer(shelf.root) as server:
        world.hosts = {**there.hosts, f"{updates.HOST}:80": server.address}
        about = settings(week, there)
        flash = NorFlash(BOARD.FLASH_SIZE, bytearray(updates.flash(config=about, files=there.files)))
        twin = Twin(flash, BOARD, world)
        lived = Lived(week, about, sorted((one.start, one.word) for one in played if one.word))
        cuts = {
            "torn write": CutAt(flash, twin.chip.meter, session=False, after=0),
            "torn session": CutAt(flash, twin.chip.meter, session=True, after=5),
        }
        _schedule(lived, twin, cuts, there, shelf)
        with there.listen() as listener:
            began = time.monotonic()
            _go_on(lived, twin, listener)
            lived.wall_s = time.monotonic() - began
        lived.clear = clear(week)
        lived.injected |= {name: cut.at for name, cut in cuts.items() if cut.at is not None}
        lived.take(twin)
    return lived


def clear(week: Week) -> set[tuple[str, int]]:
    """``(word, which of its recordings)`` of those that a node understands which only listens."""
    said = [
        (word, n, pcm) for word, all_of in scene.voices(week.seed).items() for n, pcm in enumerate(all_of)
    ]
    starts = [4 + _APART_S * n for n in range(len(said))]
    end = starts[-1] + _APART_S
    played = [Played(at, pcm, word) for at, (word, _, pcm) in zip(starts, said, strict=True)]
    twin = Twin(updates.flash(config={}), BOARD, Sound(played, end))
    twin.run(end)
    heard = [(at, event["word"]) for at, event in twin.events if event["event"] == "keyword"]
    return {
        (word, n)
        for start, (word, n, _) in zip(starts, said, strict=True)
        if any(start < at < start + _APART_S and word == other for at, other in heard)
    }


def _go_on(lived: Lived, twin: Twin, listener: Listener) -> None:
    """From power-on to the end, in steps, to know about when each message came."""

    def look() -> None:
        fresh = listener.messages[len(lived.messages) :]
        lived.messages += [(twin.now, name, payload) for name, payload, _ in fresh]

    step = lived.week.us(_LOOK_DAY) / 1e6
    twin.power_on()
    try:
        while twin.now < lived.week.seconds:
            twin.run_until(lambda: False, min(step, lived.week.seconds - twin.now))
            look()
    finally:
        twin.power_off()
    time.sleep(_REST_S)
    look()


def _schedule(lived: Lived, twin: Twin, cuts: dict[str, CutAt], there: Place, shelf: updates.Shelf) -> None:
    """Put on the twin's agenda what goes wrong, and the release."""
    week, chip = lived.week, twin.chip

    def power() -> None:
        lived.injected["power gone"] = twin.now
        raise Restart(PWRON_RESET, _OFF_S * 1_000_000)

    chip.at(week.us(scene.POWER_GONE), power)
    chip.at(week.us(scene.TORN_WRITE), cuts["torn write"].arm)
    chip.at(week.us(scene.NETWORK_GONE[1]), cuts["torn session"].arm)
    release = lambda: shelf.publish(updates.MODEL, updates.model("2"), 20)  # noqa: E731
    chip.at(week.us(scene.MODEL_RELEASED), release)
    chip.at(week.us(scene.BROKER_GONE[0]), there.broker.stop)
    chip.at(week.us(scene.BROKER_GONE[1]), there.broker.start)
