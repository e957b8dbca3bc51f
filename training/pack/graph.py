"""A TFLite model as the compiler sees it: tensors and operators, checked, without the flatbuffer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes:
        name: as in the file, for messages.
        index: its number in the file's subgraph, -1 if the compiler made it.
        shape: all dimensions known and positive; the batch is 1.
        dtype: "int8", "uint8", "int32", "float32", "resource" and so on, TFLite's name in lower case.
        scale: ``float32[1]`` or one a channel; empty if not quantised.
        zero_point: ``int64``, as many as ``scale``.
        axis: of the channels if there are several scales.
        data: constant content of ``shape``, or None.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    zero_point: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    axis: int = 0
    data: NDArray[Any] | None = None

    @property
    def elements(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def zero(self) -> int:
        """The zero point of a tensor with one scale."""
        return int(self.zero_point[0])


@dataclass(eq=False)
class Operator:
    """One operator.

    Attributes:
        kind: TFLite's name, "CONV_2D".
        index: its number in the file, for messages; -1 if the compiler made it.
        inputs: None for an optional input that is left out.
        outputs: tensors it writes.
        attributes: plain values by name, per kind as :mod:`cicada.training.pack.reader` lists them.
    """

    kind: str
    index: int
    inputs: list[Tensor | None]
    outputs: list[Tensor]
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class Variable:
    """A resource variable: state that survives from one inference to the next.

    Attributes:
        name: container and shared name.
        tensor: shape, dtype and quantisation of its content.
        initial: ``int8`` of that shape, what it holds before the first inference.
    """

    name: str
    tensor: Tensor
    initial: NDArray[np.int8]


@dataclass(eq=False)
class Graph:
    """The main subgraph: one input, one output, operators in their order.

    VAR_HANDLE and CALL_ONCE are gone: READ_VARIABLE has no input and ASSIGN_VARIABLE one, and both have the
    attribute ``variable``.
    """

    input: Tensor
    output: Tensor
    operators: list[Operator]
    variables: list[Variable]
    macs: int
