"""What surrounds the board: sound, levels at its pins, the network, and what happens when."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cicada.tools.twin.sensors.analog import Curve
from cicada.tools.twin.sensors.motion import Motion, Still
from cicada.tools.twin.sound import Live, Sound

if TYPE_CHECKING:
    from cicada.tools.twin.sensors.camera import Camera


@dataclass
class Steps:
    """A value that changes in steps.

    Args:
        changes: ``(virtual us, value)`` in the order of time; the first holds before its time, too.
    """

    changes: Sequence[tuple[int, float]]

    def at(self, us: int) -> float:
        """The value at a moment."""
        return self.changes[max(bisect_right(self.changes, us, key=lambda c: c[0]) - 1, 0)][1]

    def when(self, value: float, after_us: int) -> int | None:
        """From when on, ``after_us`` or later, the value is ``value``; None if it never is."""
        if self.at(after_us) == value:
            return after_us
        return next((us for us, v in self.changes if us > after_us and v == value), None)


@dataclass
class Network:
    """The access point and the way beyond it.

    Args:
        ssid, key: of the access point.
        up: 1 while it can be heard, by virtual time.
        latency_ms: for every exchange.
        bytes_per_s: throughput.
        rssi: dBm.
        others: name and dBm of other networks that a scan finds.
    """

    ssid: str = "cicada"
    key: str = "twinkle twinkle"
    up: Steps = field(default_factory=lambda: Steps([(0, 1)]))
    latency_ms: Steps = field(default_factory=lambda: Steps([(0, 20)]))
    bytes_per_s: Steps = field(default_factory=lambda: Steps([(0, 250_000)]))
    rssi: int = -58
    others: Sequence[tuple[str, int]] = ()


@dataclass
class World:
    """Everything outside the chip, by virtual time since the first power-on.

    Args:
        sound: what the microphone hears.
        levels: logic levels driven onto input pins from outside.
        ulp: moments (us) at which the ULP coprocessor would wake the chip.
        touch: moments (us) at which a touch pad is touched.
        network: Wi-Fi.
        motion: what accelerometers feel.
        temperature, humidity: of the air, degrees Celsius and %.
        battery: its voltage; None leaves it to the charge drawn.
        camera: what the camera sees; None for no camera.
        devices: sensors beside those of ``board.I2C_DEVICES``, described alike (:mod:`.peripherals.sensing`).
        hosts: ``name:port`` as the program asks for it -> host and port where it is really served.
        agenda: ``(us, action)`` that happen by themselves.
    """

    sound: Sound | Live
    levels: dict[int, Steps] = field(default_factory=dict)
    ulp: Sequence[int] = ()
    touch: Sequence[int] = ()
    network: Network = field(default_factory=Network)
    motion: Motion = field(default_factory=Still)
    temperature: Curve = field(default_factory=lambda: Curve.constant(25.0))
    humidity: Curve = field(default_factory=lambda: Curve.constant(50.0))
    battery: Curve | None = None
    camera: Camera | None = None
    devices: Sequence[dict] = ()
    hosts: dict[str, tuple[str, int]] = field(default_factory=dict)
    agenda: list[tuple[int, Callable[[], None]]] = field(default_factory=list)
