"""Batteries to choose from, and what of them reaches a board that runs on 3.3 V."""

from __future__ import annotations

from dataclasses import dataclass

from cicada.tools.errors import UserError

_VOLTS = 3.3


@dataclass(frozen=True)
class Battery:
    """One battery.

    Attributes:
        title: in words.
        mah: capacity of a cell at a low drain, mAh.
        volts: mean voltage of all cells in series while that is drawn.
        usable: share of the capacity that cold, age and the regulator's lowest voltage leave; an assumption.
        efficiency: of the converter to 3.3 V at some 100 uA to some 100 mA; an assumption.
        self_discharge: share of the capacity lost a year.
        source: of the figures.
    """

    title: str
    mah: float
    volts: float
    usable: float
    efficiency: float
    self_discharge: float
    source: str

    @property
    def mah_at_3v3(self) -> float:
        """What can be drawn at 3.3 V, mAh."""
        return self.mah * self.usable * self.volts * self.efficiency / _VOLTS

    @property
    def self_discharge_ma(self) -> float:
        """The loss as a current at 3.3 V, mA."""
        return self.mah_at_3v3 * self.self_discharge / 8760

    def hours(self, average_ma: float) -> float:
        """How long it lasts at an average current at 3.3 V, self-discharge included, h."""
        return self.mah_at_3v3 / (average_ma + self.self_discharge_ma)


BATTERIES = {
    "li-ion": Battery(
        "2000 mAh Li-ion cell", 2000, 3.7, 0.8, 0.89, 0.03,
        "boards' BATTERY; a linear regulator (3.3 of 3.7 V); 3 % a year at room temperature: an assumption",
    ),
    "2aa-alkaline": Battery(
        "2 AA alkaline cells", 2850, 2.4, 0.9, 0.85, 0.03,
        "Energizer's figures for the E91: 2850 mAh at 25 mA to 0.8 V, about 1.2 V on average, 10 years on the"
        " shelf; makers say 2 to 3 % are lost a year",
    ),
    "2aa-lithium": Battery(
        "2 AA lithium cells", 3000, 2.8, 0.95, 0.85, 0.01,
        "Energizer's figures for the L91: 3000 mAh at any drain, 90 % of it after 15 years at 21 degrees,"
        " which is 0.7 % a year; 1.4 V on average is on the safe side, on a light drain it is 1.5 and more"
        " (Linden, Handbook of Batteries, figures 14.74 and 14.75)",
    ),
    "cr123a": Battery(
        "CR123A lithium cell", 1500, 2.9, 0.9, 0.85, 0.01,
        "Energizer's figures for the 123: 1500 mAh to 2.0 V, 10 years on the shelf; 0.5 to 1 %"
        " are lost a year",
    ),
}  # fmt: skip


def battery(name: str) -> Battery:
    """One of :data:`BATTERIES`.

    Raises:
        UserError: there is none of that name.
    """
    if name not in BATTERIES:
        raise UserError(f"there is no battery '{name}': choose one of {', '.join(BATTERIES)}")
    return BATTERIES[name]
