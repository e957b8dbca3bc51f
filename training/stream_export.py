"""From a network that sees a whole window to one that sees a few new frames and remembers the rest.

Works on the ``.tflite`` of the whole form, so the weights, scales and roundings of both forms are the same,
and so are their outputs, bit for bit, once a whole window has been fed. A tensor with rows of time keeps only
the new ones, and in front of a layer that also looks at older rows stands the pattern that microWakeWord's
models have (https://github.com/kahrendt/microWakeWord)::

    READ_VARIABLE (old rows) ─┐
    new rows ─────────────────┴─ CONCATENATION ─┬─ layers that look at them
                                                └─ STRIDED_SLICE (the last of them) ─ ASSIGN_VARIABLE

CALL_ONCE sets the variables to what stands for 0.0, which is also what TFLite Micro resets them to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.training.flatedit import Flat

_TIME = 1  # axis
#: Whose output rows each depend on the same row of their inputs.
_ROW_WISE = frozenset({"ADD", "CONCATENATION", "PAD", "PADV2", "QUANTIZE", "RELU"})
_CONVOLUTIONS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D"})


@dataclass
class _Rows:
    """A tensor with an axis of time.

    Attributes:
        total: rows of the whole form.
        new: rows that a call adds.
        old: rows that are remembered from earlier calls, in the streaming form.
        fresh: number of the tensor that has the new rows alone; None if none has.
        full: number of the one that has the remembered ones, too.
    """

    total: int
    new: int
    old: int = 0
    fresh: int | None = None
    full: int | None = None

    @property
    def held(self) -> int:
        """Rows of ``full``."""
        return self.old + self.new


def streaming(model: bytes, frames: int) -> bytes:
    """The streaming form of a network.

    Args:
        model: the ``.tflite`` of the whole form, INT8 or float32: input ``[1, window, ...]``, convolutions
            over time without padding, the last row of each tensor ending with the last frame.
        frames: that the streaming form takes at a call; the strides over time divide it.

    Returns:
        the file, with input ``[1, frames, ...]`` and the same output; it begins as if all had been 0.0.

    Raises:
        ValueError: the network cannot be computed step by step; the message says why.
    """
    return _Streamer(Flat(model), frames).made()


class _Streamer:
    """Rewrites one graph; first forwards, to see what is new, then backwards, then operator by operator."""

    def __init__(self, flat: Flat, frames: int) -> None:
        self.flat, self.graph = flat, flat.graph
        self.rows: dict[int, _Rows] = {}
        self.needs: list[dict[int, int]] = []  # for each operator, the rows it looks at, by input tensor
        self.variables = 0
        self.operators: list[Any] = []
        given = int(self.graph.inputs[0])
        window = flat.shape(given)[_TIME]
        if not 1 <= frames <= window:
            raise ValueError(f"a call of {frames} frames does not fit a window of {window}")
        self.rows[given] = _Rows(window, frames)

    def made(self) -> bytes:
        """The file."""
        for operator in self.graph.operators:
            self.needs.append(self._forwards(operator))
        if int(self.graph.outputs[0]) in self.rows:
            raise ValueError("the output of the network still has rows of time")
        for operator, needs in zip(self.graph.operators[::-1], self.needs[::-1], strict=True):
            self._backwards(operator, needs)
        given = int(self.graph.inputs[0])
        number, self.start = self.flat.subgraph("start")
        self._produced(given)
        for operator, needs in zip(list(self.graph.operators), self.needs, strict=True):
            self._emit(operator, needs)
        once = self.flat.operator("CALL_ONCE", [], [], initSubgraphIndex=number)
        self.graph.operators = [once, *self.operators]
        return self.flat.finish()

    # What is new

    def _forwards(self, operator: Any) -> dict[int, int]:
        """Give an operator's outputs their rows; returns how many rows of each input it looks at."""
        kind = self.flat.kind(operator)
        timed = [int(n) for n in operator.inputs if int(n) in self.rows]
        if not timed:
            return {}
        first = self.rows[timed[0]]
        target = int(operator.outputs[0])
        shape = self.flat.shape(target)
        if kind in _CONVOLUTIONS:
            return self._convolution(operator, timed[0], target)
        if kind in _ROW_WISE:
            self._check_rows(operator, kind, timed, len(shape))
            self.rows[target] = _Rows(first.total, first.new)
            return dict.fromkeys(timed, first.new)
        if kind == "RESHAPE" and len(shape) > 2 and shape[_TIME] == first.total:
            self.rows[target] = _Rows(first.total, first.new)
            return {}
        if kind == "STRIDED_SLICE":
            begin = self._begin(operator)[_TIME]
            if begin + shape[_TIME] != first.total or shape[_TIME] < first.new:
                raise ValueError("STRIDED_SLICE takes other rows than the last ones")
            self.rows[target] = _Rows(shape[_TIME], first.new)
            return {}
        # Whatever else there is looks at the whole window: the head.
        if kind not in ("AVERAGE_POOL_2D", "MEAN", "RESHAPE", "FULLY_CONNECTED"):
            raise ValueError(f"{kind} over time cannot be computed step by step")
        if kind == "AVERAGE_POOL_2D" and shape[_TIME] != 1:
            raise ValueError("AVERAGE_POOL_2D leaves more than one row")
        return {timed[0]: first.total}

    def _check_rows(self, operator: Any, kind: str, timed: list[int], rank: int) -> None:
        """See that an operator treats all rows alike."""
        rows = {(self.rows[n].total, self.rows[n].new) for n in timed}
        # Numbers that are the same for all rows have one row, or fewer axes.
        fixed = [self.flat.shape(int(n)) for n in operator.inputs if int(n) not in self.rows]
        if len(rows) > 1 or any(len(shape) == rank and shape[_TIME] > 1 for shape in fixed):
            raise ValueError(f"{kind} joins tensors that are not as long as each other")
        joined = kind == "CONCATENATION" and operator.builtinOptions.axis % rank == _TIME
        padded = kind.startswith("PAD") and self._numbers(operator, 1).reshape(-1, 2)[_TIME].any()
        if joined or padded:
            raise ValueError(f"{kind} over time cannot be computed step by step")

    def _convolution(self, operator: Any, source: int, target: int) -> dict[int, int]:
        given, options = self.rows[source], operator.builtinOptions
        kernel = (self.flat.shape(int(operator.inputs[1]))[1] - 1) * options.dilationHFactor + 1
        step, made = options.strideH, self.flat.shape(target)[_TIME]
        if made != (given.total - kernel) // step + 1:
            raise ValueError(
                "a convolution is padded over time, so it would see frames that are still to come"
            )
        if (given.total - kernel) % step or given.new % step or kernel < step:
            raise ValueError(f"a stride of {step} over time does not fit calls of {given.new} rows")
        self.rows[target] = _Rows(made, given.new // step)
        return {source: kernel - step + given.new}

    def _begin(self, operator: Any) -> list[int]:
        """First element along each axis of a STRIDED_SLICE that steps by one and keeps its axes."""
        options, shape = operator.builtinOptions, self.flat.shape(int(operator.inputs[0]))
        begin, strides = self._numbers(operator, 1), self._numbers(operator, 3)
        if options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask or any(strides != 1):
            raise ValueError("STRIDED_SLICE changes axes, or steps")
        return [
            0 if options.beginMask >> axis & 1 else int(at) % size
            for axis, (at, size) in enumerate(zip(begin, shape, strict=True))
        ]

    def _numbers(self, operator: Any, place: int) -> NDArray[np.int32]:
        """Content of an input that is a constant of whole numbers."""
        return np.frombuffer(self.flat.constant(int(operator.inputs[place])) or b"", np.int32)

    def _backwards(self, operator: Any, needs: dict[int, int]) -> None:
        """Note how many old rows an operator wants of what it looks at."""
        for tensor, rows in needs.items():
            self._want(tensor, rows - self.rows[tensor].new)
        if not needs and int(operator.inputs[0]) in self.rows:
            # A view: what its readers want of it, it wants of what it views.
            self._want(int(operator.inputs[0]), self.rows[int(operator.outputs[0])].old)

    def _want(self, tensor: int, old: int) -> None:
        self.rows[tensor].old = max(self.rows[tensor].old, old)

    # The streaming form

    def _emit(self, operator: Any, needs: dict[int, int]) -> None:
        """Append an operator's streaming form."""
        source, target = int(operator.inputs[0]) if len(operator.inputs) else -1, int(operator.outputs[0])
        if not needs and source in self.rows:
            emit: Callable[[Any, int, int], None] = (
                self._reshape if self.flat.kind(operator) == "RESHAPE" else self._slice
            )
            emit(operator, source, target)
            return
        operator.inputs = [
            self._last(int(n), needs[int(n)]) if int(n) in needs else int(n) for n in operator.inputs
        ]
        self.operators.append(operator)
        if target in self.rows:
            self._produced(target)

    def _produced(self, tensor: int) -> None:
        """Make of a tensor one with new rows, and behind it the state that its readers need."""
        rows = self.rows[tensor]
        self._resize(tensor, rows.new)
        rows.fresh = rows.full = tensor
        if rows.old:
            rows.full = self._remember(tensor, rows)

    def _remember(self, tensor: int, rows: _Rows) -> int:
        """State of ``rows.old`` rows before a tensor's new ones; returns the tensor that has both."""
        flat, name = self.flat, f"s{self.variables}"
        self.variables += 1
        shape = list(flat.shape(tensor))
        old, held = list(shape), list(shape)
        old[_TIME], held[_TIME] = rows.old, rows.held
        handle, read = flat.add(name, ()), flat.add(f"{name}r", old, tensor)
        both = flat.add(f"{name}b", held, tensor)
        named = {"container": b"", "sharedName": name.encode()}
        self.operators.append(flat.operator("VAR_HANDLE", [], [handle], **named))
        self.operators.append(flat.operator("READ_VARIABLE", [handle], [read]))
        self.operators.append(flat.operator("CONCATENATION", [read, tensor], [both], axis=_TIME))
        begin = [0] * len(shape)
        begin[_TIME] = rows.new
        kept = self._sliced(both, begin, old, f"{name}k")
        self.operators.append(flat.operator("ASSIGN_VARIABLE", [handle, kept], []))
        inner = flat.add(name, (), graph=self.start)
        zeros = flat.add(f"{name}z", old, tensor, flat.zeros(tensor, old), self.start)
        self.start.operators.append(flat.operator("VAR_HANDLE", [], [inner], **named))
        self.start.operators.append(flat.operator("ASSIGN_VARIABLE", [inner, zeros], []))
        return both

    def _last(self, tensor: int, count: int) -> int:
        """The tensor with the last ``count`` rows of another."""
        rows = self.rows[tensor]
        if count == rows.new and rows.fresh is not None:
            return rows.fresh
        assert rows.full is not None
        if count == rows.held:
            return rows.full
        shape = list(self.flat.shape(rows.full))
        begin = [0] * len(shape)
        begin[_TIME], shape[_TIME] = rows.held - count, count
        return self._sliced(rows.full, begin, shape, f"l{tensor}")

    def _sliced(self, source: int, begin: list[int], shape: list[int], name: str) -> int:
        flat, axes = self.flat, (len(begin),)
        made = flat.add(name, shape, source)
        end = np.array(begin, np.int32) + np.array(shape, np.int32)
        numbers = [
            flat.add(f"{name}{what}", axes, content=np.array(values, np.int32))
            for what, values in (("b", begin), ("e", end), ("s", [1] * len(begin)))
        ]
        self.operators.append(flat.operator("STRIDED_SLICE", [source, *numbers], [made]))
        return made

    def _slice(self, operator: Any, source: int, target: int) -> None:
        """Rows that are left out are of the past, and the state has as many as are needed."""
        rows, shape = self.rows[target], list(self.flat.shape(target))
        begin, given = self._begin(operator), self.rows[source]
        if shape[_TIME + 1 :] == list(self.flat.shape(source))[_TIME + 1 :]:
            rows.full = self._last(source, rows.held)
            rows.fresh = given.fresh
            return
        assert given.full is not None
        begin[_TIME], shape[_TIME] = given.held - rows.held, rows.held
        rows.full = self._sliced(given.full, begin, shape, f"v{target}")
        rows.fresh = rows.full if rows.old == 0 else None

    def _reshape(self, operator: Any, source: int, target: int) -> None:
        """Other shape of each row."""
        rows = self.rows[target]
        operator.inputs = [self._last(source, rows.held)]
        self._resize(target, rows.held)
        shape = np.array(self.flat.shape(target), np.int32)
        operator.inputs.append(self.flat.add(f"h{target}", (len(shape),), content=shape))
        if operator.builtinOptions is not None:
            operator.builtinOptions.newShape = shape.tolist()
        self.operators.append(operator)
        rows.full = target
        rows.fresh = target if rows.old == 0 else None

    def _resize(self, tensor: int, count: int) -> None:
        shape = list(self.flat.shape(tensor))
        shape[_TIME] = count
        self.graph.tensors[tensor].shape = shape
        self.graph.tensors[tensor].shapeSignature = None
