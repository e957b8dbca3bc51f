"""Programs on the twin that talk to a server of the test's own."""

from __future__ import annotations

from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, World
from support.twins import QUIET, script_flash

#: What every program begins with: the names it needs, a radio that is up, and ``attempt``.
BEGIN = """
import gc, hashlib, machine, time
from node.net import LinkError, http
from node.net.http_transport import HttpTransport
from node.net.wifi import Wifi
wifi = Wifi({"ssid": "cicada", "key": "twinkle twinkle"})
wifi.up()
def attempt(name, action, *arguments, **options):
    try:
        print(name, "->", action(*arguments, **options))
    except LinkError as error:
        print(name, "-> LinkError:", error)
def read(url, offset=0, most=1 << 30, **options):
    body = http.get(url, offset, **options)
    try:
        buf, digest, count = bytearray(4096), hashlib.sha256(), 0
        while count < most:
            got = body.readinto(memoryview(buf)[:min(4096, most - count)])
            if not got:
                break
            digest.update(memoryview(buf)[:got])
            count += got
        return body.size, count, digest.digest()[:4].hex()
    finally:
        body.close()
"""


def talk(
    code: str, folder: Path, hosts: dict[str, tuple[str, int]], network: Network | None = None, seconds=300
) -> dict[str, str]:
    """Run ``code`` after :data:`BEGIN` and return what it printed as ``name -> text``, by name.

    Args:
        hosts: ``name:port`` as the program asks for it -> where it is really served.
        network: the Wi-Fi; the one that :data:`BEGIN` expects by default.
    """
    world = World(QUIET, network=network or Network(), hosts=hosts)
    flash = script_flash(BEGIN + code + "\nwifi.down()\nmachine.deepsleep()\n", folder)
    twin = Twin(flash, load_board("twin"), world)
    twin.run(seconds)
    assert 'File "main.py"' not in twin.text, twin.text
    return dict(line.split(" -> ", 1) for line in twin.text.splitlines() if " -> " in line)
