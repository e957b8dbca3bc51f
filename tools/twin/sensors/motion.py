"""What an accelerometer feels by virtual time, in g, gravity included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cicada.tools.twin.sensors.noise import hashed

Vector = tuple[float, float, float]
#: A board lying flat: an accelerometer at rest shows +1 g on the axis that points up.
UP: Vector = (0.0, 0.0, 1.0)


class Motion:
    """Acceleration by virtual time.

    Attributes:
        rest: what is felt when nothing moves (gravity); a mixture counts it once.
    """

    rest: Vector = UP

    def steady(self, start_us: int, end_us: int) -> bool:
        """Whether it is surely the same from ``start_us`` to ``end_us``, which saves looking closely."""
        return False

    def values(self, times: np.ndarray) -> np.ndarray:
        """Acceleration at ``times`` (int64 us, any shape), ``float64[..., 3]`` in g."""
        raise NotImplementedError

    def at(self, us: int) -> Vector:
        """Acceleration at one moment, g."""
        x, y, z = self.values(np.array([us], np.int64))[0]
        return float(x), float(y), float(z)

    def samples(self, start_us: int, period_us: float, count: int) -> np.ndarray:
        """``count`` samples ``period_us`` apart from ``start_us`` on, ``float32[count, 3]`` in g."""
        times = start_us + np.rint(np.arange(count) * period_us).astype(np.int64)
        return self.values(times).astype(np.float32)


class Still(Motion):
    """Nothing moves: gravity only."""

    def __init__(self, gravity: Vector = UP) -> None:
        self.rest = gravity

    def steady(self, start_us: int, end_us: int) -> bool:
        return True

    def values(self, times: np.ndarray) -> np.ndarray:
        return np.broadcast_to(np.array(self.rest, np.float64), (*np.shape(times), 3))


@dataclass(frozen=True)
class Bearing:
    """Geometry of a rolling bearing; the default is the 6205-2RS of the CWRU test stand.

    The frequencies are those of R. B. Randall, J. Antoni, "Rolling element bearing diagnostics: a tutorial",
    Mechanical Systems and Signal Processing 25 (2011), equations 1 to 4 (outer ring fixed).

    Args:
        balls: number of rolling elements.
        ball_mm: their diameter.
        pitch_mm: diameter of the circle of their centres.
        contact_deg: contact angle.
    """

    balls: int = 9
    ball_mm: float = 7.94
    pitch_mm: float = 39.04
    contact_deg: float = 0.0

    @property
    def _ratio(self) -> float:
        return self.ball_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    def ftf(self, rotation_hz: float) -> float:
        """Cage frequency (fundamental train frequency), Hz."""
        return rotation_hz / 2 * (1 - self._ratio)

    def bpfo(self, rotation_hz: float) -> float:
        """Balls passing a spot of the outer race, Hz."""
        return self.balls * rotation_hz / 2 * (1 - self._ratio)

    def bpfi(self, rotation_hz: float) -> float:
        """Balls passing a spot of the inner race, Hz."""
        return self.balls * rotation_hz / 2 * (1 + self._ratio)

    def bsf(self, rotation_hz: float) -> float:
        """Spin of a ball, Hz."""
        return self.pitch_mm / (2 * self.ball_mm) * rotation_hz * (1 - self._ratio**2)


@dataclass(frozen=True)
class Fault:
    """Damage of a bearing: every time a damaged spot is rolled over, the machine rings.

    Args:
        where: ``"outer"``, ``"inner"`` or ``"ball"``. A damaged ball strikes both races in each turn, so
            twice its spin; an inner race comes through the load zone once a rotation, a ball once a turn of
            the cage, and strikes harder there (Randall and Antoni, figure 5).
        peak_g: height of the first swing.
        resonance_hz: natural frequency of what rings.
        damping: its damping ratio.
        slip: random part of the time between strikes, as a share of it (1 to 2 % in real bearings, ibid.).
        bearing: its geometry.

    Raises:
        ValueError: a wrong ``where`` or figures that are not positive.
    """

    where: str
    peak_g: float
    resonance_hz: float = 3000.0
    damping: float = 0.05
    slip: float = 0.01
    bearing: Bearing = Bearing()

    def __post_init__(self) -> None:
        if self.where not in ("outer", "inner", "ball"):
            raise ValueError(f"a bearing fault is outer, inner or ball, not {self.where!r}")
        if self.resonance_hz <= 0 or not 0 < self.damping < 1:
            raise ValueError("a fault needs resonance_hz > 0 and damping between 0 and 1")

    def strikes_hz(self, rotation_hz: float) -> float:
        """How often the damage is rolled over, Hz."""
        bearing = self.bearing
        if self.where == "ball":
            return 2 * bearing.bsf(rotation_hz)
        return bearing.bpfo(rotation_hz) if self.where == "outer" else bearing.bpfi(rotation_hz)

    def ringing(self, seconds: np.ndarray, rotation_hz: float, seed: int) -> np.ndarray:
        """Acceleration it causes at ``seconds`` (float64), same shape, in g.

        Each strike is the impulse response of a damped oscillator, ``exp(-2 pi z f t) sin(2 pi f t sqrt(1 -
        z^2))``; strikes are added up until they have decayed to a thousandth.
        """
        rate = self.strikes_hz(rotation_hz)
        omega = 2 * math.pi * self.resonance_hz
        swing = omega * math.sqrt(1 - self.damping**2)
        lasting = math.log(1000) / (self.damping * omega)
        newest = np.floor(seconds * rate).astype(np.int64)
        modulation = {"outer": 0.0, "inner": rotation_hz, "ball": self.bearing.ftf(rotation_hz)}[self.where]
        total = np.zeros_like(seconds)
        # One strike more on either side, for those that slip across the boundary.
        for back in range(-1, math.ceil(lasting * rate) + 2):
            number = newest - back
            struck = (number + self.slip * hashed(number + (1 << 40), seed)) / rate
            since = seconds - struck
            since = np.where(since >= 0, since, np.inf)
            force = 1.0 if modulation == 0 else 0.5 + 0.5 * np.cos(2 * math.pi * modulation * struck)
            held = np.minimum(since, lasting)
            total += np.where(
                since < lasting, force * np.exp(-self.damping * omega * held) * np.sin(swing * held), 0.0
            )
        return self.peak_g * total


class Synthesised(Motion):
    """A machine that turns: unbalance, a damaged bearing, noise.

    Unbalance is a force that turns with the shaft: equal amplitude on both axes across the shaft, a quarter
    turn apart (ISO 21940-1). The strikes of a bearing are felt in full on one axis across the shaft, at half
    strength on the other and a fifth along the shaft.

    Args:
        rotation_hz: speed of the shaft, turns per second.
        unbalance_g: amplitude of the unbalance.
        fault: damage, or None.
        noise_g: RMS of white noise up to 5 kHz on each axis.
        gravity: what is felt at rest.
        shaft: axis along the shaft, ``"x"``, ``"y"`` or ``"z"``.
        seed: of noise and slip.

    Raises:
        ValueError: ``rotation_hz`` is not positive or ``shaft`` is no axis.
    """

    _NOISE_RATE = 10_000

    def __init__(
        self,
        rotation_hz: float,
        unbalance_g: float = 0.0,
        fault: Fault | None = None,
        noise_g: float = 0.0,
        gravity: Vector = UP,
        shaft: str = "x",
        seed: int = 1,
    ) -> None:
        if rotation_hz <= 0:
            raise ValueError("a machine needs rotation_hz > 0; Still stands still")
        if shaft not in ("x", "y", "z"):
            raise ValueError(f"shaft is x, y or z, not {shaft!r}")
        self.rest = gravity
        self.rotation_hz = rotation_hz
        self._unbalance, self._fault, self._noise = unbalance_g, fault, noise_g
        along = "xyz".index(shaft)
        self._axes = (along, (along + 1) % 3, (along + 2) % 3)
        self._seed = seed

    def values(self, times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, np.int64)
        seconds = times / 1e6
        out = np.empty((*times.shape, 3))
        out[...] = self.rest
        along, across, other = self._axes
        if self._unbalance:
            angle = 2 * math.pi * self.rotation_hz * seconds
            out[..., across] += self._unbalance * np.cos(angle)
            out[..., other] += self._unbalance * np.sin(angle)
        if self._fault:
            ring = self._fault.ringing(seconds, self.rotation_hz, self._seed)
            out[..., across] += ring
            out[..., other] += 0.5 * ring
            out[..., along] += 0.2 * ring
        if self._noise:
            index = times * self._NOISE_RATE // 1_000_000
            for axis in range(3):
                out[..., axis] += self._noise * hashed(index * 3 + axis + (1 << 41), self._seed)
        return out


@dataclass(frozen=True)
class Piece:
    """A motion on a timeline, from ``start_us`` to before ``end_us`` (None: for ever).

    Its own time begins at ``start_us``. It replaces what was there, or with ``mix`` is added to it, without
    its gravity.
    """

    start_us: int
    motion: Motion
    end_us: int | None = None
    mix: bool = False


class Timeline(Motion):
    """Motions one after the other and on top of each other.

    Args:
        pieces: later ones in the list lie above earlier ones.
        base: what is felt where no piece is.

    Raises:
        ValueError: a piece ends before it starts.
    """

    def __init__(self, pieces: Sequence[Piece], base: Motion | None = None) -> None:
        self._base = base or Still()
        self._pieces = list(pieces)
        self.rest = self._base.rest
        for piece in self._pieces:
            if piece.end_us is not None and piece.end_us <= piece.start_us:
                raise ValueError(f"a piece from {piece.start_us} us cannot end at {piece.end_us} us")

    def steady(self, start_us: int, end_us: int) -> bool:
        for piece in reversed(self._pieces):
            end = math.inf if piece.end_us is None else piece.end_us
            if end_us < piece.start_us or start_us >= end:
                continue
            covers = piece.start_us <= start_us and end_us < end and not piece.mix
            return covers and piece.motion.steady(start_us - piece.start_us, end_us - piece.start_us)
        return self._base.steady(start_us, end_us)

    def values(self, times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, np.int64)
        out = np.array(self._base.values(times), np.float64)
        for piece in self._pieces:
            here = times >= piece.start_us
            if piece.end_us is not None:
                here &= times < piece.end_us
            if not here.any():
                continue
            felt = piece.motion.values(times[here] - piece.start_us)
            out[here] = out[here] + felt - piece.motion.rest if piece.mix else felt
        return out
