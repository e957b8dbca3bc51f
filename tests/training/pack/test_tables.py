"""Tables of one-input functions against TFLite Micro, for all 256 inputs and random quantisations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.tflm import Interpreter
from cicada.training.pack import tables
from cicada.training.pack.reader import read
from support.zoo.model import Model, Quant

_BYTES = {"INT8": np.arange(-128, 128).astype(np.int8), "UINT8": np.arange(256).astype(np.uint8)}
_scales = st.floats(2**-13, 4.0, width=32)
_zeros = st.integers(-128, 127)


def _model(kind, x_quant, y_quant, dtypes=("INT8", "INT8"), **options) -> bytes:
    model = Model()
    x = model.input((1, 256), x_quant, dtypes[0])
    y = model.tensor((1, 256), y_quant, dtypes[1])
    model.operator(kind, [x], [y], **options)
    return model.finish(y)


def _agree(model: bytes, dtype: str = "INT8") -> None:
    table = tables.unary(read(model).operators[0])
    inputs = _BYTES[dtype]
    expected = Interpreter(model).invoke(inputs.reshape(1, 256)).view(np.uint8)
    assert np.array_equal(table[inputs.view(np.uint8)], expected)


@settings(max_examples=150)
@given(scale=_scales, zero=_zeros)
def test_logistic_is_bit_exact(scale, zero):
    _agree(_model("LOGISTIC", Quant(scale, zero), Quant(1 / 256, -128)))


@settings(max_examples=150)
@given(scale=_scales, zero=_zeros)
def test_tanh_is_bit_exact(scale, zero):
    _agree(_model("TANH", Quant(scale, zero), Quant(1 / 128, 0)))


@settings(max_examples=120)
@given(scale=_scales, zero=_zeros, out=_scales, out_zero=_zeros)
def test_relu_is_bit_exact(scale, zero, out, out_zero):
    _agree(_model("RELU", Quant(scale, zero), Quant(out, out_zero)))


@settings(max_examples=120)
@given(scale=_scales, zero=_zeros)
def test_relu6_is_bit_exact(scale, zero):
    _agree(_model("RELU6", Quant(scale, zero), Quant(scale, zero)))


@settings(max_examples=120)
@given(scale=_scales, zero=_zeros, out=_scales, out_zero=_zeros, alpha=st.integers(-200, 200))
def test_leaky_relu_is_bit_exact(scale, zero, out, out_zero, alpha):
    _agree(_model("LEAKY_RELU", Quant(scale, zero), Quant(out, out_zero), alpha=alpha / 100))


@settings(max_examples=120)
@given(scale=st.floats(2**-8, 0.5, width=32), zero=_zeros, ratio=st.floats(0.1, 4), out_zero=_zeros)
def test_hard_swish_is_bit_exact(scale, zero, ratio, out_zero):
    out = float(np.float32(scale * ratio))
    _agree(_model("HARD_SWISH", Quant(scale, zero), Quant(out, out_zero)))


@pytest.mark.parametrize("dtypes", [("INT8", "INT8"), ("INT8", "UINT8"), ("UINT8", "INT8")])
@settings(max_examples=100)
@given(scale=_scales, zero=_zeros, out=_scales, out_zero=_zeros)
def test_quantize_is_bit_exact(dtypes, scale, zero, out, out_zero):
    shift = [128 if dtype == "UINT8" else 0 for dtype in dtypes]
    quants = Quant(scale, zero + shift[0]), Quant(out, out_zero + shift[1])
    _agree(_model("QUANTIZE", *quants, dtypes), dtypes[0])


@pytest.mark.parametrize("dtypes", [("INT8", "UINT8"), ("UINT8", "INT8")])
def test_quantize_to_the_other_signedness_flips_the_top_bit(dtypes):
    zeros = [0 if dtype == "INT8" else 128 for dtype in dtypes]
    model = _model("QUANTIZE", Quant(0.5, zeros[0]), Quant(0.5, zeros[1]), dtypes)
    _agree(model, dtypes[0])
    assert np.array_equal(tables.unary(read(model).operators[0]), np.arange(256) ^ 0x80)


def test_tables_compose_in_order():
    relu = tables.unary(read(_model("RELU", Quant(0.1, 3), Quant(0.1, 3))).operators[0])
    logistic = tables.unary(read(_model("LOGISTIC", Quant(0.1, 3), Quant(1 / 256, -128))).operators[0])
    both = tables.composed(relu, logistic)
    assert both[256 - 50] == logistic[3] and both[90] == logistic[90]


def test_only_a_table_that_changes_no_byte_is_the_identity():
    table = np.arange(256, dtype=np.uint8)
    assert tables.is_identity(table)
    table[7] = 8
    assert not tables.is_identity(table)


def test_other_operators_have_no_table():
    model = _model("SOFTMAX", Quant(0.1, 0), Quant(1 / 256, -128), beta=1.0)
    assert tables.unary(read(model).operators[0]) is None
