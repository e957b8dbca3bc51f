"""Graphs become few operators, and those compute what TensorFlow Lite Micro does, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cicada.training.pack import lower
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Graph, Operator
from cicada.training.pack.graph import Tensor as GraphTensor
from cicada.training.pack.program import Binary, Conv, Copy, Dense, Depthwise, Lut, Mean, Program
from cicada.training.pack.views import LIMIT
from support.lowering import QUANT, Net, assert_equals_oracle, counted, kinds, lowered
from support.zoo import layers, moves, pointwise

MODELS = {
    "kws_ref_model": {"Conv": 5, "Depthwise": 4, "Pool": 1, "Dense": 1, "Softmax": 1},
    "ad01_int8": {"Dense": 10},
    "pretrainedResnet_quant": {"Conv": 9, "Binary": 3, "Pool": 1, "Dense": 1, "Softmax": 1},
    "micro_speech_quantized": {"Conv": 1, "Dense": 1, "Softmax": 1},
    "str_ww_ref_model": {"Column": 4, "Conv": 3, "Dense": 2, "Softmax": 1},
}


def constants(program: Program) -> list[str]:
    """Names of memory that keeps its content."""
    return [buffer.name for buffer in program.buffers if buffer.initial is not None]


@pytest.mark.parametrize("name", MODELS)
def test_a_reference_model_becomes_its_layers_and_nothing_else(name: str, shared_data: Path) -> None:
    program = assert_equals_oracle((shared_data / "models" / f"{name}.tflite").read_bytes(), steps=2)
    assert counted(program) == MODELS[name]
    assert sum(op.macs for op in program.ops) == program.macs
    assert not program.rings and not constants(program)


@pytest.mark.parametrize("name", ["okay_nabu", "hey_jarvis"])
def test_a_wake_word_equals_the_oracle_over_a_stream(name: str, shared_data: Path) -> None:
    program = assert_equals_oracle((shared_data / "models" / f"{name}.tflite").read_bytes(), steps=80)
    assert sum(op.macs for op in program.ops) == program.macs


def test_input_and_output_are_the_graphs() -> None:
    net = Net(1, 3, 2, 4)
    program = lowered(net.finish(net.conv(net.x, 5, (2, 1))))
    assert program.input_shape == (1, 3, 2, 4) and program.output_shape == (1, 2, 2, 5)
    assert (program.input.size, program.output.size) == (24, 20)
    assert program.input_scale == np.float32(QUANT.scale) and program.output_zero == QUANT.zero
    assert program.input_dtype == program.output_dtype == "int8"


# Layers.


def test_a_convolution_with_one_output_pixel_is_dense() -> None:
    net = Net(1, 4, 3, 5)
    program = assert_equals_oracle(net.finish(net.conv(net.x, 7, (4, 3))), 4)
    assert kinds(program) == ["Dense"]


def test_a_convolution_that_sees_part_of_the_rows_is_dense() -> None:
    net = Net(1, 5, 4, 5)
    program = assert_equals_oracle(net.finish(net.conv(net.x, 7, (2, 3), stride=(4, 2), dilation=(2, 1))), 4)
    assert kinds(program) == ["Dense"]
    assert isinstance(program.ops[0], Dense)
    assert (program.ops[0].input.h, program.ops[0].input.c, program.ops[0].input.row) == (2, 15, 40)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_convolution_with_one_output_pixel_on_padding_is_not_dense(columns: int) -> None:
    net = Net(1, 2, columns, 5)
    y = net.conv(net.x, 7, (3, 2 * columns - 1), stride=(2, 2), padding="SAME")
    program = assert_equals_oracle(net.finish(y), 4)
    assert kinds(program) == ["Conv"]


@pytest.mark.parametrize(("rows", "kind"), [(1, "Dense"), (2, "Conv")])
def test_a_convolution_with_gaps_between_columns_is_dense_in_one_row(rows: int, kind: str) -> None:
    net = Net(1, rows, 3, 5)
    program = assert_equals_oracle(net.finish(net.conv(net.x, 7, (rows, 2), dilation=(1, 2))), 4)
    assert kinds(program) == [kind]


def test_a_depthwise_convolution_of_one_channel_is_a_convolution() -> None:
    net = Net(1, 6, 5, 1)
    program = assert_equals_oracle(net.finish(net.depthwise(net.x, (3, 2), multiplier=6)), 4)
    assert kinds(program) == ["Conv"]
    assert isinstance(program.ops[0], Conv) and program.ops[0].weights.shape == (6, 3, 2, 1)


def test_a_depthwise_convolution_along_columns_is_turned_upright() -> None:
    net = Net(1, 1, 6, 5)
    program = assert_equals_oracle(net.finish(net.depthwise(net.x, (1, 4), dilation=(1, 1))), 4)
    assert kinds(program) == ["Column"]


@pytest.mark.parametrize(("multiplier", "padding"), [(2, "VALID"), (1, "SAME")])
def test_a_depthwise_convolution_that_is_no_column_is_depthwise(multiplier: int, padding: str) -> None:
    net = Net(1, 4, 1, 5)
    y = net.depthwise(net.x, (4, 1), multiplier=multiplier, padding=padding)
    program = assert_equals_oracle(net.finish(y), 4)
    assert kinds(program) == ["Depthwise"]
    assert isinstance(program.ops[0], Depthwise) and program.ops[0].multiplier == multiplier


def test_a_fully_connected_layer_of_rows_is_a_convolution() -> None:
    net = Net(1, 3, 2, 8)
    program = assert_equals_oracle(net.finish(net.dense(net.x, 5, features=8)), 4)
    assert kinds(program) == ["Conv"] and program.ops[0].macs == 3 * 2 * 8 * 5


def test_a_fully_connected_layer_reads_a_slice_of_rows() -> None:
    net = Net(1, 6, 1, 8)
    half = net.channels(net.conv(net.x, 8), 2, 4)
    flat = moves.reshape(net.model, half, (1, 24))
    program = assert_equals_oracle(net.finish(net.dense(flat, 3)), 4)
    assert kinds(program) == ["Conv", "Dense"]
    dense = program.ops[1]
    assert isinstance(dense, Dense) and (dense.input.h, dense.input.c, dense.input.row) == (6, 4, 8)


def test_a_fully_connected_layer_gets_a_copy_of_what_lies_apart() -> None:
    net = Net(1, 3, 3, 8)
    part = moves.strided_slice(net.model, net.conv(net.x, 8), (0, 0, 0, 2), (1, 2, 2, 5), (1, 1, 1, 1), 0, 0)
    flat = moves.reshape(net.model, part, (1, 12))
    assert kinds(assert_equals_oracle(net.finish(net.dense(flat, 3)), 4)) == ["Conv", "Copy", "Dense"]


# Concatenations, splits, slices, transpositions.


def test_branches_write_into_the_concatenation() -> None:
    net = Net(1, 4, 4, 3)
    parts = [net.conv(net.x, 4), net.depthwise(net.x, (3, 3), padding="SAME"), net.conv(net.x, 2)]
    program = assert_equals_oracle(net.finish(net.conv(net.concatenate(parts, 3), 5)), 4)
    assert kinds(program) == ["Conv", "Depthwise", "Conv", "Conv"]
    assert [op.output.at for op in program.ops[:3] if isinstance(op, Conv | Depthwise)] == [0, 4, 7]


def test_concatenations_of_concatenations_are_one_memory() -> None:
    net = Net(1, 4, 4, 3)
    inner = net.concatenate([net.conv(net.x, 2), net.conv(net.x, 3)], 3)
    outer = net.concatenate([net.conv(net.x, 1), inner], 3)
    rows = net.concatenate([outer, net.conv(net.x, 6)], 1)
    assert kinds(assert_equals_oracle(net.finish(net.conv(rows, 2)), 4)) == ["Conv"] * 5


def test_a_part_that_is_used_elsewhere_is_read_in_its_place() -> None:
    net = Net(1, 4, 4, 3)
    a, b = net.conv(net.x, 4), net.conv(net.x, 4)
    y = net.concatenate([a, b], 3)
    z = net.concatenate([net.conv(y, 2), net.conv(a, 2), net.binary("ADD", a, b)], 3)
    assert "Copy" not in kinds(assert_equals_oracle(net.finish(net.conv(z, 2)), 4))


def test_a_tensor_twice_in_a_concatenation_is_copied_once() -> None:
    net = Net(1, 3, 2, 3)
    a = net.conv(net.x, 4)
    program = assert_equals_oracle(net.finish(net.conv(net.concatenate([a, a], 3), 2)), 4)
    assert kinds(program) == ["Conv", "Copy", "Conv"]


def test_a_tensor_in_two_concatenations_is_copied_once() -> None:
    net = Net(1, 3, 2, 3)
    a = net.conv(net.x, 4)
    one, two = net.concatenate([a, net.conv(net.x, 4)], 3), net.concatenate([net.conv(net.x, 4), a], 3)
    assert counted(assert_equals_oracle(net.finish(net.binary("ADD", one, two)), 4))["Copy"] == 1


def test_the_input_in_a_concatenation_is_copied() -> None:
    net = Net(1, 3, 2, 3)
    y = net.concatenate([net.x, net.conv(net.x, 3)], 3)
    assert kinds(assert_equals_oracle(net.finish(net.conv(y, 2)), 4)) == ["Conv", "Copy", "Conv"]


def test_the_output_in_a_concatenation_lies_by_itself() -> None:
    net = Net(1, 3, 2, 3)
    a = net.conv(net.x, 4)
    net.conv(net.concatenate([a, a], 3), 2)
    assert kinds(assert_equals_oracle(net.finish(a), 4)) == ["Conv"], "nobody needs the rest"


def test_a_concatenation_is_the_output() -> None:
    net = Net(1, 3, 2, 3)
    y = net.concatenate([net.conv(net.x, 4), net.conv(net.x, 2)], 3)
    program = assert_equals_oracle(net.finish(moves.reshape(net.model, y, (1, 36))), 4)
    assert kinds(program) == ["Conv", "Conv"]


@pytest.mark.parametrize("value", ["one", "many"])
def test_a_constant_part_is_written_in_every_inference(value: str) -> None:
    net = Net(1, 3, 2, 3)
    const = net.constant(1, 3, 2, 2)
    if value == "one":
        const = net.model.constant(np.full((1, 3, 2, 2), 9, np.int8), QUANT)
    program = assert_equals_oracle(net.finish(net.concatenate([net.conv(net.x, 4), const], 3)), 4)
    assert kinds(program) == ["Conv", "Fill" if value == "one" else "Copy"]
    assert len(constants(program)) == (value == "many")


def test_splits_and_slices_are_views() -> None:
    net = Net(1, 6, 4, 8)
    y = net.conv(net.x, 8)
    left, right = moves.split(net.model, y, 3, 2)
    top, bottom = moves.split_v(net.model, left, 1, [2, 4])
    every_second = net.rows(right, 1, 3, step=2)
    parts = [net.conv(each, 3, (1, 1)) for each in (top, bottom, every_second)]
    assert kinds(assert_equals_oracle(net.finish(net.concatenate(parts, 1)), 4)) == ["Conv"] * 4


def test_a_function_of_a_slice_reads_it_in_its_place() -> None:
    net = Net(1, 6, 4, 8)
    y = pointwise.unary(net.model, "TANH", net.channels(net.conv(net.x, 8), 2, 4))
    program = assert_equals_oracle(net.finish(net.depthwise(y, (2, 2))), 4)
    assert kinds(program) == ["Conv", "Lut", "Depthwise"]


def test_channels_apart_are_copied() -> None:
    net = Net(1, 3, 2, 8)
    y = moves.strided_slice(net.model, net.x, (0, 0, 0, 1), (1, 3, 2, 8), (1, 1, 1, 3))
    assert kinds(assert_equals_oracle(net.finish(net.conv(y, 2)), 4)) == ["Copy", "Conv"]


def test_rows_and_columns_backwards_are_copied() -> None:
    net = Net(1, 3, 4, 2)
    y = moves.strided_slice(net.model, net.x, (0, 2, 3, 0), (1, -4, -5, 2), (1, -1, -1, 1))
    assert kinds(assert_equals_oracle(net.finish(net.conv(y, 2)), 4)) == ["Copy", "Conv"]


def test_a_transposition_of_rows_and_columns_is_copied_once_for_all() -> None:
    net = Net(1, 3, 4, 2)
    y = moves.transpose(net.model, net.x, (0, 3, 2, 1))
    y = net.concatenate([net.conv(y, 2), net.conv(y, 3)], 3)
    assert kinds(assert_equals_oracle(net.finish(y), 4)) == ["Copy", "Conv", "Conv"]


def test_transpositions_that_undo_each_other_cost_nothing() -> None:
    net = Net(1, 3, 4, 2)
    y = moves.transpose(net.model, moves.transpose(net.model, net.x, (0, 3, 1, 2)), (0, 2, 3, 1))
    assert kinds(assert_equals_oracle(net.finish(net.conv(y, 2)), 4)) == ["Conv"]


def test_a_transposition_of_five_dimensions_is_copied() -> None:
    net = Net(1, 2, 3, 4, 5)
    y = moves.transpose(net.model, net.x, (0, 4, 2, 1, 3))
    program = assert_equals_oracle(net.finish(moves.reshape(net.model, y, (1, 120))), 4)
    assert kinds(program) == ["Copy"]


def test_a_transposition_of_more_dimensions_is_as_few_copies_as_that_takes() -> None:
    net = Net(1, 360)
    y = moves.transpose(net.model, moves.reshape(net.model, net.x, (2, 3, 4, 5, 3)), (4, 3, 2, 1, 0))
    program = assert_equals_oracle(net.finish(moves.reshape(net.model, y, (1, 360))), 4)
    assert kinds(program) == ["Copy", "Copy"]


def test_a_pad_is_a_border_around_what_its_producer_writes() -> None:
    net = Net(1, 3, 4, 2)
    y = moves.pad(net.model, net.conv(net.x, 3), [(0, 0), (1, 2), (0, 1), (0, 2)])
    program = assert_equals_oracle(net.finish(y), 4)
    assert counted(program) == {"Conv": 1, "Fill": 4}


def test_a_model_that_only_moves_bytes_copies_them() -> None:
    net = Net(1, 3, 4, 2)
    program = assert_equals_oracle(net.finish(moves.reshape(net.model, net.x, (1, 24))), 4)
    assert kinds(program) == ["Copy"] and program.input is not program.output


# Single values.


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL"])
@pytest.mark.parametrize(
    "shape", [(), (4,), (1, 1, 1, 4), (1, 3, 1, 1), (3, 1, 4), (1, 1, 2, 1), (1, 3, 2, 4), (1, 3, 2, 1)]
)
def test_a_constant_operand_repeats(kind: str, shape: tuple[int, ...]) -> None:
    net = Net(1, 3, 2, 4)
    program = assert_equals_oracle(net.finish(net.binary(kind, net.conv(net.x, 4), net.constant(*shape))), 4)
    assert kinds(program) == ["Conv", "Binary"]
    assert len(constants(program)) == 1


def test_both_operands_may_repeat() -> None:
    net = Net(1, 3, 2, 4)
    column, row = (
        net.rows(net.x, 0, 1),
        moves.strided_slice(net.model, net.x, (0, 0, 0, 0), (1, 3, 1, 4), (1, 1, 1, 1)),
    )
    assert kinds(assert_equals_oracle(net.finish(net.binary("MUL", column, row)), 4)) == ["Binary"]


def test_large_operands_are_seen_as_one_row() -> None:
    net = Net(1, 8, 9, 10)
    program = lowered(net.finish(net.binary("ADD", net.conv(net.x, 10), net.conv(net.x, 10))))
    assert isinstance(program.ops[2], Binary)
    assert (program.ops[2].a.h, program.ops[2].a.w, program.ops[2].a.c) == (1, 1, 720)


def test_more_values_than_a_pixel_holds_are_rows() -> None:
    net = Net(1, 4, 200, 100)
    y = pointwise.unary(net.model, "LOGISTIC", net.binary("ADD", net.x, net.constant(1, 4, 200, 100)))
    program = assert_equals_oracle(net.finish(y), 2)
    assert isinstance(program.ops[0], Binary) and isinstance(program.ops[1], Lut)
    assert program.ops[0].a.h == program.ops[1].input.h == 2


def test_functions_of_functions_are_one_table() -> None:
    net = Net(1, 3, 2, 4)
    y = net.conv(net.x, 4)
    for kind in ("LOGISTIC", "TANH", "LEAKY_RELU"):
        y = pointwise.unary(net.model, kind, y, **({"alpha": 0.2} if kind == "LEAKY_RELU" else {}))
    y = pointwise.unary(net.model, "QUANTIZE", y, y.quant._replace(zero=y.quant.zero + 128), "UINT8")
    program = assert_equals_oracle(net.finish(y), 4)
    assert kinds(program) == ["Conv", "Lut"] and program.output_dtype == "uint8"


def test_a_function_that_two_need_is_computed_once() -> None:
    net = Net(1, 3, 2, 4)
    y = pointwise.unary(net.model, "LEAKY_RELU", net.x, alpha=0.5)
    a, b = pointwise.unary(net.model, "LEAKY_RELU", y, alpha=0.2), pointwise.unary(net.model, "RELU", y)
    program = assert_equals_oracle(net.finish(net.binary("ADD", a, b)), 4)
    assert kinds(program) == ["Lut", "Lut", "Lut", "Binary"]


@pytest.mark.parametrize(
    ("axes", "copies"),
    [([1], 0), ([2], 0), ([3], 0), ([1, 2], 0), ([2, 3], 0), ([1, 3], 1), ([1, 2, 3], 0)],
)
def test_a_mean_over_any_axes(axes: list[int], copies: int) -> None:
    net = Net(1, 3, 5, 4)
    y = pointwise.mean(net.model, net.rng, net.conv(net.x, 6), axes, True, QUANT)
    program = assert_equals_oracle(net.finish(y), 4)
    assert kinds(program) == ["Conv"] + ["Copy"] * copies + ["Mean"]
    assert isinstance(program.ops[-1], Mean)


def test_softmax_works_on_the_last_dimension() -> None:
    net = Net(1, 3, 5, 4)
    y = pointwise.unary(net.model, "SOFTMAX", net.conv(net.x, 6), beta=1.0)
    assert kinds(assert_equals_oracle(net.finish(y), 4)) == ["Conv", "Softmax"]


# Limits.


def unit(kind: str, shape: tuple[int, ...], out: tuple[int, ...], **attributes: object) -> Graph:
    """A graph of one operator of int8."""
    scale, zero = np.array([0.05], np.float32), np.array([0], np.int64)
    x, y = GraphTensor("x", 0, shape, "int8", scale, zero), GraphTensor("y", 1, out, "int8", scale, zero)
    return Graph(x, y, [Operator(kind, 0, [x], [y], attributes)], [], 0)


def test_a_tensor_with_a_dimension_beyond_the_format_is_refused_by_name() -> None:
    graph = unit(
        "MAX_POOL_2D",
        (1, 2, LIMIT + 1, 1),
        (1, 1, LIMIT + 1, 1),
        kernel=(2, 1),
        stride=(1, 1),
        pad=(0, 0),
        activation="NONE",
    )
    with pytest.raises(PackError, match=r"^operator 0 \(MAX_POOL_2D\), tensor 'x': .* more than 65535"):
        lower.lower(graph)


def test_a_softmax_of_too_many_values_is_refused_by_name() -> None:
    with pytest.raises(PackError, match=r"^operator 0 \(SOFTMAX\), tensor 'x': .*4095"):
        lower.lower(unit("SOFTMAX", (1, 5000), (1, 5000), beta=1.0))


def test_a_prime_number_of_values_beyond_the_format_is_refused_by_name() -> None:
    with pytest.raises(PackError, match=r"^operator 0 \(LOGISTIC\), tensor 'y': 65537 values"):
        lower.lower(unit("LOGISTIC", (1, 65537), (1, 65537)))


def test_an_operator_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(PackError, match=r"^operator 0 \(COS\): this operator is not supported"):
        lower.lower(unit("COS", (1, 4), (1, 4)))


def test_dimensions_that_repeat_in_turn_are_refused_by_name() -> None:
    net = Net(1, 2, 2, 2, 2, 2)
    y = net.binary("ADD", net.x, net.constant(1, 2, 1, 2, 1, 2))
    with pytest.raises(PackError, match=r"^operator \d+ \(ADD\), tensor '.*': shapes"):
        lowered(net.finish(y))


def test_a_pool_that_cannot_read_as_the_values_lie_gets_a_copy() -> None:
    net = Net(1, 4, 4, 2)
    y = layers.pool(net.model, moves.transpose(net.model, net.x, (0, 3, 1, 2)), True, (2, 2), (1, 1))
    program = assert_equals_oracle(net.finish(y), 4)
    assert kinds(program) == ["Copy", "Pool"] and isinstance(program.ops[0], Copy)
