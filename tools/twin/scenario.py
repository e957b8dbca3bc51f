"""Scenarios: what happens to a board when, and what must come of it, in TOML.

``docs/twin.md`` has the reference. This file holds the format; :mod:`cicada.tools.twin.staging` makes a world
of it, :mod:`cicada.tools.twin.judge` compares what came of it with what was expected.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from cicada.tools.errors import UserError, from_os_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
#: Seconds as a number, or words such as ``"1h 30m"``; ``"-1h"`` where going back makes sense.
Duration = float | int | str
_Level = Literal[0, 1]


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Base of everything in the file: unknown keys are refused."""


class Microphone(_Entry):
    """How sound becomes samples; ``live`` listens to a real one, by ``arecord`` unless it is a command."""

    gain_db: float = 0.0
    noise_dbfs: float | None = None
    offset: float = 0.0
    live: bool | str = False


class SoundEntry(_Entry):
    """A recording that is played, once or ``every`` so often ``until``; without ``file`` a test speaker's of
    the word, from the scenario's ``data`` or synthesised."""

    at: Duration
    file: str = ""
    word: str = ""
    every: Duration | None = None
    until: Duration | None = None


class MotionEntry(_Entry):
    """What the accelerometer feels from ``at`` on: it lies still, a machine turns, or a recording plays."""

    at: Duration = 0
    until: Duration | None = None
    kind: Literal["still", "machine", "file"] = "still"
    gravity: tuple[float, float, float] = (0.0, 0.0, 1.0)
    rotation_hz: float = 25.0
    unbalance_g: float = 0.0
    noise_g: float = 0.0
    fault: Literal["outer", "inner", "ball"] | None = None
    fault_g: float = 0.5
    file: str = ""
    rate: float | None = None
    g_per_count: float | None = None
    full_scale_g: float | None = None


class DeviceEntry(_Entry):
    """A sensor that is wired to the board beside its own, or takes the place of one at the same address:
    ``address`` for I2C (else the chip's usual one), ``cs`` for SPI, ``pin`` for 1-Wire; ``interrupt`` is the
    pin it can wake the chip by; from ``until`` on it is unplugged."""

    kind: str
    bus: Literal["i2c", "spi", "1-wire"] = "i2c"
    address: Annotated[int, msgspec.Meta(ge=0x08, le=0x77)] | None = None
    cs: Annotated[int, msgspec.Meta(ge=0, le=33)] | None = None
    pin: Annotated[int, msgspec.Meta(ge=0, le=33)] | None = None
    interrupt: Annotated[int, msgspec.Meta(ge=0, le=39)] | None = None
    until: Duration | None = None


class PinEntry(_Entry):
    """A level driven onto a pin from ``at`` on."""

    at: Duration
    pin: Annotated[int, msgspec.Meta(ge=0, le=39)]
    level: _Level


class NetworkEntry(_Entry):
    """The access point and the way beyond it from ``at`` on; what is left out stays."""

    at: Duration
    up: bool | None = None
    latency_ms: float | None = None
    bytes_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class TemperatureEntry(_Entry):
    """Air temperature at a moment; between two it changes evenly."""

    at: Duration
    celsius: float


class BatteryEntry(_Entry):
    """Voltage of the battery at a moment; without any it drains by what is drawn."""

    at: Duration
    volts: float


class CameraEntry(_Entry):
    """An image file before the lens from ``at`` on."""

    at: Duration
    file: str


class PowerEntry(_Entry):
    """The power goes for ``off``: at a moment, or at a flash operation (``NUMBER:WHEN:SHAPE:SEED``), and
    again ``every`` so many operations, ``times`` in all."""

    at: Duration | None = None
    operation: str = ""
    every: Annotated[int, msgspec.Meta(ge=1)] = 1
    times: Annotated[int, msgspec.Meta(ge=1)] = 1
    off: Duration = 1


class ClockEntry(_Entry):
    """The real-time clock jumps."""

    at: Duration
    jump: Duration


class ResetEntry(_Entry):
    """Somebody presses EN."""

    at: Duration


class TypeEntry(_Entry):
    """Somebody types at the console."""

    at: Duration
    text: str


class WakeEntry(_Entry):
    """A touch pad is touched, or the ULP coprocessor would wake the chip."""

    at: Duration
    source: Literal["touch", "ulp"]


