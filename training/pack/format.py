"""The structures of a packed model, format 1, as bytes.

The one place on the host that knows them: names, order and types of ``firmware/engine/runtime/format.h``,
which says what they mean. All is little-endian and laid out as a C compiler does without any gap.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAGIC = 0x314D5043
VERSION = 1
RANK = 6
#: At most in a model.
RINGS = 32
#: Codes of a model's input and output, by their names in a program.
DTYPES = {"int8": 0, "uint8": 1}
#: Flags of operators that requantise.
FAST, NONNEG = 1, 2
#: Every structure and table lies at a multiple of this many bytes.
ALIGNMENT = 4

_CODES = {"u32": "I", "i32": "i", "u16": "H", "i16": "h", "u8": "B", "i8": "b"}


@dataclass(frozen=True)
class Field:
    """One member: ``type`` is a number's ("u16") or a structure's; ``count`` is above 1 for an array."""

    name: str
    type: str | Structure
    count: int = 1
    array: bool = False

    @property
    def align(self) -> int:
        """What its offset is a multiple of."""
        return self.type.align if isinstance(self.type, Structure) else struct.calcsize(_CODES[self.type])

    @property
    def size(self) -> int:
        """Bytes."""
        one = self.type.size if isinstance(self.type, Structure) else struct.calcsize(_CODES[self.type])
        return one * self.count


class Structure:
    """A structure of the format.

    Attributes:
        name: in format.h.
        fields: its members in order.
        offsets: of each member by name, bytes.
        size: bytes.
    """

    def __init__(self, name: str, *fields: Field) -> None:
        self.name, self.fields = name, fields
        self.align = max(member.align for member in fields)
        self.offsets: dict[str, int] = {}
        self.size = 0
        for member in fields:
            if self.size % member.align:
                raise ValueError(f"{name}.{member.name} would need a gap before it")
            self.offsets[member.name] = self.size
            self.size += member.size
        if self.size % self.align:
            raise ValueError(f"{name} would need a gap at its end")

    def pack(self, values: Mapping[str, Any]) -> bytes:
        """Bytes of the structure.

        Args:
            values: of each member by name: a number, a sequence for an array, a mapping for a structure.
                Members called ``zero`` are left out.

        Raises:
            ValueError: a member is missing, unknown or out of its type's range.
        """
        names = {member.name for member in self.fields if member.name != "zero"}
        if names != set(values):
            raise ValueError(f"{self.name} has not the members {sorted(names ^ set(values))}, or lacks them")
        return b"".join(self._member(member, values.get(member.name)) for member in self.fields)

    def _member(self, member: Field, value: Any) -> bytes:
        if value is None:
            return bytes(member.size)
        if isinstance(member.type, Structure):
            return member.type.pack(value)
        items = list(value) if member.array else [value]
        try:
            return struct.pack(f"<{member.count}{_CODES[member.type]}", *items)
        except struct.error:
            raise ValueError(f"{self.name}.{member.name} cannot be {value}") from None

    def unpack(self, blob: bytes, at: int = 0) -> dict[str, Any]:
        """Members by name of the structure that begins at byte ``at``; arrays are lists.

        Raises:
            ValueError: it does not lie in the blob.
        """
        if at < 0 or at + self.size > len(blob):
            raise ValueError(f"{self.name} at {at} does not lie in {len(blob)} bytes")
        values: dict[str, Any] = {}
        for member in self.fields:
            start = at + self.offsets[member.name]
            if isinstance(member.type, Structure):
                values[member.name] = member.type.unpack(blob, start)
                continue
            items = struct.unpack_from(f"<{member.count}{_CODES[member.type]}", blob, start)
            values[member.name] = list(items) if member.array else items[0]
        values.pop("zero", None)
        return values


def _structure(name: str, *members: tuple[str, str | Structure]) -> Structure:
    """From pairs of names and type: "at size" and "u32", or "shape[6]" for an array."""
    fields = []
    for names, kind in members:
        for each in names.split():
            plain, _, count = each.partition("[")
            fields.append(Field(plain, kind, int(count[:-1]) if count else 1, bool(count)))
    return Structure(name, *fields)


IO = _structure(
    "cpm_io",
    ("at size scale", "u32"),
    ("zero_point", "i16"),
    ("dtype rank", "u8"),
    (f"shape[{RANK}]", "u32"),
)
HEADER = _structure(
    "cpm_header",
    ("magic", "u32"),
    ("version header_size", "u16"),
    ("size arena ops_at rings_at states_at", "u32"),
    ("ops rings states selftest_steps", "u16"),
    ("selftest_seed selftest_crc macs instructions", "u32"),
    ("input output", IO),
)
RING = _structure("cpm_ring", ("at row rows", "u32"))
STATE = _structure("cpm_state", ("at size from fill", "u32"))
VIEW = _structure("cpm_view", ("at row", "u32"), ("h w c pitch", "u16"))
OP = _structure(
    "cpm_op", ("kind flags", "u8"), ("length", "u16"), ("in_ring out_ring advance advance_rows", "u8")
)
REQUANT = _structure("cpm_requant", ("at", "u32"), ("out_zero", "i16"), ("low high", "i8"))
WINDOW = _structure(
    "cpm_window",
    ("kernel_h kernel_w pad_h pad_w", "u16"),
    ("stride_h stride_w dilation_h dilation_w", "u8"),
    ("pad_value", "i8"),
    ("zero[3]", "u8"),
)
CONV = _structure(
    "cpm_conv",
    ("op", OP),
    ("in out", VIEW),
    ("window", WINDOW),
    ("requant", REQUANT),
    ("weights scratch", "u32"),
)
DENSE = _structure(
    "cpm_dense", ("op", OP), ("in out", VIEW), ("requant", REQUANT), ("weights scratch", "u32")
)
DEPTHWISE = _structure(
    "cpm_depthwise",
    ("op", OP),
    ("in out", VIEW),
    ("window", WINDOW),
    ("requant", REQUANT),
    ("weights scratch", "u32"),
    ("multiplier strip", "u16"),
)
COLUMN = _structure(
    "cpm_column", ("op", OP), ("in out", VIEW), ("window", WINDOW), ("requant", REQUANT), ("weights", "u32")
)
POOL = _structure(
    "cpm_pool", ("op", OP), ("in out", VIEW), ("window", WINDOW), ("low high", "i8"), ("zero[2]", "u8")
)
MEAN = _structure(
    "cpm_mean",
    ("op", OP),
    ("in out", VIEW),
    ("multiplier", "u32"),
    ("shift correction", "i32"),
    ("out_zero", "i16"),
    ("low high", "i8"),
)
BINARY = _structure(
    "cpm_binary",
    ("op", OP),
    ("a b out", VIEW),
    ("a_offset b_offset out_zero", "i16"),
    ("low high", "i8"),
    ("a_multiplier b_multiplier out_multiplier", "u32"),
    ("a_shift b_shift out_shift left", "i8"),
    ("b_negative", "u32"),
)
SOFTMAX = _structure(
    "cpm_softmax", ("op", OP), ("in out", VIEW), ("multiplier", "u32"), ("left_shift diff_min", "i32")
)
LUT = _structure("cpm_lut", ("op", OP), ("in out", VIEW), ("table", "u32"))
COPY = _structure(
    "cpm_copy",
    ("op", OP),
    ("in_at out_at", "u32"),
    ("dims[4]", "u16"),
    ("in_step[4] out_step[4]", "i32"),
    ("contiguous", "u32"),
)
FILL = _structure("cpm_fill", ("op", OP), ("out", VIEW), ("value", "u32"))
PLAIN = _structure(
    "cpm_plain",
    ("op", OP),
    ("in out", VIEW),
    ("window", WINDOW),
    ("weights bias scratch scratch_size", "u32"),
    ("in_offset out_zero", "i16"),
    ("low high", "i8"),
    ("multiplier", "u16"),
)

#: Record of each kind of operator, by the kind's name in format.h without "CPM_", in lower case.
RECORDS: dict[str, tuple[int, Structure]] = {
    "conv": (1, CONV),
    "dense": (2, DENSE),
    "depthwise": (3, DEPTHWISE),
    "column": (4, COLUMN),
    "average_pool": (5, POOL),
    "max_pool": (6, POOL),
    "mean": (7, MEAN),
    "add": (8, BINARY),
    "mul": (9, BINARY),
    "softmax": (10, SOFTMAX),
    "lut": (11, LUT),
    "copy": (12, COPY),
    "fill": (13, FILL),
    "plain_conv": (14, PLAIN),
    "plain_depthwise": (15, PLAIN),
}
#: All structures, for the test that compares them with the compiler's.
STRUCTURES: Sequence[Structure] = (
    *(IO, HEADER, RING, STATE, VIEW, OP, REQUANT, WINDOW),
    *dict.fromkeys(structure for _, structure in RECORDS.values()),
)


def extent(n: int, stride: int, kernel: int, dilation: int) -> int:
    """Input rows or columns that ``n`` outputs see: ``CPM_EXTENT`` of format.h."""
    return (n - 1) * stride + (kernel - 1) * dilation + 1


def plane(rows: int, columns: int) -> int:
    """Bytes of scratch memory for a channel's strip: ``CPM_PLANE`` of format.h."""
    return aligned(rows * columns) + 16


