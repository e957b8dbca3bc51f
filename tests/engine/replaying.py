"""The fuzz target as a program of GCC's sanitisers, for any packed models."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from engine.test_engine_sanitized import sanitized_program

from cicada.tools import engine
from cicada.tools.errors import UserError

FUZZ = Path(__file__).with_name("fuzz")
#: The corpus: packed models, and beside them what once failed.
CORPUS = [path.read_bytes() for path in sorted((FUZZ / "corpus").glob("*.cpm"))]
FAILED = [path.read_bytes() for path in sorted((FUZZ / "corpus").iterdir()) if path.suffix != ".cpm"]
RUNTIME = engine.ENGINE / "runtime"


def build(folder: Path) -> Path:
    """Build ``fuzz/replay.c``; skips (but never in CI) if the compiler has no sanitisers."""
    try:
        library = engine.build(sanitize=True)
        return sanitized_program(
            folder,
            FUZZ / "replay.c",
            FUZZ / "packed_fuzzer.c",
            f"-I{RUNTIME}",
            library,
            f"-Wl,-rpath,{library.parent}",
        )
    except UserError as error:
        if os.environ.get("CI") or os.environ.get("CICADA_REQUIRE_TOOLS") == "1":
            raise
        pytest.skip(f"this compiler has no sanitisers: {error}")


def replay(program: Path, blobs: Iterable[bytes]) -> list[str]:
    """What the loader said of each, or "ran"; a fault that a sanitiser finds is an AssertionError."""
    records = b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs)
    result = subprocess.run([program], input=records, capture_output=True, timeout=300)
    assert result.returncode == 0, result.stderr.decode(errors="replace")[:4000]
    return result.stdout.decode().splitlines()


def sealed(blob: bytes) -> bytes:
    """With the CRC at its end put right."""
    return blob[:-4] + struct.pack("<I", zlib.crc32(blob[:-4]))