class UpdateEntry(_Entry):
    """From ``at`` on a file can be fetched at ``http://updates.cicada/`` and its name."""

    at: Duration
    file: str


class Expect(_Entry):
    """One thing that must come of it: exactly one of the first group is given, the others narrow it down."""

    event: str = ""
    console: str = ""
    reset: Literal["power on", "hard", "watchdog", "deep sleep", "soft"] | None = None
    running: str = ""
    flash: str = ""
    nvs: str = ""
    average_ma: float | None = None

    where: dict[str, str | int | float | bool] = {}
    after: Duration = 0
    before: Duration | None = None
    count: int | None = None
    at_least: int | None = None
    at_most: int | None = None
    image: str = ""
    file: str = ""
    erased: bool = False
    equals: int | str | None = None

    def subject(self) -> str:
        """Which of the first group it is about."""
        given = [n for n in ("event", "console", "reset", "running", "flash", "nvs") if getattr(self, n)]
        given += ["average_ma"] if self.average_ma is not None else []
        if len(given) != 1:
            raise ValueError("needs exactly one of event, console, reset, running, flash, nvs, average_ma")
        return given[0]


class Scenario(_Entry):
    """The whole file.

    ``image`` is a flash image (default: the one that training left in ``build/twin``); ``model`` names a
    container to build into the application instead.
    """

    seconds: Duration
    title: str = ""
    board: str = "twin"
    seed: Annotated[int, msgspec.Meta(ge=0)] = 1
    image: str = ""
    model: str = ""
    data: str = ""
    microphone: Microphone = msgspec.field(default_factory=Microphone)
    sound: list[SoundEntry] = []
    motion: list[MotionEntry] = []
    device: list[DeviceEntry] = []
    pin: list[PinEntry] = []
    network: list[NetworkEntry] = []
    temperature: list[TemperatureEntry] = []
    battery: list[BatteryEntry] = []
    camera: list[CameraEntry] = []
    power: list[PowerEntry] = []
    clock: list[ClockEntry] = []
    reset: list[ResetEntry] = []
    type: list[TypeEntry] = []
    wake: list[WakeEntry] = []
    update: list[UpdateEntry] = []
    expect: list[Expect] = []


def load(path: Path) -> Scenario:
    """Read a scenario.

    Raises:
        UserError: if the file cannot be read, is no TOML, or says something the format does not know.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise from_os_error(error, f"reading scenario {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not TOML: {error}") from error
    try:
        scenario = msgspec.convert(raw, Scenario)
    except msgspec.ValidationError as error:
        raise UserError(f"{path}: {_plainly(str(error))}") from error
    for number, expect in enumerate(scenario.expect, 1):
        try:
            expect.subject()
        except ValueError as error:
            raise UserError(f"{path}: [[expect]] number {number} {error}") from error
    if not scenario.sound and scenario.data:
        raise UserError(f"{path}: data names recordings but no [[sound]] plays one: remove it or add sounds")
    return scenario


def microseconds(value: Duration, path: Path, signed: bool = False) -> int:
    """A duration of the file in microseconds.

    Raises:
        UserError: if it is none, or negative without ``signed``.
    """
    if isinstance(value, str):
        text, sign = value.strip(), 1
        if text.startswith("-"):
            text, sign = text[1:].strip(), -1
        parts = _PART.findall(text)
        if not parts or _PART.sub("", text).strip():
            raise UserError(f"{path}: '{value}' is no duration: write seconds, or words as '1h 30m'")
        seconds = sign * sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        seconds = float(value)
    if seconds < 0 and not signed:
        raise UserError(f"{path}: {value} is before the beginning: give a time of 0 or more")
    return round(seconds * 1e6)


def _plainly(error: str) -> str:
    """msgspec's message with the place in the file's own terms."""
    text, _, place = error.partition(" - at `")
    place = place.rstrip("`").removeprefix("$").removeprefix(".")
    place = re.sub(r"\[(\d+)\]", lambda m: f" number {int(m.group(1)) + 1}, ", place)
    place = place.strip(" ,").replace(", .", ", ")
    text = text.replace("Object contains unknown field", "unknown key")
    text = text.replace("Object missing required field", "missing")
    return f"in {place}: {text}" if place else text
