"""Charge a day of a configuration on a board, by what draws it.

Pure arithmetic over ``boards/<name>/board.py``; :mod:`cicada.tools.plan.verify` compares it with the twin.
All charges are mA s a day, currents mA at 3.3 V, times s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from cicada.tools.paths import FIRMWARE
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.sensors import armed_ma, running_ma, standby_ma, transfer_us
from cicada.tools.twin.ulpcore import ADC_CYCLES, HZ

DAY = 86_400.0
_SETTLE_S = 1.5  # from opening the microphone to the first window that counts: 49 + 25 frames of 20 ms
_HUSH_S = 0.5  # of quiet after that, and a wake by sound was for nothing (node.plan)
_FIFO = 32  # frames
_FLASH_RECORD = 256  # bytes of a record with its head


@dataclass(frozen=True)
class Phase:
    """A part of one cycle: how long, what is drawn, what for."""

    name: str
    seconds: float
    ma: float

    @property
    def charge(self) -> float:
        """mA s."""
        return self.seconds * self.ma


@dataclass(frozen=True)
class Budget:
    """What a day costs.

    Attributes:
        title: of board and plan.
        charges: by cause, mA s a day.
        cycle: the phases of one cycle, in order.
        cycles: of them a day.
        notes: sentences about what stands out.
    """

    title: str
    charges: Mapping[str, float]
    cycle: list[Phase]
    cycles: float
    notes: list[str]

    @property
    def average_ma(self) -> float:
        """Average current, mA."""
        return sum(self.charges.values()) / DAY


class _Parts:
    """The figures of a board and a configuration that all plans need."""

    def __init__(self, config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> None:
        self.config, self.board, self.assumed = config, board, assumed
        self.power = board.POWER
        self.plan = config["plan"]
        mhz = self.plan["cpu_mhz"] or board.CPU_HZ // 1_000_000
        self.scale = board.CPU_HZ / 1e6 / mhz
        self.slow = dict(self.power) | board.POWER_AT_MHZ.get(mhz, {})
        self.sensors = {one["name"]: one for one in config["sensors"]}
        self.moving = [one for one in config["pipelines"] if one["kind"] == "vibration"]
        self.hearing = [one for one in config["pipelines"] if one["kind"] == "keyword"]

    def standby(self) -> float:
        """Sensors at rest and the microphone switched off."""
        return self.power["microphone_off"] + sum(standby_ma(one["kind"]) for one in self.sensors.values())

    def boot(self) -> list[Phase]:
        """From the reset to the first sample, and what Python does later."""
        busy, assumed = self.power["cpu_busy"], self.assumed
        return [
            Phase("boot", self.board.BOOT_MS / 1000, busy + self.standby()),
            Phase("Python", (assumed.python_ms + assumed.script_ms) / 1000, busy + self.standby()),
        ]

    def sampling(self) -> list[Phase]:
        """One wake's sampling of all accelerometers, then its features and inferences."""
        phases = []
        busy, rest = self.power["cpu_busy"], self.power["light_sleep"]
        for one in self.moving:
            about = self.sensors[one["sensor"]]
            running = running_ma(about["kind"], about["rate_hz"]) - standby_ma(about["kind"]) + self.standby()
            seconds = max(self.plan["for_ms"] / 1000, self._front(one)[0] * one["windows"] / about["rate_hz"])
            frames = seconds * about["rate_hz"]
            reading = frames * transfer_us(about) / 1e6
            drains = frames / (0.5 * _FIFO)  # node.pipelines.motion: when half of it is full
            falling = drains * self.board.LIGHT_SLEEP_US / 1e6
            phases += [
                Phase("sampling: bus", reading, busy + running),
                Phase("sampling: light sleep", max(seconds - reading - falling, 0), rest + running),
                Phase("sampling: in and out of light sleep", falling, busy + running),
            ]
            phases.append(Phase("features", self._features(one, seconds * about["rate_hz"]), busy + running))
            if one["model"] is not None:
                phases.append(Phase("inference", self._inference(one["model"]), busy + running))
            else:
                phases.append(Phase("comparing", self.assumed.normal_ms / 1000, busy + running))
        return phases

    def _inference(self, model: str) -> float:
        """Time of an inference at the booted frequency, s: a built-in model says how many instructions."""
        from cicada.tools.packed import PackedModel
        from cicada.tools.runtimes import is_packed

        data = self._built_in(model)[1]
        if not is_packed(data):
            return self.assumed.inference_ms / 1000
        cycles = PackedModel(data).instructions * self.board.CYCLES["per_instruction"]
        return cycles / self.board.CPU_HZ

    def _features(self, one: Mapping[str, Any], frames: float) -> float:
        """Time of the features of whole windows at the booted frequency, s."""
        from cicada.tools.vibration import instructions

        samples, bands, envelope = self._front(one)
        cycles = instructions(samples, bands, 3, envelope) * self.board.CYCLES["per_instruction"]
        return frames // samples * cycles / self.board.CPU_HZ

    def _front(self, one: Mapping[str, Any]) -> tuple[int, int, int]:
        """Samples, bands and bands of the envelope: a model's own, where one is built in."""
        front = one
        if one["model"] is not None:
            manifest, _ = self._built_in(one["model"])
            front = manifest["frontend"] if manifest.get("type") == "vibration" else one
        return front["samples"], front["bands"], front.get("envelope", 0)

    def _built_in(self, model: str) -> tuple[dict[str, Any], bytes]:
        """A model's manifest and data; both are empty if it is not built in."""
        from cicada.training.container import unpack

        path = FIRMWARE / "models" / f"{model}.cmod"
        if not path.is_file():
            return {}, b""
        manifest, data = unpack(path.read_bytes())
        return manifest, bytes(data)

    def listening(self, seconds: float) -> list[Phase]:
        """The microphone on, features of every frame, an inference every 100 ms while the gate is open."""
        busy, idle = self.slow["cpu_busy"], self.slow["cpu_idle"]
        extra = self.power["microphone_on"] - self.power["microphone_off"] + self.standby()
        features = 50 * seconds * self.board.CYCLES["per_frame"] / self.board.CPU_HZ * self.scale
        inferring = 0.0
        for one in self.hearing:
            share = self.assumed.heard if one["gate"] else 1.0
            inferring += share * 10 * max(seconds - _SETTLE_S, 0) * self._inference(one["model"]) * self.scale
        rest = seconds - features - inferring
        return [
            Phase("features", features, busy + extra),
            Phase("inference", inferring, busy + extra),
            Phase("listening: idle", max(rest, 0.0), idle + extra),
        ]

    def session(self) -> list[Phase]:
        """One radio session, beside a wake that there is anyway."""
        power, assumed = self.power, self.assumed
        linger = (self.config["mqtt"] or {}).get("linger_ms", 1500) / 1000
        idle, receiving = power["cpu_idle"] + self.standby(), power["wifi_receive"]
        sending = assumed.send_ms / 1000 * (power["wifi_send"] - receiving)
        busy = power["cpu_busy"] + self.standby() + receiving + sending / (assumed.session_ms / 1000)
        return [
            Phase("radio: join", assumed.join_ms / 1000, idle + receiving),
            Phase("radio: deliver", assumed.session_ms / 1000, busy),
            Phase("radio: wait for commands", linger, idle + power["wifi_associated"]),
        ]

    def asleep(self) -> tuple[float, dict[str, float]]:
        """Current of deep sleep, and what of it is whose."""
        parts = {"deep sleep": self.power["deep_sleep"], "sensors and microphone at rest": self.standby()}
        for wake in self.plan["wake"]:
            if wake["on"] == "motion":
                kind = self.sensors[wake["sensor"]]["kind"]
                parts["accelerometer waiting"] = armed_ma(kind) - standby_ma(kind)
            if wake["on"] == "sound":
                parts |= self._ulp(wake["every_ms"])
        return sum(parts.values()), parts

    def _ulp(self, every_ms: float) -> dict[str, float]:
        """As the twin has it: a burst of 16 conversions, 250 us apart, then ``every_ms`` of nothing."""
        conversions = 16 * (ADC_CYCLES + 4)
        burst = (conversions + 15 * (2006 + 30) + 40) / HZ
        every = burst + every_ms / 1000
        return {
            "ULP": self.power["ulp"] * burst / every,
            "ULP: ADC": self.power["ulp_adc"] * conversions / HZ / every,
            "analog microphone": self.board.SOUND_ADC["ma"],
        }

    def flash(self) -> float:
        """Writing records: pages, and a sector's erase each time it is full; mA s a day."""
        us = self.board.FLASH_US
        each = us["program"] + us["erase"] * _FLASH_RECORD / 4096
        return (self.assumed.records + self.assumed.events) * each / 1e6 * self.power["cpu_busy"]

    def sessions(self) -> float:
        """Radio sessions a day; none without a broker."""
        if not self.config["mqtt"]:
            return 0.0
        health = DAY / self.config["report"]["health_s"] if self.config["report"]["health_s"] else 0.0
        return health + self.assumed.events


