"""Writes a planned program as a packed model (``firmware/engine/runtime/format.h``)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from cicada.training.pack import esp_nn, layout
from cicada.training.pack import format as cpm
from cicada.training.pack.errors import PackError
from cicada.training.pack.overlap import memories
from cicada.training.pack.plan import Plan, scratch_size
from cicada.training.pack.program import (
    Binary,
    Buffer,
    Column,
    Conv,
    Copy,
    Dense,
    Depthwise,
    Fill,
    Lut,
    Mean,
    Op,
    Plain,
    Pool,
    Program,
    Ring,
    Softmax,
    View,
    Window,
)


def emit(
    program: Program, plan: Plan, *, instructions: int = 0, selftest: tuple[int, int, int] = (0, 0, 0)
) -> bytes:
    """The packed model. Equal programs and plans give equal bytes.

    Args:
        instructions: predicted for one inference, for people.
        selftest: inferences, seed and CRC-32 of their outputs, as cpm_selftest of cpm.h understands them.

    Raises:
        PackError: the model has a number that the format has no room for.
    """
    return _Writer(program, plan).blob(instructions, selftest)


class _Writer:
    """The tables of one blob and the records that point into them."""

    def __init__(self, program: Program, plan: Plan) -> None:
        self._program, self._plan = program, plan
        self._rings = {ring: number + 1 for number, ring in enumerate(program.rings)}
        self._base = 0
        self._data = bytearray()
        self._known: dict[bytes, int] = {}

    def blob(self, instructions: int, selftest: tuple[int, int, int]) -> bytes:
        """Everything."""
        program, plan = self._program, self._plan
        if len(program.rings) > cpm.RINGS:
            raise PackError(
                f"the model keeps {len(program.rings)} streams of state; {cpm.RINGS} can be packed"
            )
        states = self._states()
        ops_at = cpm.HEADER.size
        rings_at = ops_at + sum(record(op)[1].size for op in program.ops)
        states_at = rings_at + len(program.rings) * cpm.RING.size
        self._base = states_at + len(states) * cpm.STATE.size
        ops = b"".join(self._op(op) for op in program.ops)
        rings = b"".join(
            cpm.RING.pack({"at": plan.places[ring], "row": ring.row, "rows": ring.rows})
            for ring in program.rings
        )
        tables = b"".join(self._state(*state) for state in states)
        steps, seed, crc = selftest
        header = {
            "magic": cpm.MAGIC,
            "version": cpm.VERSION,
            "header_size": cpm.HEADER.size,
            "size": self._base + len(self._data) + 4,
            "arena": plan.arena,
            "ops_at": ops_at,
            "rings_at": rings_at,
            "states_at": states_at,
            "ops": len(program.ops),
            "rings": len(program.rings),
            "states": len(states),
            "selftest_steps": steps,
            "selftest_seed": seed,
            "selftest_crc": crc,
            "macs": program.macs,
            "instructions": instructions,
            "input": self._io("input"),
            "output": self._io("output"),
        }
        try:
            body = cpm.HEADER.pack(header) + ops + rings + tables + self._data
        except ValueError as error:
            raise PackError(f"the model is too large to be packed: {error}") from None
        return body + struct.pack("<I", zlib.crc32(body))

    def _add(self, data: bytes, alignment: int = cpm.ALIGNMENT) -> int:
        """Offset of a table in the blob; equal tables are written once."""
        if self._known.get(data, 1) % alignment:
            end = self._base + len(self._data)
            self._data += bytes(-end % alignment)
            self._known[data] = end + -end % alignment
            self._data += data.ljust(cpm.aligned(len(data)), b"\0")
        return self._known[data]

    def _io(self, which: str) -> dict[str, Any]:
        program = self._program
        buffer: Buffer = getattr(program, which)
        shape: Sequence[int] = getattr(program, f"{which}_shape")
        if len(shape) > cpm.RANK:
            raise PackError(
                f"the model's {which} has {len(shape)} dimensions; up to {cpm.RANK} can be packed"
            )
        scale = np.float32(getattr(program, f"{which}_scale"))
        return {
            "at": self._plan.places[buffer],
            "size": buffer.size,
            "scale": int(scale.view(np.uint32)),
            "zero_point": getattr(program, f"{which}_zero"),
            "dtype": cpm.DTYPES[getattr(program, f"{which}_dtype")],
            "rank": len(shape),
            "shape": [*shape, *[0] * (cpm.RANK - len(shape))],
        }

    def _states(self) -> list[tuple[int, int, bytes]]:
        """Address, size and content of what a reset sets; neighbours that hold one value are one."""
        memories = [m for m in (*self._program.buffers, *self._program.rings) if m.initial is not None]
        found: list[tuple[int, int, bytes]] = []
        for memory in sorted(memories, key=lambda m: self._plan.places[m]):
            content = np.ascontiguousarray(memory.initial, np.int8).tobytes()
            at = self._plan.places[memory]
            if len(content) != memory.size:
                raise ValueError(f"{memory.name}: {len(content)} bytes of state, not {memory.size}")
            if found:
                first, size, before = found[-1]
                if cpm.aligned(first + size) == at and len({*content, *before}) == 1:
                    found[-1] = first, at + memory.size - first, before
                    continue
            found.append((at, memory.size, content[:1] if len(set(content)) == 1 else content))
        return found

    def _state(self, at: int, size: int, content: bytes) -> bytes:
        uniform = len(set(content)) == 1
        source = 0 if uniform else self._add(content)
        return cpm.STATE.pack({"at": at, "size": size, "from": source, "fill": content[0] if uniform else 0})

    def _op(self, op: Op) -> bytes:
        """The record of an operator."""
        kind, structure = record(op)
        reads, target = memories(op)
        if isinstance(op, Binary) and any(isinstance(memory, Ring) for memory in reads):
            raise ValueError(f"{op.name}: it cannot read a ring")
        values, flags = self._members(op)
        values["op"] = {
            "kind": kind,
            "flags": flags,
            "length": structure.size,
            "in_ring": self._rings.get(reads[0], 0) if reads else 0,
            "out_ring": self._rings.get(target, 0),
            "advance": self._rings[op.advance] if op.advance else 0,
            "advance_rows": op.advance_rows if op.advance else 0,
        }
        try:
            return structure.pack(values)
        except ValueError as error:
            raise PackError(f"{op.name} is too large to be packed: {error}") from None

    def _members(self, op: Op) -> tuple[dict[str, Any], int]:
        """Members of an operator's record but ``op``, and its flags."""
        if isinstance(op, Copy):
            return self._copy(op), 0
        if isinstance(op, Fill):
            return {"out": self._view(op.output), "value": op.value & 255}, 0
        if isinstance(op, Binary):
            return self._binary(op), 0
        values: dict[str, Any] = {"in": self._view(op.input), "out": self._view(op.output)}
        if isinstance(op, Conv | Dense | Depthwise | Column):
            tables, flags = layout.requant_tables(op)
            requant = op.requant
            if not isinstance(op, Dense):
                values["window"] = _window(op.window, requant.in_zero)
            if not isinstance(op, Column):
                values["scratch"] = self._plan.scratch.get(op, 0)
            if isinstance(op, Depthwise):
                values |= {"multiplier": op.multiplier, "strip": self._plan.strips[op]}
            values["weights"] = self._add(layout.weights(op))
            values["requant"] = {
                "at": self._add(tables),
                "out_zero": requant.out_zero,
                "low": requant.low,
                "high": requant.high,
            }
            return values, flags
        if isinstance(op, Plain):
            return values | self._plain(op), 0
        if isinstance(op, Pool):
            return values | {"window": _window(op.window, 0), "low": op.low, "high": op.high}, 0
        if isinstance(op, Mean):
            values |= {"multiplier": 2 * op.multiplier, "shift": -op.shift, "correction": op.correction}
            return values | {"out_zero": op.out_zero, "low": op.low, "high": op.high}, 0
        if isinstance(op, Softmax):
            values |= {"multiplier": op.multiplier, "left_shift": op.left_shift, "diff_min": op.diff_min}
            return values, 0
        if isinstance(op, Lut):
            return values | {"table": self._add(np.asarray(op.table, np.uint8).tobytes())}, 0
        raise ValueError(f"{op.name}: {type(op).__name__} has no record")

    def _view(self, view: View) -> dict[str, int]:
        ring = isinstance(view.memory, Ring)
        return {
            "at": view.at if ring else self._plan.places[view.memory] + view.at,
            "row": view.memory.row if ring else view.row,
            "h": view.h,
            "w": view.w,
            "c": view.c,
            "pitch": view.pitch,
        }

    def _copy(self, op: Copy) -> dict[str, Any]:
        def start(memory: Buffer | Ring, at: int) -> int:
            return at if isinstance(memory, Ring) else self._plan.places[memory] + at

        return {
            "in_at": start(op.input, op.in_at),
            "out_at": start(op.output, op.out_at),
            "dims": op.dims,
            "in_step": op.in_step,
            "out_step": op.out_step,
            "contiguous": int(op.in_step[3] == op.out_step[3] == 1),
        }

    def _plain(self, op: Plain) -> dict[str, Any]:
        weights, tables = layout.plain_tables(op)
        requant = op.requant
        return {
            "window": _window(op.window, requant.in_zero),
            "weights": self._add(weights, esp_nn.ALIGNMENT),
            "bias": self._add(tables),
            "scratch": self._plan.scratch[op],
            "scratch_size": scratch_size(op),
            "in_offset": -requant.in_zero,
            "out_zero": requant.out_zero,
            "low": requant.low,
            "high": requant.high,
            "multiplier": op.multiplier,
        }

    def _binary(self, op: Binary) -> dict[str, Any]:
        return {
            "a": self._view(op.a),
            "b": self._view(op.b),
            "out": self._view(op.output),
            "a_offset": op.a_offset,
            "b_offset": op.b_offset,
            "out_zero": op.out_zero,
            "low": op.low,
            "high": op.high,
            "a_multiplier": 2 * op.a_multiplier,
            "b_multiplier": 2 * op.b_multiplier,
            "out_multiplier": 2 * op.out_multiplier,
            "a_shift": -op.a_shift,
            "b_shift": -op.b_shift,
            "out_shift": -op.out_shift,
            "left": op.left,
            "b_negative": int(op.kind == "sub"),
        }


def record(op: Op) -> tuple[int, cpm.Structure]:
    """Code and structure of an operator's record.

    Raises:
        ValueError: the format has none for it.
    """
    if isinstance(op, Pool):
        return cpm.RECORDS["max_pool" if op.largest else "average_pool"]
    if isinstance(op, Binary):
        return cpm.RECORDS["mul" if op.kind == "mul" else "add"]
    if isinstance(op, Plain):
        return cpm.RECORDS["plain_depthwise" if op.multiplier else "plain_conv"]
    name = type(op).__name__.lower()
    if name not in cpm.RECORDS:
        raise ValueError(f"{op.name}: {type(op).__name__} has no record")
    return cpm.RECORDS[name]


def _window(window: Window, pad_value: int) -> dict[str, int]:
    (height, width), (up, left) = window.kernel, window.pad
    return {
        "kernel_h": height,
        "kernel_w": width,
        "pad_h": up,
        "pad_w": left,
        "stride_h": window.stride[0],
        "stride_w": window.stride[1],
        "dilation_h": window.dilation[0],
        "dilation_w": window.dilation[1],
        "pad_value": pad_value,
    }
