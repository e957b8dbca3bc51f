"""A packed model beside TensorFlow Lite Micro: every output byte is to be equal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from cicada.tools.packed import PackedModel
from cicada.tools.tflm import Interpreter
from cicada.training.pack import format as cpm
from cicada.training.pack import pack

_GUARD = 64  # bytes on either side of the arena
_PATTERN = 0xC3


class GuardedModel(PackedModel):
    """A packed model in an arena of exactly the promised bytes at a multiple of 4, filled with noise, with
    guards on both sides."""

    def __init__(self, blob: bytes, seed: int = 0) -> None:
        super().__init__(blob)
        self._size = cpm.HEADER.unpack(blob)["arena"]
        room = np.zeros((_GUARD + 4 + self._size + _GUARD) // 8 + 1, np.uint64)
        self._room = room.view(np.uint8)
        self._room[:] = _PATTERN
        self._inside = slice(_GUARD + 4, _GUARD + 4 + self._size)
        noise = np.random.default_rng(seed)
        self._room[self._inside] = noise.integers(0, 256, self._size, np.uint8)
        self._lib.cpm_open(self._at, self._blob.ctypes.data, self._room.ctypes.data + self._inside.start)

    def invoke(self, values: NDArray[Any]) -> NDArray[Any]:
        """As :meth:`PackedModel.invoke`; asserts that blob and guards are as before."""
        before = self._blob.tobytes()
        out = super().invoke(values)
        assert self._blob.tobytes() == before, "the runtime wrote into the blob"
        outside = (self._room[: self._inside.start], self._room[self._inside.stop :])
        assert all((guard == _PATTERN).all() for guard in outside), "the runtime wrote outside of the arena"
        start = self._lib.cpm_output(self._at) - self._room.ctypes.data
        assert self._inside.start <= start <= start + len(out) <= self._inside.stop
        return out


class Pair:
    """One model under both engines, step by step. Compiles it first, ``plain`` for accelerated kernels."""

    def __init__(self, model: bytes, seed: int = 0, plain: bool = False) -> None:
        self.model = model
        self.blob = pack(model, plain).blob
        self.packed = GuardedModel(self.blob, seed)
        self.oracle = Interpreter(model)
        self.steps = 0

    def step(self, values: NDArray[Any]) -> NDArray[Any]:
        """One inference of both; ``values`` are of the packed model's input type. Returns the output."""
        got = self.packed.invoke(values)
        given = self.oracle.input["dtype"]
        # A model whose edges are float32 is packed without them: its bytes are what QUANTIZE makes of floats.
        wanted = self.oracle.invoke(self._real(values, self.packed.input) if given == np.float32 else values)
        if wanted.dtype == np.float32:
            got_as = self._real(got, self.packed.output)
        else:
            assert wanted.dtype == got.dtype
            got_as = got
        if not np.array_equal(got_as, wanted):
            where = np.flatnonzero(got_as != wanted)
            raise AssertionError(
                f"step {self.steps}: {len(where)} of {wanted.size} outputs differ, first at {where[0]}:"
                f" {got_as[where[:8]]}, TFLM {wanted[where[:8]]}\n{listing(self.model)}"
            )
        self.steps += 1
        return got

    def reset(self) -> None:
        """Both as before their first inference.

        The packed model by its reset. TFLM's would not run CALL_ONCE again, so it is made anew.
        """
        self.packed.reset()
        self.oracle = Interpreter(self.model)

    @staticmethod
    def _real(values: NDArray[Any], details: dict[str, Any]) -> NDArray[np.float32]:
        """As TFLite's DEQUANTIZE: in double precision, then rounded."""
        return ((values.astype(np.float64) - details["zero_point"]) * details["scale"]).astype(np.float32)


def inputs(details: dict[str, Any], seed: int, count: int) -> Iterator[NDArray[Any]]:
    """``count`` inputs: all bytes equally likely, of a narrow range, and the two extremes."""
    numbers = np.random.default_rng(seed)
    shape, dtype = details["shape"], details["dtype"]
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    for n in range(count):
        if n in (1, 2):
            yield np.full(shape, (low, high)[n - 1], dtype)
        elif n % 4 == 3:
            middle = numbers.integers(low, high + 1)
            narrow = np.clip(middle + numbers.integers(-9, 10, shape), low, high)
            yield narrow.astype(dtype)
        else:
            yield numbers.integers(low, high + 1, shape).astype(dtype)


def walk(details: dict[str, Any], seed: int, count: int) -> Iterator[NDArray[Any]]:
    """``count`` inputs that change slowly, as spectra of sounds do, with leaps and silences."""
    numbers = np.random.default_rng(seed)
    shape, dtype = details["shape"], details["dtype"]
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    level = numbers.uniform(low, high, shape[-1])
    for _ in range(count):
        fate = numbers.random()
        if fate < 0.01:
            level[:] = low
        elif fate < 0.05:
            level = numbers.uniform(low, high, shape[-1])
        level = np.clip(level + numbers.normal(0, 8, shape[-1]), low, high)
        rows = level + numbers.normal(0, 3, shape)
        yield np.clip(np.round(rows), low, high).astype(dtype)


def listing(model: bytes) -> str:
    """The operators of a model, one a line, with shapes and options, for people who look for a defect."""
    tree = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    lines = []
    for graph in tree.subgraphs[:1]:
        for operator in graph.operators:
            ends = []
            for numbers in (operator.inputs, operator.outputs):
                ends.append(
                    ", ".join(_tensor(tree, graph, n) for n in (numbers if numbers is not None else []))
                )
            options = vars(operator.builtinOptions) if operator.builtinOptions else {}
            said = {k: v for k, v in options.items() if isinstance(v, (int, float)) and v}
            code = tree.operatorCodes[operator.opcodeIndex]
            name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
            lines.append(f"{name} {ends[0]} -> {ends[1]} {said}")
    return "\n".join(lines)


def _tensor(tree: Any, graph: Any, number: int) -> str:
    if number < 0:
        return "-"
    tensor = graph.tensors[number]
    shape = "x".join(str(n) for n in tensor.shape)
    quantisation = tensor.quantization
    if quantisation is None or quantisation.scale is None:
        said = ""
    else:
        many = "" if len(quantisation.scale) == 1 else f"({len(quantisation.scale)})"
        said = f" {quantisation.scale[0]:.3g}{many}/{quantisation.zeroPoint[0]}"
    return f"{number}:{shape}{said}" + ("*" if tree.buffers[tensor.buffer].data is not None else "")
