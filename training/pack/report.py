"""What a packed model is made of: operators, shapes, arithmetic, weights, and who lies where in the arena."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from cicada.training.pack import Packed, format
from cicada.training.pack.plan import scratch_size
from cicada.training.pack.program import Buffer, Ring


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        kind: of the record, the name of the kernel that runs it (``firmware/engine/runtime``).
        name: the tensor it makes, where the model was packed just now; else empty.
        input, output: (rows, columns, channels).
        kernel: rows and columns, (1, 1) for what has none.
        ring: whether it reads or writes a ring.
        macs: multiply-accumulates, taps on padding included.
        weights: bytes of weights and tables, the requantisation's included.
        instructions: predicted on RV32IMC, None for a model read from a ``.cpm``.
    """

    kind: str
    name: str
    input: tuple[int, int, int]
    output: tuple[int, int, int]
    kernel: tuple[int, int]
    ring: bool
    macs: int
    weights: int
    instructions: int | None


@dataclass(frozen=True)
class Piece:
    """Memory in the arena: ``kind`` is "buffer", "state", "ring" or "scratch"; ``first`` and ``last`` are the
    operators that use it, for what stays the very first and last.
    """

    name: str
    kind: str
    at: int
    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Report:
    """A packed model: sizes in bytes; ``bound`` and ``pieces`` are known where it was packed just now."""

    size: int
    arena: int
    bound: int | None
    macs: int
    instructions: int
    weights: int
    selftest_steps: int
    input: dict[str, Any]
    output: dict[str, Any]
    operators: list[Operator]
    pieces: list[Piece]

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def report(blob: bytes, packed: Packed | None = None) -> Report:
    """Describe a packed model.

    Args:
        blob: the ``.cpm``.
        packed: what :func:`cicada.training.pack.pack` returned with it, for what the blob does not tell.

    Raises:
        ValueError: it is no packed model, or damaged.
    """
    found = format.unpack(blob)
    head = found.header
    operators = [_operator(kind, members) for kind, members in found.ops]
    if packed:
        from cicada.training.pack import cost

        operators = [
            Operator(**{**vars(one), "name": op.name, "instructions": cost.instructions(op)})
            for one, op in zip(operators, packed.program.ops, strict=True)
        ]
    return Report(
        len(blob),
        head["arena"],
        packed.plan.bound if packed else None,
        head["macs"],
        head["instructions"],
        sum(one.weights for one in operators),
        head["selftest_steps"],
        _side(head["input"]),
        _side(head["output"]),
        operators,
        _pieces(packed) if packed else [],
    )


def _side(io: Mapping[str, Any]) -> dict[str, Any]:
    import struct

    (scale,) = struct.unpack("<f", struct.pack("<I", io["scale"]))
    names = {code: name for name, code in format.DTYPES.items()}
    return {
        "shape": io["shape"][: io["rank"]],
        "dtype": names.get(io["dtype"], "?"),
        "scale": scale,
        "zero_point": io["zero_point"],
    }


