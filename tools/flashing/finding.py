"""Which serial port a board is attached to."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD

#: USB vendors of the serial bridges on ESP32 boards and of Espressif's own ports (numbers by USB-IF).
BRIDGES = {
    0x10C4: "Silicon Labs CP210x",
    0x1A86: "WCH CH34x, CH910x",
    0x0403: "FTDI",
    0x303A: "Espressif USB",
}


@dataclass(frozen=True)
class Attached:
    """A port that a board may be behind: its name, and what it says about itself."""

    port: str
    about: str


def attached() -> list[Attached]:
    """Serial ports whose USB vendor makes bridges for ESP32 boards, by name."""
    from serial.tools import list_ports

    found = []
    for port in sorted(list_ports.comports()):
        if port.vid in BRIDGES:
            words = (port.product or BRIDGES[port.vid], port.serial_number)
            found.append(Attached(port.device, ", ".join(word for word in words if word)))
    return found


def find_port(board: str, port: str | None, reset_lines: bool = False) -> str:
    """The port to open for ``board``.

    Args:
        board: its name; ``twin`` is found at its own ports.
        port: what the user named, which is taken as it is; None to look for it.
        reset_lines: whether the port must carry DTR and RTS, as flashing needs; the twin has two ports.

    Raises:
        UserError: if there is no board, or more than one.
    """
    if port:
        return port
    if board == "twin":
        return _twin_port(reset_lines)
    found = attached()
    if len(found) == 1:
        return found[0].port
    if found:
        names = ", ".join(f"{f.port} ({f.about})" for f in found)
        raise UserError(f"several boards are attached: {names}; name one with PORT={found[0].port}")
    raise UserError(
        "no board is attached: check the cable (some only charge), the driver (the port should appear in "
        "/dev as ttyUSB or ttyACM) and your groups ('dialout'), or name its port with PORT=..."
    )


def _twin_port(reset_lines: bool) -> str:
    # Here, for boards need not have installed what the twin needs.
    from cicada.tools.twin.twin import default_port

    if reset_lines:
        with contextlib.suppress(OSError):
            return (BUILD / "twin" / "rfc2217").read_text().strip()
    elif default_port().exists():
        return str(default_port())
    raise UserError("no twin is running: start one with 'make twin'")
