"""Vibration of a rolling bearing with a local fault, by its physics, for tests and for pre-training.

Each time a damaged place is rolled over, a short shock rings the structure. How often that happens follows
from the geometry; how hard, from the load on the place at that moment; and rolling elements slip, so that the
shocks are nearly but not quite periodic. The model is that of J. Antoni, R. B. Randall, "A stochastic model
for simulation and diagnostics of rolling element bearings with localized faults", Journal of Vibration and
Acoustics 125, 2003, and of their "Rolling element bearing diagnostics: a tutorial", Mechanical Systems and
Signal Processing 25, 2011:

    x(t) = sum of A_i g_m exp(-2 pi z_m f_m s) sin(2 pi f_m sqrt(1 - z_m^2) s) over shocks i and modes m
           + shaft harmonics + noise, white and through the modes,        s = t - T_i > 0

g_m is an axis' gain of the mode, divided by the number of modes.

In turns of the shaft, shocks are 1 / order apart, each gap multiplied by 1 + slip N(0, 1); T_i follows from
the turns by the speed, which wanders. A_i = shock_g severity (rpm / 1800) q(psi_i) with 15 % of scatter. q is
Stribeck's load on a ball at the angle psi from the direction of the load, (1 - (1 - cos psi) / (2 zone))^1.5
(T. A. Harris, "Rolling Bearing Analysis", chapter on load distribution), or ``rest`` where that is less: psi
stays for a fault of the outer race, turns with the shaft for one of the inner race and with the cage for one
of a ball. A ball hits both races once in a turn of its own; the inner one is heard with 0.7 of the strength.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from cicada.training.corpora.machines import NORMAL, Machines, Recording, collect
from cicada.training.corpora.signals import counts

LABELS = (NORMAL, "ball", "inner", "outer")
_REFERENCE_RPM = 1800.0
_SCATTER = 0.15
_BALL_ON_INNER = 0.7
# Of the noise through the modes, beside white noise of 1.
_COLOURED = 0.5


@dataclass(frozen=True)
class Geometry:
    """A rolling bearing: number of balls, diameters of ball and pitch circle in one unit, contact angle."""

    balls: int
    ball: float
    pitch: float
    contact_deg: float = 0.0

    def orders(self) -> dict[str, float]:
        """Events in a turn of the shaft, the outer race standing still (Randall and Antoni 2011, section 2).

        ``cage`` its turns (FTF), ``outer`` balls over a place of the outer race (BPFO), ``inner`` of the
        inner race (BPFI), ``spin`` turns of a ball about itself (BSF).
        """
        ratio = self.ball / self.pitch * math.cos(math.radians(self.contact_deg))
        return {
            "cage": (1 - ratio) / 2,
            "outer": self.balls * (1 - ratio) / 2,
            "inner": self.balls * (1 + ratio) / 2,
            "spin": self.pitch / self.ball * (1 - ratio**2) / 2,
        }


#: SKF 6205-2RS JEM at the drive end of CWRU's motor, inches (Bearing Data Center, "Bearing information").
SKF_6205 = Geometry(balls=9, ball=0.3126, pitch=1.537)


@dataclass(frozen=True)
class Mode:
    """A resonance of the structure: frequency, damping ratio, and how much of it each axis sees."""

    hz: float
    damping: float
    gains: tuple[float, float, float] = (1.0, 0.6, 0.4)


@dataclass(frozen=True)
class Rig:
    """A machine around a bearing.

    Attributes:
        geometry: of the bearing.
        rpm: mean speed of the shaft.
        modes: resonances; a sensor sees those below half its sample rate.
        shock_g: of a fault of severity 1 under full load at 1800 rpm: what its modes would add up to.
        noise_g: RMS of the white noise of each axis; half as much again comes through the modes.
        shaft_g: amplitudes of the shaft's harmonics, first one first (imbalance, misalignment).
        wander: standard deviation of the speed, relative, over about a second.
        slip: standard deviation of the gap between two shocks, relative.
        zone: Stribeck's load distribution factor: 0.5 is half of the circle under load, more is preload.
        rest: least load anywhere on the circle, of the greatest.
        place_deg: angle of a fault of the outer race from the direction of the load.
    """

    geometry: Geometry = SKF_6205
    rpm: float = 1797.0
    modes: tuple[Mode, ...] = (Mode(1350.0, 0.05), Mode(2900.0, 0.03, (0.7, 1.0, 0.5)), Mode(3600.0, 0.03))
    shock_g: float = 4.0
    noise_g: float = 0.06
    shaft_g: tuple[float, ...] = (0.02, 0.01)
    wander: float = 0.003
    slip: float = 0.01
    zone: float = 0.5
    rest: float = 0.1
    place_deg: float = 0.0


def simulate(
    rig: Rig,
    fault: str,
    severity: float,
    *,
    seconds: float,
    rate_hz: float,
    seed: int | Sequence[int],
    axes: int = 1,
    onset_s: float = 0.0,
) -> NDArray[np.int16]:
    """What an accelerometer measures.

    Args:
        rig: the machine.
        fault: one of :data:`LABELS`; ``normal`` has no shocks.
        severity: 0 (no shocks) to 1 (heavy).
        seconds: length.
        rate_hz: sample rate; a mode must lie below half of it.
        seed: equal seeds give equal samples. Speed and noise do not depend on the fault: up to ``onset_s`` it
            is the recording of the sound machine with this seed.
        axes: 1 or 3.
        onset_s: the fault begins so long after the start.

    Returns:
        ``int16[n, axes]``, counts as in :mod:`cicada.training.corpora.signals`.

    Raises:
        ValueError: another fault, severity or number of axes, or no mode below half of the sample rate.
    """
    if fault not in LABELS or not 0 <= severity <= 1 or axes not in (1, 3):
        raise ValueError(f"fault must be one of {', '.join(LABELS)}, severity 0 to 1 and axes 1 or 3")
    modes = [mode for mode in rig.modes if mode.hz < rate_hz / 2]
    if not modes:
        raise ValueError(f"no mode of the machine lies below {rate_hz / 2:g} Hz")
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]
    count = round(seconds * rate_hz)
    turns = _turns(rig, count, rate_hz, streams[0])
    total = _background(rig, modes, turns, rate_hz, axes, streams[1])
    if fault != NORMAL:
        when, strength = _shocks(rig, fault, turns, rate_hz, streams[2])
        late = when >= onset_s
        strength = strength[late] * (rig.shock_g * severity * rig.rpm / _REFERENCE_RPM)
        for mode in modes:
            rung = _ring(when[late], strength, mode, count, rate_hz)
            total += rung[:, None] * (np.array(mode.gains[:axes]) / len(modes))
    return counts(total)


def _turns(rig: Rig, count: int, rate_hz: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Turns of the shaft since the start at each sample; the speed wanders as noise below about 1 Hz."""
    keep = np.exp(-2 * np.pi / rate_hz)
    # Starts in the steady state: the first sample has the variance of all.
    drift = rng.standard_normal(count) * np.sqrt(1 - keep**2)
    drift[:1] = rng.standard_normal()
    return np.cumsum(1 + rig.wander * lfilter([1.0], [1.0, -keep], drift)) * (rig.rpm / 60 / rate_hz)