def _operator(kind: str, members: Mapping[str, Any]) -> Operator:
    out = members.get("out")
    into = members.get("in") or members.get("a") or out
    if kind == "copy":
        size = math.prod(members["dims"])
        into = out = {"h": 1, "w": 1, "c": size}
    window = members.get("window")
    kernel = (window["kernel_h"], window["kernel_w"]) if window else (1, 1)
    taps, weights, channels = math.prod(kernel), 0, out["c"]
    area = out["h"] * out["w"] * channels
    macs = 0
    if kind in ("conv", "plain_conv"):
        filled = -(-channels // 4) * 4 if kind == "conv" else channels
        weights, macs = filled * taps * into["c"], area * taps * into["c"]
    elif kind == "dense":
        macs = weights = channels * into["h"] * into["w"] * into["c"]
    elif kind in ("depthwise", "column", "plain_depthwise"):
        weights, macs = taps * channels, area * taps
    elif kind == "lut":
        weights = 256
    if macs:
        weights += (12 if kind.startswith("plain") else 9) * channels  # bias, multiplier and shift
    rings = members["op"]["in_ring"] or members["op"]["out_ring"]
    sizes = [(view["h"], view["w"], view["c"]) for view in (into, out)]
    return Operator(kind, "", sizes[0], sizes[1], kernel, bool(rings), macs, weights, None)


def _pieces(packed: Packed) -> list[Piece]:
    program, plan = packed.program, packed.plan
    end = len(program.ops) - 1
    pieces = []
    for memory, at in plan.places.items():
        users = [number for number, op in enumerate(program.ops) if memory in _memories(op)]
        first, last = (min(users), max(users)) if users else (0, end)
        kind = "ring" if isinstance(memory, Ring) else "buffer" if memory.initial is None else "state"
        if kind != "buffer":
            first, last = 0, end
        elif memory is program.input:
            first = 0
        elif memory is program.output:
            last = end
        pieces.append(Piece(memory.name, kind, at, memory.size, first, last))
    for op, at in plan.scratch.items():
        number, size = program.ops.index(op), scratch_size(op, plan.strips.get(op, 0))
        pieces.append(Piece(op.name, "scratch", at, size, number, number))
    return sorted(pieces, key=lambda piece: (piece.at, piece.first))


def _memories(op: object) -> list[Buffer | Ring]:
    """The memory an operator names, by its views or, for a copy, directly."""
    named = [getattr(op, name, None) for name in ("input", "output", "a", "b")]
    return [getattr(one, "memory", one) for one in named if one is not None]


def show(made: Report, console: Console) -> None:
    """Print it for people."""
    table = Table(
        "",
        "kernel",
        "makes",
        "from",
        "window",
        "MACs",
        "weights",
        "instr.",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for column in (0, 5, 6, 7):
        table.columns[column].justify = "right"
    for column in table.columns:
        column.no_wrap = True
    for number, one in enumerate(made.operators):
        table.add_row(
            str(number),
            f"{one.kind}{', ring' if one.ring else ''}",
            _shape(one.output),
            _shape(one.input),
            _shape(one.kernel) if one.kernel != (1, 1) else "",
            f"{one.macs:,}" if one.macs else "",
            f"{one.weights:,}" if one.weights else "",
            f"{one.instructions:,}" if one.instructions is not None else "",
        )
    console.print(table)
    if made.pieces:
        console.print(_map(made))
    for side, about in (("input", made.input), ("output", made.output)):
        text = (
            f"{about['dtype']}{about['shape']}, scale {about['scale']:.6g}, zero point {about['zero_point']}"
        )
        console.print(f"{side}: {text}", highlight=False, soft_wrap=True, markup=False)
    bound = f" (no plan needs less than {made.bound:,})" if made.bound is not None else ""
    console.print(
        f"{made.size:,} bytes, {made.weights:,} of them weights and tables; arena {made.arena:,} bytes"
        f"{bound}; {made.macs:,} MACs; about {made.instructions:,} RV32IMC instructions an inference"
        f"{_per_mac(made)}; self-test of {made.selftest_steps} inferences",
        highlight=False,
        soft_wrap=True,
    )


def _per_mac(made: Report) -> str:
    return f", {made.instructions / made.macs:.2f} a MAC" if made.macs else ""


_WIDTH = 32


def _map(made: Report) -> Table:
    """Who lies where in the arena: a bar from 0 to the arena's end for each piece."""
    table = Table(
        "arena", "at", "bytes", "used by", f"0 to {made.arena:,}", box=box.SIMPLE, padding=(0, 1, 0, 0)
    )
    for column in (1, 2):
        table.columns[column].justify = "right"
    for piece in made.pieces:
        start = min(round(_WIDTH * piece.at / made.arena), _WIDTH - 1)
        length = max(1, round(_WIDTH * (piece.at + piece.size) / made.arena) - start)
        bar = ("█" * length).rjust(start + length).ljust(_WIDTH)[:_WIDTH]
        span = f"{piece.first}" if piece.first == piece.last else f"{piece.first} to {piece.last}"
        used = "all" if piece.kind in ("ring", "state") else span
        table.add_row(_who(piece), f"{piece.at:,}", f"{piece.size:,}", used, bar)
    return table


def _who(piece: Piece) -> str:
    """What a piece of the arena is, without TensorFlow's long names of tensors."""
    if piece.kind in ("ring", "state"):
        return f"{piece.kind} {piece.name[-20:]}"
    return f"{piece.kind} of {piece.first}"


def _shape(numbers: tuple[int, ...]) -> str:
    return "x".join(map(str, numbers))
