"""Adaptation on the device: what is normal at this place, and classes learned from a few examples."""

from node.adapt.baseline import Baseline
from node.adapt.prototypes import Prototypes
from node.adapt.store import Store

__all__ = ("Baseline", "Prototypes", "Store")
