"""The seam for accelerated kernels, with a stand-in for ESP-NN that is right, wrong or too greedy."""

from __future__ import annotations

import ctypes
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from engine.programs import blob as unproven
from engine.programs import separable

from cicada.tools import engine
from cicada.tools.packed import PackedModel
from cicada.tools.paths import FIRMWARE
from cicada.tools.tflm import Interpreter
from cicada.training.pack import esp_nn, pack
from cicada.training.pack import format as cpm
from support.zoo.compare import inputs

HERE = Path(__file__).parent / "esp_nn"
PLAIN = ("plain_conv", "plain_depthwise")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The engine with the kernels of ``accel_esp_nn.c`` and the stand-in."""
    nn, path = FIRMWARE / "modules" / "nn", tmp_path_factory.mktemp("esp_nn") / "accelerated.so"
    folders = [f"-I{folder}" for folder in (engine.ENGINE, engine.ENGINE / "runtime", nn, HERE)]
    sources = [*engine.sources(), nn / "accel_esp_nn.c", HERE / "stand_in.c"]
    engine.run_compiler([*engine.FLAGS, *folders, "-shared", "-o", path, *sources])
    library = engine.load(path)
    library.cpm_accelerate.restype = ctypes.c_bool
    library.cpm_accelerate.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return library


class StandIn:
    """What the stand-in has done, and what it shall do."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self.calls = (ctypes.c_int * 2).in_dll(library, "stand_in_calls")
        self.asks = ctypes.c_int.in_dll(library, "stand_in_asks")
        self.wrong_stride = ctypes.c_int.in_dll(library, "stand_in_wrong_stride")
        self.calls[:], self.asks.value, self.wrong_stride.value = (0, 0), 32, 0

    def accelerate(self, model: PackedModel) -> bool:
        """``cpm_accelerate`` with the kernels of ``accel_esp_nn.c``."""
        return self._library.cpm_accelerate(
            model._at, ctypes.addressof(ctypes.c_char.in_dll(self._library, "nn_accelerated"))
        )