def budget(config: Mapping[str, Any], board: ModuleType, assumed: Assumptions) -> Budget:
    """The budget of a configuration.

    Args:
        config: whole and valid, defaults filled in.
        board: the board's description.
        assumed: what else is taken for granted.
    """
    parts = _Parts(config, board, assumed)
    plan = parts.plan
    # Kinds of wakes: how many a day, and the phases of one.
    if plan["kind"] == "listen":
        stays = plan["quiet_s"] + _SETTLE_S
        forever = not plan["quiet_s"]
        one = parts.listening(DAY) if forever else parts.boot() + parts.listening(stays)
        cycles = 1.0 if forever else DAY / (sum(p.seconds for p in one) + plan["sleep_s"])
        kinds = [(cycles, one)]
    elif plan["kind"] == "sample":
        kinds = [(DAY / plan["every_s"], parts.boot() + parts.sampling() + _ears(parts, plan))]
    else:
        kinds = [(assumed.wakes, parts.boot() + _answer(parts, plan))]
        if _by_sound(parts, plan):  # what was worth telling is listened to for longer
            kinds.append((assumed.events, parts.listening(plan["quiet_s"])))
        if plan["every_s"]:
            kinds.append((DAY / plan["every_s"], parts.boot() + parts.sampling()))
    sessions = parts.sessions()
    charges: dict[str, float] = {}
    awake = 0.0
    for number, phases in [*kinds, (sessions, parts.session())]:
        for phase in phases:
            charges[phase.name] = charges.get(phase.name, 0.0) + number * phase.charge
            awake += number * phase.seconds
    asleep, whose = parts.asleep()
    for name, ma in whose.items():
        charges[name] = charges.get(name, 0.0) + ma * max(DAY - awake, 0.0)
    charges["flash writes"] = parts.flash()
    charges["regulator"] = board.REGULATOR_MA * DAY
    cycles, phases = kinds[0]
    left = DAY / cycles - sum(phase.seconds for phase in phases) if cycles else 0.0
    cycle = [*phases, Phase("deep sleep", max(left, 0.0), asleep)]
    charges = {name: charge for name, charge in charges.items() if charge > 0}
    return Budget(f"{board.TITLE}, plan {plan['kind']}", charges, cycle, cycles, _notes(charges))


def _ears(parts: _Parts, plan: Mapping[str, Any]) -> list[Phase]:
    return parts.listening(plan["for_ms"] / 1000 + _SETTLE_S) if parts.hearing else []


def _answer(parts: _Parts, plan: Mapping[str, Any]) -> list[Phase]:
    """What answers a wake by sound or motion; see ``node.plan``."""
    if _by_sound(parts, plan):
        return parts.listening(_SETTLE_S + _HUSH_S)
    return parts.sampling() + _ears(parts, plan)


def _by_sound(parts: _Parts, plan: Mapping[str, Any]) -> bool:
    return any(wake["on"] == "sound" for wake in plan["wake"]) and bool(parts.hearing)


def _notes(charges: Mapping[str, float]) -> list[str]:
    whole = sum(charges.values())
    first = max(charges, key=charges.get)
    notes = [f"{first} takes most: {charges[first] / whole:.0%} of the charge."]
    start = charges.get("boot", 0.0) + charges.get("Python", 0.0)
    if start > whole / 3:
        notes.append(
            f"Starting up takes {start / whole:.0%}: fewer wakes save more than faster work. Boot time and"
            " Python's own are assumptions."
        )
    return notes
