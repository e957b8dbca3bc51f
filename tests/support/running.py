"""A twin in a process of its own, for programs that open its ports."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

_RUN = """
import signal, sys
from pathlib import Path
from cicada.tools.board import load_board
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.sound import Sound
def stop(*a): raise KeyboardInterrupt
signal.signal(signal.SIGTERM, stop)
folder = Path(sys.argv[1])
twin = Twin(NorFlash.open(folder / "flash.bin"), load_board("twin"), Sound([], 60), folder / "tty",
            speed=float(sys.argv[2]), network_port=("127.0.0.1", 0))
try:
    twin.power_on()
    (folder / "url").write_text(twin.ports.network.url)
    twin.run_until(lambda: False)
except KeyboardInterrupt:
    print("stopped")
finally:
    twin.power_off()
    (folder / "left.bin").write_bytes(twin.flash.snapshot().data)
"""
#: Programs of esptool with pyserial's RFC 2217 client made quick: it sleeps 0.2 s for every command.
QUICK = """
import sys, time, types
from serial import rfc2217
rfc2217.time = types.SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 50))
module = sys.argv.pop(1)
__import__(module)._main()
"""


class Running:
    """A twin with its ports in ``folder``.

    Args:
        folder: for flash, port and what is left in the end.
        flash: contents of the flash.
        speed: times real time.
    """

    def __init__(self, folder: Path, flash: bytes, speed: float = 1.0) -> None:
        self.folder, self.port = folder, folder / "tty"
        (folder / "flash.bin").write_bytes(flash)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN, str(folder), str(speed)], stdout=subprocess.PIPE, text=True
        )
        end = time.monotonic() + 20
        url = folder / "url"  # made before it is written
        while not (self.port.exists() and url.exists() and url.read_text()):
            assert self.process.poll() is None and time.monotonic() < end
            time.sleep(0.02)

    @property
    def url(self) -> str:
        """For esptool."""
        return (self.folder / "url").read_text()

    def mpremote(self, *arguments: str, expect: int = 0) -> str:
        """Run mpremote on the console; what it printed."""
        command = [sys.executable, "-m", "mpremote", "connect", str(self.port), *arguments]
        return _run(command, expect)

    def esptool(self, *arguments: object, expect: int = 0) -> str:
        """Run esptool on the network port; what it printed."""
        command = [sys.executable, "-c", QUICK, "esptool", "--port", self.url, *map(str, arguments)]
        return _run(command, expect)

    def stop(self) -> str:
        """End it; what it printed."""
        if self.process.poll() is not None:
            return ""
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=10)[0]


def _run(command: list[str], expect: int) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == expect, done.stdout
    return done.stdout
