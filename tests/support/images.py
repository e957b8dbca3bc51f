"""Images for updates, and a program that installs one."""

from __future__ import annotations

import random
from pathlib import Path

from cicada.tools.board import load_board
from cicada.tools.twin import appimage, romfs
from cicada.tools.twin.image import application, compile_python


def new_image(folder: Path, version: str) -> bytes:
    """App image of another version of the program: it confirms itself and says what it is."""
    main = folder / "new.py"
    main.write_text(
        "from esp32 import Partition\nPartition.mark_app_valid_cancel_rollback()\n"
        f"print('running {version}')\nimport machine\nmachine.deepsleep()\n"
    )
    model = random.Random(1).randbytes(40_000)  # so that the update takes a while
    files = romfs.unpack(application("twin", {"kws": model})) | {"main.mpy": compile_python(main)}
    return appimage.build(romfs.pack(files), version, load_board("twin"))


#: Fetches ``new.bin`` and installs it, from the beginning after every reset.
UPDATE_BY_HTTP = """
import machine, network, socket, time
from esp32 import Partition
w = network.WLAN(); w.active(True); w.connect('cicada', 'twinkle twinkle')
while not w.isconnected(): time.sleep_ms(100)
def fetch():
    s = socket.socket()
    s.connect(socket.getaddrinfo('updates.cicada', 80)[0][-1])
    s.send(b'GET /new.bin HTTP/1.0\\r\\n\\r\\n')
    status = s.readline()
    while True:
        line = s.readline()
        if line.startswith(b'Content-Length:'): length = int(line[15:])
        if line in (b'\\r\\n', b''): break
    return (s, length) if b' 200 ' in status else None
while True:
    found = fetch()
    if found: break
    time.sleep(1)
line, length = found
target = Partition(Partition.RUNNING).get_next_update()
block, at = bytearray(4096), 0
view = memoryview(block)
while at < length:
    n = 0
    want = min(4096, length - at)
    while n < want:
        n += line.readinto(view[n:want])
    target.writeblocks(at // 4096, block)
    at += want
target.set_boot()
machine.reset()
"""
