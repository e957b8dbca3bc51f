"""A model as the runtime will run it: machine operators over memory that has no addresses yet.

Each class is a record of ``firmware/engine/runtime/format.h``, before layout: weights as TFLite has them,
biases not folded, places in the arena unknown. :mod:`cicada.training.pack.lower` makes a program,
:mod:`cicada.training.pack.plan` places its memory, :mod:`cicada.training.pack.emit` writes the blob.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]


@dataclass(eq=False)
class Buffer:
    """Bytes in the arena.

    Attributes:
        name: for the arena map.
        size: bytes.
        initial: None for memory that lives from its first write to its last read in one inference; else what
            it holds after a reset, ``int8[size]``, and it keeps its place for good.
    """

    name: str
    size: int
    initial: NDArray[np.int8] | None = None


@dataclass(eq=False)
class Ring:
    """``rows`` rows of ``row`` bytes; ``initial`` is ``int8[rows, row]`` with the oldest row first.

    The operators of one inference write the newest rows at its position and then advance it.
    """

    name: str
    rows: int
    row: int
    initial: NDArray[np.int8]

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.row


@dataclass(frozen=True)
class View:
    """``cpm_view``: h rows of w pixels of c bytes in ``memory``, from byte ``at`` on."""

    memory: Buffer | Ring
    h: int
    w: int
    c: int
    at: int = 0
    pitch: int = 0
    row: int = 0

    def __post_init__(self) -> None:
        """Pitch and row of 0 mean dense."""
        object.__setattr__(self, "pitch", self.pitch or self.c)
        object.__setattr__(self, "row", self.row or self.w * self.pitch)


@dataclass(frozen=True)
class Window:
    """``cpm_window``: pairs are (rows, columns); ``pad`` is what lies before the first row and column."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    pad: Pair = (0, 0)


@dataclass(frozen=True)
class Requant:
    """From sums to outputs, in TFLite's own numbers.

    Attributes:
        bias: ``int32[n]``, not folded.
        multiplier: ``int32[n]``, Q31.
        shift: ``int32[n]``, positive to the left, as TFLite's QuantizeMultiplier gives it.
        in_zero, out_zero: zero points.
        low, high: of the activation.
    """

    bias: NDArray[np.int32]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    in_zero: int
    out_zero: int
    low: int
    high: int


@dataclass(eq=False)
class Op:
    """What all operators have: a name for people, TFLite's MACs, and the ring to advance afterwards."""

    name: str
    macs: int = 0
    advance: Ring | None = None
    advance_rows: int = 0


@dataclass(eq=False, kw_only=True)
class Conv(Op):
    """``cpm_conv``; weights ``int8[n, kernel_h, kernel_w, c]``."""

    input: View
    output: View
    window: Window
    weights: NDArray[np.int8]
    requant: Requant


@dataclass(eq=False, kw_only=True)
class Dense(Op):
    """``cpm_dense``; weights ``int8[n, K]``."""

    input: View
    output: View
    weights: NDArray[np.int8]
    requant: Requant


@dataclass(eq=False, kw_only=True)
class Depthwise(Op):
    """``cpm_depthwise``; weights ``int8[kernel_h, kernel_w, n]``. ``strip`` 0 leaves it to the planner."""

    input: View
    output: View
    window: Window
    weights: NDArray[np.int8]
    requant: Requant
    multiplier: int = 1
    strip: int = 0


@dataclass(eq=False, kw_only=True)
class Column(Op):
    """``cpm_column``; weights ``int8[kernel_h, c]``."""

    input: View
    output: View
    window: Window
    weights: NDArray[np.int8]
    requant: Requant


@dataclass(eq=False, kw_only=True)
class Plain(Op):
    """``cpm_plain``, for accelerated kernels.

    DEPTHWISE_CONV_2D with weights ``int8[kernel_h, kernel_w, n]`` if ``multiplier`` is not 0, else CONV_2D
    with weights ``int8[n, kernel_h, kernel_w, c]``.
    """

    input: View
    output: View
    window: Window
    weights: NDArray[np.int8]
    requant: Requant
    multiplier: int = 0


@dataclass(eq=False, kw_only=True)
class Pool(Op):
    """``cpm_pool``; ``largest`` for MAX_POOL_2D, else AVERAGE_POOL_2D."""

    input: View
    output: View
    window: Window
    largest: bool
    low: int
    high: int


@dataclass(eq=False, kw_only=True)
class Mean(Op):
    """``cpm_mean``; multiplier Q31, shift positive to the left."""

    input: View
    output: View
    multiplier: int
    shift: int
    correction: int
    out_zero: int
    low: int = -128
    high: int = 127


@dataclass(eq=False, kw_only=True)
class Binary(Op):
    """``cpm_binary``; ``kind`` is "add", "sub" or "mul"; multipliers Q31, shifts positive to the left."""

    kind: str
    a: View
    b: View
    output: View
    a_offset: int
    b_offset: int
    out_zero: int
    low: int
    high: int
    a_multiplier: int = 0
    a_shift: int = 0
    b_multiplier: int = 0
    b_shift: int = 0
    out_multiplier: int = 0
    out_shift: int = 0
    left: int = 0


@dataclass(eq=False, kw_only=True)
class Softmax(Op):
    """``cpm_softmax``."""

    input: View
    output: View
    multiplier: int
    left_shift: int
    diff_min: int


@dataclass(eq=False, kw_only=True)
class Lut(Op):
    """``cpm_lut``; table ``uint8[256]``, indexed by the input byte as unsigned."""

    input: View
    output: View
    table: NDArray[np.uint8]


@dataclass(eq=False, kw_only=True)
class Copy(Op):
    """``cpm_copy``: ``dims`` bytes from ``input`` at ``in_at`` by ``in_step``, and so to ``output``."""

    input: Buffer | Ring
    output: Buffer | Ring
    dims: tuple[int, int, int, int]
    in_at: int
    out_at: int
    in_step: tuple[int, int, int, int]
    out_step: tuple[int, int, int, int]


@dataclass(eq=False, kw_only=True)
class Fill(Op):
    """``cpm_fill``."""

    output: View
    value: int


@dataclass(eq=False)
class Program:
    """Operators in order and the memory they use; ``input`` and ``output`` are whole buffers.

    ``constants`` are buffers whose content operators read and never write, such as the b of an ADD: each is
    persistent memory set at reset.
    """

    ops: list[Op]
    input: Buffer
    output: Buffer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_scale: float
    input_zero: int
    input_dtype: str
    output_scale: float
    output_zero: int
    output_dtype: str
    buffers: list[Buffer] = field(default_factory=list)
    rings: list[Ring] = field(default_factory=list)
    macs: int = 0