@pytest.fixture
def stand_in(built: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    monkeypatch.setattr(engine, "library", lambda: built)
    return StandIn(built)


@pytest.fixture(scope="module")
def strided(shared_data: Path) -> tuple[bytes, bytes]:
    """A reference model with both kinds, of which only the first operator has a stride, and its packed model.

    Its outputs are saturated: few of them change with a byte of that operator.
    """
    model = (shared_data / "models" / "kws_ref_model.tflite").read_bytes()
    return model, pack(model, plain=True).blob


def plain_records(blob: bytes) -> list[dict]:
    return [members for kind, members in cpm.unpack(blob).ops if kind in PLAIN]


def equal(packed: PackedModel, model: bytes, count: int = 4) -> bool:
    oracle = Interpreter(model)
    return all(
        np.array_equal(packed.invoke(values), oracle.invoke(values).reshape(-1))
        for values in inputs(packed.input, 5, count)
    )


@pytest.mark.parametrize(
    "name", ["kws_ref_model", "str_ww_ref_model", "micro_speech_quantized", "pretrainedResnet_quant"]
)
def test_right_kernels_run_the_model(stand_in: StandIn, shared_data: Path, name: str):
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    blob = pack(model, plain=True).blob
    stand_in.calls[:] = (0, 0)
    # As much as there is, so that what lies next to it would be overwritten.
    stand_in.asks.value = min(one["scratch_size"] for one in plain_records(blob)) - esp_nn.SPARE
    packed = PackedModel(blob)
    assert stand_in.accelerate(packed)
    tested = list(stand_in.calls)
    assert equal(packed, model)
    kinds = [kind for kind, _ in cpm.unpack(blob).ops]
    expected = [4 * kinds.count(kind) for kind in PLAIN]
    assert [now - before for now, before in zip(stand_in.calls, tested, strict=True)] == expected
    assert sum(expected) > 0 and packed.selftest()


def test_wrong_kernels_are_found_out_and_not_used(stand_in: StandIn, strided: tuple[bytes, bytes]):
    model, blob = strided
    packed = PackedModel(blob)
    stand_in.wrong_stride.value = 2
    assert not stand_in.accelerate(packed)
    assert sum(stand_in.calls) > 0
    stand_in.calls[:] = (0, 0)
    assert equal(packed, model) and packed.selftest() and sum(stand_in.calls) == 0


def test_right_kernels_stay_where_others_fail_later(stand_in: StandIn, strided: tuple[bytes, bytes]):
    model, blob = strided
    packed = PackedModel(blob)
    assert stand_in.accelerate(packed)
    stand_in.wrong_stride.value = 2
    assert not stand_in.accelerate(packed)
    stand_in.wrong_stride.value = 0
    stand_in.calls[:] = (0, 0)
    assert equal(packed, model) and sum(stand_in.calls) > 0


def test_kernels_that_ask_for_more_scratch_memory_are_not_called(
    stand_in: StandIn, strided: tuple[bytes, bytes]
):
    model, blob = strided
    packed = PackedModel(blob)
    stand_in.asks.value = min(one["scratch_size"] for one in plain_records(blob)) - esp_nn.SPARE + 1
    assert not stand_in.accelerate(packed)
    assert equal(packed, model) and sum(stand_in.calls) == 0
    stand_in.asks.value = -1
    assert not stand_in.accelerate(packed) and sum(stand_in.calls) == 0


def test_nothing_is_accelerated_without_a_self_test(stand_in: StandIn, strided: tuple[bytes, bytes]):
    _, blob = strided
    packed = PackedModel(changed(blob, lambda header, ops: header.update(selftest_steps=0)))
    assert not stand_in.accelerate(packed) and sum(stand_in.calls) == 0


def test_a_model_without_plain_records_is_not_accelerated(stand_in: StandIn):
    packed = PackedModel(unproven(separable()))
    assert not stand_in.accelerate(packed) and sum(stand_in.calls) == 0


def changed(blob: bytes, change: Callable[[dict, list[dict]], object]) -> bytes:
    """A packed model with other numbers in its header and its plain records, and a right CRC."""
    made = cpm.unpack(blob)
    change(made.header, [members for kind, members in made.ops if kind in PLAIN])
    ops = b"".join(cpm.RECORDS[kind][1].pack(members) for kind, members in made.ops)
    at = made.header["ops_at"]
    body = cpm.HEADER.pack(made.header) + blob[cpm.HEADER.size : at] + ops + blob[at + len(ops) : -4]
    return body + struct.pack("<I", zlib.crc32(body))


def first(kind: int, **values: object) -> Callable[[dict, list[dict]], None]:
    """Other members of the first record of a kind without a multiplier above 1; of its input as ``in_at``."""

    def change(_: dict, ops: list[dict]) -> None:
        record = next(op for op in ops if op["op"]["kind"] == kind and op["multiplier"] < 2)
        for name, value in values.items():
            part, _, inner = name.partition("_")
            if part in ("in", "out", "window") and inner in record[part]:
                record[part][inner] = value
            else:
                record[name] = value

    return change


CONV, DEPTHWISE = (cpm.RECORDS[kind][0] for kind in PLAIN)


@pytest.mark.parametrize(
    "change",
    [
        first(CONV, window_dilation_h=2),
        first(CONV, window_dilation_w=2),
        first(CONV, in_at=4),
        first(CONV, out_at=8),
        first(CONV, scratch=4),
        first(CONV, scratch_size=32 + 63),
        # More outputs than the input has rows: what is behind it would be padding.
        first(CONV, window_kernel_h=3, window_pad_h=0, in_h=3, in_w=1, out_h=2, out_w=1),
        first(CONV, in_h=1, in_w=1, in_c=8, in_pitch=9, out_h=1, out_w=1),
        first(CONV, in_h=2, in_w=1, in_c=8, in_pitch=8, in_row=16, out_h=2, out_w=1),
        # 3 x 3, which has a path for no padding and one for 1 everywhere.
        first(DEPTHWISE, window_pad_h=0, window_pad_w=1),
        first(DEPTHWISE, window_pad_h=2, window_pad_w=2),
    ],
)
def test_what_esp_nn_cannot_do_is_not_given_to_it(
    stand_in: StandIn, strided: tuple[bytes, bytes], change: Callable
):
    """The runtime's own kernels take these records, so that only the accelerated ones can refuse them."""
    packed = PackedModel(changed(strided[1], change))
    assert not stand_in.accelerate(packed)
    assert sum(stand_in.calls) == 0
