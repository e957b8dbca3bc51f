"""``cicada pack`` and ``cicada inspect``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING

from cicada.tools.errors import UserError, from_os_error

if TYPE_CHECKING:
    from cicada.training.pack import Packed

#: No model here is larger: the flash of the largest board.
_LARGEST = 16 << 20


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add both commands to the main parser's ``commands``."""
    pack = commands.add_parser("pack", help="compile a .tflite into a packed model for devices")
    pack.add_argument("model", type=Path, help="INT8 .tflite, or a container (.cmod) with one")
    pack.add_argument(
        "-o", "--out", type=Path, help="file to write (default: beside the model, .cpm or .cmod)"
    )
    pack.add_argument("--into", type=Path, metavar="CMOD", help="put it into this container instead")
    pack.add_argument("--c-array", type=Path, metavar="FOLDER", help="write it as C there, too")
    pack.add_argument(
        "--plain", action="store_true", help="for boards with accelerated kernels (ESP-NN on ESP32-S3)"
    )
    pack.set_defaults(run=_pack)

    inspect = commands.add_parser("inspect", help="operators, arithmetic, memory of a .tflite, .cpm or .cmod")
    inspect.add_argument("model", type=Path)
    inspect.add_argument("--json", action="store_true", help="for programs")
    inspect.set_defaults(run=_inspect)


def _pack(options: argparse.Namespace) -> int:
    from cicada.tools.runtimes import is_packed
    from cicada.tools.stages import write_atomic

    source: Path = options.model
    about, model = _open(source)
    if is_packed(model):
        raise UserError(f"{source} is a packed model already: give the .tflite it was made of")
    made = _packed(source, model, options.plain)
    if options.into:
        about, _ = _open(options.into)
        if about is None:
            raise UserError(f"--into {options.into}: that is no container (.cmod)")
        out, blob = options.out or options.into, made.contained(about)
    elif about is None:
        out, blob = options.out or source.with_suffix(".cpm"), made.blob
    else:
        out, blob = options.out or source, made.contained(about)
    write_atomic(out, blob)
    written = [out]
    if options.c_array:
        from cicada.training.pack.carray import c_sources

        stem = re.sub(r"\W", "_", out.stem)
        for name, text in c_sources(made.blob, stem if stem[0].isalpha() else f"model_{stem}").items():
            write_atomic(options.c_array / name, text.encode("ascii"))
            written.append(options.c_array / name)
    print(
        f"{len(model):,} bytes -> {len(made.blob):,}; arena {made.plan.arena:,} (bound {made.plan.bound:,});"
        f" about {made.instructions:,} RV32IMC instructions an inference; equal to TFLM in its self-test"
    )
    print("wrote " + ", ".join(map(str, written)))
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from rich.console import Console

    from cicada.tools.runtimes import is_packed
    from cicada.training.pack.report import report, show

    _, model = _open(options.model)
    try:
        packed = None if is_packed(model) else _packed(options.model, model)
        made = report(packed.blob if packed else model, packed)
    except ValueError as error:
        raise UserError(f"{options.model}: {error}") from error
    if options.json:
        import json

        print(json.dumps(made.as_json(), indent=1))
    else:
        show(made, Console())
    return 0


def _open(path: Path) -> tuple[dict | None, bytes]:
    """Manifest (None for a bare model) and model of a file."""
    from cicada.training import container

    try:
        if path.stat().st_size > _LARGEST:
            raise UserError(f"{path} has more than {_LARGEST >> 20} MiB: no board here has flash for it")
        data = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {path}") from error
    if data[:4] != container.MAGIC:
        return None, data
    try:
        about, model = container.unpack(data)
    except ValueError as error:
        raise UserError(f"{path}: {error}; make it again with make train") from error
    return about, bytes(model)


def _packed(path: Path, model: bytes, plain: bool = False) -> Packed:
    from cicada.training.pack import pack
    from cicada.training.pack.errors import PackError

    try:
        return pack(model, plain)
    except PackError as error:
        raise UserError(f"{path}: {error}") from error