def _shocks(
    rig: Rig, fault: str, turns: NDArray[np.float64], rate_hz: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Seconds of the shocks after the start, and how strong each is (1 is full load)."""
    orders = rig.geometry.orders()
    order = 2 * orders["spin"] if fault == "ball" else orders[fault]
    most = int(turns[-1] * order * 1.1) + 20
    gaps = np.maximum(1 + rig.slip * rng.standard_normal(most), 0.1)
    at = (rng.uniform() + np.cumsum(gaps) - 1) / order
    start = rng.uniform(0, 2 * np.pi)  # where the damaged place is at first
    keep = (at >= turns[0]) & (at < turns[-1])
    number, at = np.arange(most)[keep], at[keep]
    if fault == "outer":
        angle = np.full(len(at), np.radians(rig.place_deg))
    else:
        angle = start + 2 * np.pi * at * (orders["cage"] if fault == "ball" else 1.0)
    strength = _load(rig, angle) * np.exp(_SCATTER * rng.standard_normal(most)[keep])
    if fault == "ball":
        strength[number % 2 == 1] *= _BALL_ON_INNER
    return np.interp(at, turns, np.arange(1, len(turns) + 1) / rate_hz), strength


def _load(rig: Rig, angle: NDArray[np.float64]) -> NDArray[np.float64]:
    """Load at an angle (radians) from the direction of the load, of the greatest."""
    inside = 1 - (1 - np.cos(angle)) / (2 * rig.zone)
    return np.maximum(np.maximum(inside, 0) ** 1.5, rig.rest)


def _ring(
    when: NDArray[np.float64], strength: NDArray[np.float64], mode: Mode, count: int, rate_hz: float
) -> NDArray[np.float64]:
    """Sum of the decays of one mode; a shock may fall between two samples."""
    decay = 2 * np.pi * mode.damping * mode.hz
    length = int(7 / decay * rate_hz) + 2  # until e^-7
    first = np.ceil(when * rate_hz).astype(int)
    index = first[:, None] + np.arange(length)
    after = index / rate_hz - when[:, None]
    wave = np.exp(-decay * after) * np.sin(2 * np.pi * mode.hz * np.sqrt(1 - mode.damping**2) * after)
    wave *= strength[:, None]
    inside = index < count
    return np.bincount(index[inside], wave[inside], minlength=count)


def _background(
    rig: Rig,
    modes: Sequence[Mode],
    turns: NDArray[np.float64],
    rate_hz: float,
    axes: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """What a sound machine does, ``float64[n, axes]`` in g."""
    phase = rng.uniform(0, 2 * np.pi, (len(rig.shaft_g), axes))
    total = rig.noise_g * rng.standard_normal((len(turns), axes))
    for harmonic, level in enumerate(rig.shaft_g, 1):
        total += level * np.sin(2 * np.pi * harmonic * turns[:, None] + phase[harmonic - 1])
    for mode in modes:
        radius = np.exp(-2 * np.pi * mode.damping * mode.hz / rate_hz)
        turn = 2 * np.pi * mode.hz * np.sqrt(1 - mode.damping**2) / rate_hz
        rung = lfilter([1.0], [1.0, -2 * radius * np.cos(turn), radius**2], rng.standard_normal(len(turns)))
        rung *= _COLOURED * rig.noise_g / np.sqrt(len(modes)) / rung.std()
        total += rung[:, None] * np.array(mode.gains[:axes])
    return total


def corpus(
    count: int,
    seed: int,
    *,
    geometry: Geometry | None = SKF_6205,
    rate_hz: float = 12000.0,
    seconds: float = 4.0,
    axes: int = 1,
    each: int = 3,
    onset: bool = False,
) -> Machines:
    """Recordings of generated machines, all of :data:`LABELS` in turn.

    Each bearing is in a machine of its own (resonances, noise, load zone, severity) and is recorded ``each``
    times at different speeds. Severities are even in the logarithm from 0.1 to 1.

    Args:
        count: recordings.
        seed: of everything.
        geometry: of all bearings; None draws 7 to 12 balls of 0.17 to 0.28 of the pitch circle for each.
        rate_hz, seconds, axes: of each recording.
        each: recordings of a bearing.
        onset: faults begin somewhere between 30 and 70 % of their recording.

    Raises:
        UserError: ``count`` is 0.
    """
    recordings = []
    for number in range(count):
        bearing, again = divmod(number, each)
        fault = LABELS[bearing % len(LABELS)]
        of_bearing = np.random.default_rng([seed, 0, bearing])
        of_recording = np.random.default_rng([seed, 1, number])
        severity = 10 ** of_bearing.uniform(-1, 0)
        rig = _draw(of_bearing, of_recording.uniform(1000, 3000), geometry, rate_hz)
        begin = of_recording.uniform(0.3, 0.7) * seconds if onset and fault != NORMAL else 0.0
        frames = simulate(
            rig,
            fault,
            severity,
            seconds=seconds,
            rate_hz=rate_hz,
            seed=[seed, 2, number],
            axes=axes,
            onset_s=begin,
        )
        known = {} if fault == NORMAL else {"severity": severity, "onset_s": begin}
        name = f"generated_{bearing:04}_{again}"
        recordings.append(
            Recording(name, frames, rate_hz, fault, name.rpartition("_")[0], rpm=rig.rpm, condition=known)
        )
    return collect(f"generated bearings (seed {seed})", recordings)


def _draw(rng: np.random.Generator, rpm: float, geometry: Geometry | None, rate_hz: float) -> Rig:
    """A machine by chance; one mode at least lies above a fifth of the rate, where envelopes are sought."""
    own = Geometry(int(rng.integers(7, 13)), rng.uniform(0.17, 0.28), 1.0)
    places = [rng.uniform(0.2, 0.42), *rng.uniform(0.06, 0.42, int(rng.integers(1, 4)))]
    modes = tuple(
        Mode(place * rate_hz, rng.uniform(0.015, 0.06), tuple(rng.uniform(0.3, 1.0, 3))) for place in places
    )
    return Rig(
        geometry=geometry or own,
        rpm=rpm,
        modes=modes,
        shock_g=rng.uniform(2.0, 8.0),
        noise_g=float(np.exp(rng.uniform(np.log(0.02), np.log(0.12)))),
        shaft_g=tuple(rng.uniform(0.0, 0.04, 3)),
        wander=rng.uniform(0.001, 0.005),
        slip=rng.uniform(0.003, 0.015),
        zone=rng.uniform(0.4, 0.8),
        rest=rng.uniform(0.05, 0.3),
        place_deg=rng.uniform(-60, 60),
    )