def aligned(size: int) -> int:
    """``size`` or the next multiple of :data:`ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Unpacked:
    """A packed model taken apart, for reports and tests: members by name, as in format.h.

    Attributes:
        header: of ``cpm_header``.
        ops: kind, a key of :data:`RECORDS`, and members of each record.
        rings, states: of ``cpm_ring`` and ``cpm_state``.
    """

    header: dict[str, Any]
    ops: list[tuple[str, dict[str, Any]]]
    rings: list[dict[str, Any]]
    states: list[dict[str, Any]]


def unpack(blob: bytes) -> Unpacked:
    """Take a packed model apart. Tables and places that records point to are not looked at.

    Raises:
        ValueError: it is no packed model of this format, is damaged or cut short.
    """
    header = HEADER.unpack(blob)
    if header["magic"] != MAGIC:
        raise ValueError("not a packed model (it does not begin with CPM1)")
    if header["version"] != VERSION or header["header_size"] != HEADER.size:
        raise ValueError(f"a packed model of version {header['version']}, where {VERSION} is understood")
    if header["size"] != len(blob) or len(blob) % ALIGNMENT:
        raise ValueError(f"a packed model of {header['size']} bytes, but {len(blob)} are here")
    body = blob[:-4]
    if zlib.crc32(body) != int.from_bytes(blob[-4:], "little"):
        raise ValueError("a damaged packed model: its CRC is wrong")
    if header["rings"] > RINGS:
        raise ValueError(f"a packed model with {header['rings']} rings, more than {RINGS}")
    kinds = {code: (name, structure) for name, (code, structure) in RECORDS.items()}
    ops, at = [], header["ops_at"]
    for number in range(header["ops"]):
        op = OP.unpack(body, at)
        name, structure = kinds.get(op["kind"], ("", OP))
        if not name or op["length"] < structure.size or op["length"] % ALIGNMENT:
            raise ValueError(f"operator {number} is of kind {op['kind']} with {op['length']} bytes")
        ops.append((name, structure.unpack(body[: at + op["length"]], at)))
        at += op["length"]
    return Unpacked(
        header,
        ops,
        [RING.unpack(body, header["rings_at"] + i * RING.size) for i in range(header["rings"])],
        [STATE.unpack(body, header["states_at"] + i * STATE.size) for i in range(header["states"])],
    )
