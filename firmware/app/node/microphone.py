"""The microphone's old place; see :mod:`node.drivers.microphone`."""

from node.drivers.microphone import Microphone  # noqa: F401
