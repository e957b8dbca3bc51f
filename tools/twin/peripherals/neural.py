"""``nn``: the feature front end and the model runtime, run beside the chip."""

from __future__ import annotations

import errno
import json
import struct

import numpy as np

from cicada.tools.engine import CHANNELS, FrontEnd
from cicada.tools.packed import PackedModel
from cicada.tools.runtimes import is_packed, open_model
from cicada.tools.tflm import Interpreter
from cicada.tools.twin.chip import Chip, Peripheral, ops

_MEMORY = 0x1000000  # bytes of an arena at most, as of the module on a device


class Neural(Peripheral):
    """Attributes:
    blobs: built-in model containers by name.
    scores: ``(virtual s, int8 output)`` of every inference.
    inference_us: how long the last inference took.
    frames: feature frames so far.
    invoking_us, featuring_us: virtual time spent in inferences and in the front end.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.blobs: dict[str, bytes] = {}
        self.scores: list[tuple[float, np.ndarray]] = []
        self.inference_us = self.invoking_us = self.featuring_us = self.frames = 0
        self._models: list[PackedModel | Interpreter | None] = []
        self._fronts: list[tuple[FrontEnd, np.ndarray]] = []
        self._arenas: list[np.ndarray] = []
        self.operations = {
            ops.NN_NAMES: lambda argument, payload: (0, json.dumps(sorted(self.blobs)).encode()),
            ops.MODEL_OPEN: self._model_open,
            ops.MODEL_INVOKE: self._model_invoke,
            ops.MODEL_RESET: self._model_reset,
            ops.MODEL_CLOSE: self._model_close,
            ops.MODEL_SELFTEST: self._model_selftest,
            ops.MODEL_NEEDS: self._model_needs,
            ops.ARENA_OPEN: self._arena_open,
            ops.FRONT_OPEN: self._front_open,
            ops.FRONT_FEED: self._front_feed,
            ops.FRONT_RESET: self._front_reset,
        }

    def reset(self, cause: int) -> None:
        self._models.clear()
        self._fronts.clear()
        self._arenas.clear()

    def _model_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = _opened(payload, _at(self._arenas, argument - 1) if argument else None)
        self._models.append(model)
        about = {
            "engine": model.engine,
            "arena": model.arena,
            "input": _side(model.input),
            "output": _side(model.output),
        }
        return len(self._models) - 1, json.dumps(about).encode()

    def _model_needs(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = _opened(payload)
        if isinstance(model, PackedModel):
            return 0, json.dumps([_aligned(model.tensors), not model.keeps]).encode()
        return 0, json.dumps([model.arena, False]).encode()

    def _arena_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        size = struct.unpack("<I", payload)[0]
        if size > _MEMORY:
            raise OSError(errno.ENOMEM, "no chip has so much memory")
        # Of what was there before, as a device's memory is.
        self._arenas.append(np.full(-(-size // 8), 0x5AC35AC35AC35AC3, np.uint64))
        return len(self._arenas) - 1, b""

    def _model_invoke(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = _at(self._models, argument)
        values = np.frombuffer(payload, np.int8)
        if values.size != np.prod(model.input["shape"]):
            raise ValueError(f"model: it takes {np.prod(model.input['shape'])} features, not {values.size}")
        output = model.invoke(values)
        before = self.chip.meter.now
        self.chip.work(self._cycles(model))
        self.inference_us = self.chip.meter.now - before
        self.invoking_us += self.inference_us
        self.scores.append((before / 1e6, output))
        return 0, output.tobytes()

    def _model_reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        _at(self._models, argument).reset()
        return 0, b""

    def _cycles(self, model: PackedModel | Interpreter) -> int:
        """Of one inference. A packed model says how many instructions it takes; of TFLM there is a mean."""
        cycles = self.chip.board.CYCLES
        if isinstance(model, PackedModel):
            return round(model.instructions * cycles["per_instruction"])
        return round(model.macs * cycles["per_mac"])

    def _model_selftest(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        model = _at(self._models, argument)
        if not isinstance(model, PackedModel) or model.selftest_steps == 0:
            return 2, b""
        self.chip.work(model.selftest_steps * self._cycles(model))
        return int(model.selftest()), b""

    def _model_close(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        _at(self._models, argument)
        self._models[argument] = None
        return 0, b""

    def _front_open(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        step_ms, frames = struct.unpack("<HH", payload)
        if step_ms not in (10, 20) or not 1 <= frames <= 255:
            raise ValueError("step_ms must be 10 or 20, frames 1 to 255")
        front = FrontEnd(step_ms)
        self._fronts.append((front, np.full((frames, CHANNELS), -128, np.int8)))
        return len(self._fronts) - 1, b""

    def _front_feed(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front, window = _at(self._fronts, argument)
        if len(payload) % 2:
            raise ValueError("samples have 2 bytes each, and there is one too many or too few")
        frames = front.push(np.frombuffer(payload, "<i2"), window)
        before = self.chip.meter.now
        self.chip.work(frames * self.chip.board.CYCLES["per_frame"])
        self.frames += frames
        self.featuring_us += self.chip.meter.now - before
        return frames, window.tobytes()

    def _front_reset(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        front, window = _at(self._fronts, argument)
        front.reset()
        window.fill(-128)
        return 0, window.tobytes()


def _opened(model: bytes, arena: np.ndarray | None = None) -> PackedModel | Interpreter:
    """A model, in ``arena`` if that is given; ValueError in the words of ``nn``."""
    try:
        if arena is None:
            return open_model(model)
        if not is_packed(model):
            raise ValueError("it keeps state in its arena, which must be its own")
        return PackedModel(model, arena)
    except ValueError as error:
        raise ValueError(f"model: {error}") from error


def _aligned(size: int) -> int:
    """As ``nn`` counts working memory."""
    return -(-size // 16) * 16


def _side(about: dict) -> dict:
    """Input or output of a model, for JSON."""
    shown = {name: value for name, value in about.items() if name != "dtype"}
    return shown | {"unsigned": about["dtype"] == np.uint8}


def _at(items: list, index: int):
    if index >= len(items) or items[index] is None:
        raise OSError(errno.EINVAL, "no such handle")
    return items[index]
