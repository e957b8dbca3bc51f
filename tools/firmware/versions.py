"""The versions the firmware is built with: ``firmware/versions.env``."""

from __future__ import annotations

from cicada.tools.paths import FIRMWARE

_FILE = FIRMWARE / "versions.env"


def pins() -> dict[str, str]:
    """All lines ``NAME=VERSION`` of the file, e.g. ``{"MICROPYTHON": "1.28.0", ...}``."""
    lines = (line.strip() for line in _FILE.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def numbers(version: str) -> tuple[int, ...]:
    """``"5.5.1"`` as ``(5, 5, 1)``, to compare versions."""
    return tuple(int(part) for part in version.split("."))
