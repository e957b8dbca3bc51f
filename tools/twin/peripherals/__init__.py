"""The parts of the chip, one file an idea."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cicada.tools.twin.chip import Chip, Peripheral


def fit(chip: Chip) -> dict[str, Peripheral]:
    """One of each for ``chip``, by name."""
    from cicada.tools.twin.peripherals.camera import CameraPort
    from cicada.tools.twin.peripherals.cpu import Cpu
    from cicada.tools.twin.peripherals.delta import Delta
    from cicada.tools.twin.peripherals.gpio import Gpio
    from cicada.tools.twin.peripherals.i2s import I2s
    from cicada.tools.twin.peripherals.keys import Keys
    from cicada.tools.twin.peripherals.networks import Networks
    from cicada.tools.twin.peripherals.neural import Neural
    from cicada.tools.twin.peripherals.sensing import Sensing
    from cicada.tools.twin.peripherals.serial_buses import OneWire, Spi
    from cicada.tools.twin.peripherals.storage import Storage
    from cicada.tools.twin.peripherals.timers import Timers
    from cicada.tools.twin.peripherals.trust import Trust
    from cicada.tools.twin.peripherals.ulp import Ulp
    from cicada.tools.twin.peripherals.vibrating import Vibrating

    kinds = {
        "cpu": Cpu,
        "gpio": Gpio,
        "timers": Timers,
        "i2s": I2s,
        "sensing": Sensing,
        "spi": Spi,
        "onewire": OneWire,
        "storage": Storage,
        "networks": Networks,
        "neural": Neural,
        "camera": CameraPort,
        "trust": Trust,
        "delta": Delta,
        "keys": Keys,
        "ulp": Ulp,
        "vibrating": Vibrating,
    }
    return {name: kind(chip) for name, kind in kinds.items()}
