"""State that can live in a ring does, and all other state is right all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cicada.training.pack import reader, simplify, streaming
from cicada.training.pack.program import Column, Copy, Dense, Program, Ring
from support.lowering import QUANT, Net, assert_equals_oracle, counted, kinds, lowered
from support.zoo import moves


def rings(program: Program) -> list[tuple[int, int]]:
    """Rows and bytes of a row of each ring."""
    return [(ring.rows, ring.row) for ring in program.rings]


def advances(program: Program) -> int:
    """How many operators move a ring on."""
    return sum(op.advance is not None for op in program.ops)


def test_a_wake_word_moves_nothing_but_its_input(shared_data: Path) -> None:
    program = lowered((shared_data / "models" / "okay_nabu.tflite").read_bytes())
    assert kinds(program) == [
        "Copy",
        "Dense",
        "Column",
        "Dense",
        "Column",
        "Column",
        "Dense",
        "Column",
        "Column",
        "Dense",
        "Column",
        "Dense",
        "Dense",
        "Lut",
    ]
    assert sorted(rings(program)) == [(5, 32), (5, 40), (6, 64), (11, 64), (15, 64), (23, 64)]
    assert advances(program) == len(program.rings)
    mixed = [op.input for op in program.ops if isinstance(op, Column) and op.input.c == 32]
    assert [(view.at, view.h, view.row) for view in mixed] == [
        (0, 5, 32),
        (4 * 64, 7, 64),
        (32, 11, 64),
        (6 * 64, 9, 64),
        (32, 15, 64),
    ]


def test_a_plain_wake_word_likewise(shared_data: Path) -> None:
    program = lowered((shared_data / "models" / "hey_jarvis.tflite").read_bytes())
    assert counted(program) == {"Copy": 1, "Dense": 6, "Column": 4, "Lut": 1}
    assert len(program.rings) == 6


def test_a_new_row_is_written_into_the_ring() -> None:
    net = Net(1, 1, 1, 6)
    both = net.remember(net.conv(net.x, 8), 4)
    program = assert_equals_oracle(net.model.finish(net.depthwise(both, (5, 1))))
    assert kinds(program) == ["Dense", "Column"] and rings(program) == [(5, 8)]
    assert isinstance(program.ops[0], Dense) and program.ops[0].output.memory is program.rings[0]
    assert program.ops[0].advance is program.rings[0] and program.ops[0].advance_rows == 1


@pytest.mark.parametrize(("new", "old"), [(1, 1), (2, 5), (3, 2), (4, 1), (3, 3)])
def test_several_new_rows_are_copied_into_the_ring(new: int, old: int) -> None:
    net = Net(1, new, 1, 5)
    both = net.remember(net.x, old)
    program = assert_equals_oracle(net.finish(net.depthwise(both, (new + old, 1))))
    assert kinds(program) == ["Copy", "Column"] and rings(program) == [(new + old, 5)]
    assert program.ops[0].advance_rows == new


def test_initial_values_come_oldest_first_behind_rows_that_nobody_reads() -> None:
    net = Net(1, 2, 1, 3)
    model = net.finish(net.depthwise(net.remember(net.x, 4), (6, 1)))
    (stream,) = streaming.find(simplify.simplify(reader.read(model)))
    expected = np.random.default_rng(5).integers(-128, 128, (1, 4, 1, 3)).astype(np.int8)
    assert np.array_equal(stream.ring.initial[2:], expected.reshape(4, 3))


def test_rows_of_several_columns_make_a_ring() -> None:
    net = Net(1, 2, 3, 4)
    program = assert_equals_oracle(net.finish(net.conv(net.remember(net.x, 3), 5, (2, 2))))
    assert kinds(program) == ["Copy", "Conv"] and rings(program) == [(5, 12)]


def test_a_state_of_rank_three_makes_a_ring() -> None:
    net = Net(1, 2, 7)
    both = net.remember(net.x, 3)
    flat = moves.reshape(net.model, both, (1, 35))
    program = assert_equals_oracle(net.finish(net.dense(flat, 4)))
    assert kinds(program) == ["Copy", "Dense"] and rings(program) == [(5, 7)]


def test_a_convolution_over_columns_takes_a_ring_upright() -> None:
    net = Net(1, 1, 1, 6)
    both = moves.reshape(net.model, net.remember(net.x, 5), (1, 1, 6, 6))
    y = net.depthwise(net.conv(both, 4, (1, 3)), (1, 2))
    assert kinds(assert_equals_oracle(net.finish(y))) == ["Copy", "Conv", "Column"]


def test_columns_of_different_length_read_one_ring() -> None:
    net = Net(1, 1, 1, 8)
    both = net.remember(net.conv(net.x, 8), 6)
    left, right = moves.split_v(net.model, both, 3, [3, 5])
    y = net.concatenate([net.depthwise(net.rows(left, 4, 3), (3, 1)), net.depthwise(right, (7, 1))], 3)
    program = assert_equals_oracle(net.finish(net.conv(y, 4)))
    assert kinds(program) == ["Dense", "Column", "Column", "Dense"]


def test_a_new_row_of_two_halves_moves_the_ring_on_once() -> None:
    net = Net(1, 1, 1, 8)
    row = net.concatenate([net.conv(net.x, 3), net.conv(net.x, 5)], 3)
    both = net.remember(row, 3)
    y = net.binary("ADD", net.depthwise(both, (4, 1)), row)
    program = assert_equals_oracle(net.finish(y))
    assert kinds(program) == ["Dense", "Dense", "Column", "Copy", "Binary"]
    assert [op.advance_rows for op in program.ops] == [0, 1, 0, 0, 0]


def test_new_rows_of_two_parts_fill_the_ring() -> None:
    net = Net(1, 1, 1, 8)
    shape = (1, 3, 1, 4)
    handle = net.variable(*shape)
    parts = [net.read(handle, *shape), net.conv(net.x, 4), net.channels(net.x, 0, 4)]
    both = net.concatenate(parts, 1)
    net.assign(handle, net.rows(both, 2, 3))
    program = assert_equals_oracle(net.finish(net.depthwise(both, (5, 1))))
    assert kinds(program) == ["Dense", "Copy", "Column"] and rings(program) == [(5, 4)]


def test_a_row_twice_in_the_ring_is_copied_once() -> None:
    net = Net(1, 1, 1, 8)
    shape = (1, 3, 1, 4)
    handle = net.variable(*shape)
    row = net.conv(net.x, 4)
    both = net.concatenate([net.read(handle, *shape), row, row], 1)
    net.assign(handle, net.rows(both, 2, 3))
    program = assert_equals_oracle(net.finish(net.depthwise(both, (5, 1))))
    assert kinds(program) == ["Dense", "Copy", "Column"]


def test_old_rows_are_found_before_and_after_the_ring_moved_on() -> None:
    net = Net(1, 1, 1, 4)
    shape = (1, 3, 1, 4)
    handle = net.variable(*shape)
    held = net.read(handle, *shape)
    before = net.depthwise(held, (3, 1))
    row = net.conv(net.x, 4)
    both = net.concatenate([held, row], 1)
    after = net.depthwise(net.rows(held, 1, 2), (2, 1))
    net.assign(handle, net.rows(both, 1, 3))
    y = net.concatenate([before, after, row, net.depthwise(both, (4, 1))], 3)
    program = assert_equals_oracle(net.finish(y))
    assert rings(program) == [(4, 4)]


def test_a_variable_read_twice_makes_one_ring() -> None:
    net = Net(1, 1, 1, 4)
    shape = (1, 3, 1, 4)
    handle = net.variable(*shape)
    other = net.read(handle, *shape)
    both = net.concatenate([net.read(handle, *shape), net.x], 1)
    net.assign(handle, net.rows(both, 1, 3))
    y = net.binary("ADD", net.depthwise(both, (4, 1)), net.depthwise(other, (3, 1)))
    assert rings(assert_equals_oracle(net.finish(y))) == [(4, 4)]


def test_a_new_row_with_a_border_fills_the_ring() -> None:
    net = Net(1, 1, 2, 4)
    row = moves.pad(net.model, net.conv(net.x, 3), [(0, 0), (0, 0), (1, 1), (1, 0)])
    program = assert_equals_oracle(net.finish(net.conv(net.remember(row, 2), 5, (3, 4))))
    assert kinds(program) == ["Conv", "Fill", "Fill", "Fill", "Dense"] and rings(program) == [(3, 16)]


def test_one_row_goes_into_two_rings() -> None:
    net = Net(1, 1, 1, 4)
    row = net.conv(net.x, 4)
    one, two = net.remember(row, 2), net.remember(row, 5)
    y = net.binary("ADD", net.depthwise(one, (3, 1)), net.depthwise(two, (6, 1)))
    program = assert_equals_oracle(net.finish(y))
    assert rings(program) == [(3, 4), (6, 4)] and counted(program)["Copy"] == 1


def test_a_ring_feeds_a_ring() -> None:
    net = Net(1, 2, 1, 4)
    both = net.remember(net.remember(net.x, 2), 3)
    program = assert_equals_oracle(net.finish(net.depthwise(both, (7, 1))))
    assert rings(program) == [(4, 4), (7, 4)] and kinds(program) == ["Copy", "Copy", "Column"]


def test_the_output_may_be_the_state() -> None:
    net = Net(1, 1, 1, 4)
    both = net.remember(net.x, 3)
    program = assert_equals_oracle(net.finish(net.rows(both, 1, 3)))
    assert kinds(program) == ["Copy", "Copy"]


def test_every_second_row_of_a_ring_is_copied_out() -> None:
    net = Net(1, 1, 1, 4)
    both = net.remember(net.x, 6)
    y = net.depthwise(net.rows(both, 0, 4, step=2), (4, 1))
    assert kinds(assert_equals_oracle(net.finish(y))) == ["Copy", "Copy", "Copy", "Column"]


def test_a_mean_and_a_pool_read_the_ring() -> None:
    from support.zoo import layers, pointwise

    net = Net(1, 1, 1, 4)
    both = net.remember(net.x, 6)
    a = pointwise.mean(net.model, net.rng, both, [1, 2], True, QUANT)
    b = layers.pool(net.model, both, True, (7, 1), (1, 1))
    program = assert_equals_oracle(net.finish(net.concatenate([a, b], 3)))
    assert kinds(program) == ["Copy", "Mean", "Pool"]


def variable_cases() -> dict[str, bytes]:
    """Models whose state is no ring."""
    cases: dict[str, bytes] = {}
    shape = (1, 3, 1, 4)

    def model(name: str) -> Net:
        cases[name] = b""
        return Net(1, 1, 1, 4)

    def done(net: Net, y: object) -> None:
        cases[list(cases)[-1]] = net.finish(y)  # type: ignore[arg-type]

    net = model("state last")
    handle = net.variable(*shape)
    both = net.concatenate([net.x, net.read(handle, *shape)], 1)
    net.assign(handle, net.rows(both, 0, 3))
    done(net, net.depthwise(both, (4, 1)))

    net = model("shifted by less than what is new")
    handle = net.variable(*shape)
    both = net.concatenate([net.read(handle, *shape), net.x, net.x], 1)
    net.assign(handle, net.rows(both, 1, 3))
    done(net, net.depthwise(both, (5, 1)))

    net = model("columns instead of rows")
    handle = net.variable(1, 2, 3, 4)
    x = net.concatenate([net.x, net.x], 1)
    both = net.concatenate([net.read(handle, 1, 2, 3, 4), x], 2)
    kept = moves.strided_slice(net.model, both, (0, 0, 1, 0), (1, 2, 4, 4), (1, 1, 1, 1))
    net.assign(handle, kept)
    done(net, net.depthwise(both, (2, 4)))

    net = model("read and never assigned")
    done(net, net.binary("ADD", net.read(net.variable(1, 1, 1, 4), 1, 1, 1, 4), net.x))

    net = model("assigned before it is read")
    handle = net.variable(1, 1, 1, 4)
    net.assign(handle, net.conv(net.x, 4))
    done(net, net.conv(net.read(handle, 1, 1, 1, 4), 3))

    net = model("read again after it was assigned")
    handle = net.variable(*shape)
    both = net.concatenate([net.read(handle, *shape), net.x], 1)
    net.assign(handle, net.rows(both, 1, 3))
    again = net.read(handle, *shape)
    done(net, net.concatenate([both, again], 1))

    net = model("assigned twice")
    handle = net.variable(1, 1, 1, 4)
    old = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, net.x)
    half = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, net.binary("ADD", half, old))
    done(net, net.concatenate([old, half, net.read(handle, 1, 1, 1, 4)], 3))

    net = model("old state used after it was assigned")
    handle = net.variable(1, 1, 1, 4)
    old = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, net.x)
    done(net, net.binary("SUB", net.x, old))

    net = model("a function of the old state, finished after it was assigned")
    from support.zoo import pointwise

    handle = net.variable(1, 1, 1, 4)
    half = pointwise.unary(net.model, "RELU", net.read(handle, 1, 1, 1, 4))
    net.assign(handle, net.x)
    done(net, pointwise.unary(net.model, "LEAKY_RELU", half, alpha=0.3))

    net = model("state turned round by itself")
    handle = net.variable(*shape)
    old = net.read(handle, *shape)
    net.assign(handle, moves.strided_slice(net.model, old, (0, 2, 0, 0), (1, -4, 1, 4), (1, -1, 1, 1), 0, 0))
    done(net, net.binary("ADD", net.depthwise(old, (3, 1)), net.x))

    net = model("a copy of the old state in a concatenation")
    handle = net.variable(1, 1, 1, 4)
    old = net.read(handle, 1, 1, 1, 4)
    new = net.conv(net.x, 4)
    net.assign(handle, new)
    done(net, net.concatenate([old, new], 3))

    net = model("read once more between its maker and its assignment")
    handle = net.variable(1, 1, 1, 4)
    new = net.conv(net.x, 4)
    old = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, new)
    done(net, net.binary("ADD", old, new))

    net = model("rows of one byte")
    handle = net.variable(1, 12)
    both = net.concatenate([net.read(handle, 1, 12), moves.reshape(net.model, net.x, (1, 4))], 1)
    net.assign(handle, net.rows(both, 4, 12))
    done(net, net.conv(moves.reshape(net.model, both, (1, 4, 4, 1)), 3, (2, 2)))

    net = model("new state in parts, of which one needs the old")
    handle = net.variable(1, 1, 1, 8)
    old = net.read(handle, 1, 1, 1, 8)
    new = net.concatenate([net.conv(net.x, 4), net.conv(old, 4)], 3)
    net.assign(handle, new)
    done(net, new)

    net = model("a slice of the old state used after it was assigned")
    handle = net.variable(1, 1, 1, 8)
    part = net.channels(net.read(handle, 1, 1, 1, 8), 2, 4)
    net.assign(handle, net.conv(net.x, 8))
    done(net, net.binary("ADD", part, net.x))

    net = model("two states change places")
    one, two = net.variable(1, 1, 1, 4), net.variable(1, 1, 1, 4)
    first, second = net.read(one, 1, 1, 1, 4), net.read(two, 1, 1, 1, 4)
    net.assign(one, second)
    net.assign(two, net.binary("ADD", first, net.x))
    done(net, net.binary("ADD", first, second))

    net = model("the output is the old state")
    handle = net.variable(1, 1, 1, 4)
    old = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, net.conv(net.x, 4))
    done(net, old)

    net = model("assigned a constant")
    handle = net.variable(1, 1, 1, 4)
    old = net.read(handle, 1, 1, 1, 4)
    net.assign(handle, net.constant(1, 1, 1, 4))
    done(net, net.binary("ADD", old, net.x))
    return cases


@pytest.mark.parametrize("name", variable_cases())
def test_state_that_is_no_ring_is_copied_right(name: str) -> None:
    program = assert_equals_oracle(variable_cases()[name])
    assert program.rings == []


def test_new_state_is_written_over_the_old_that_nobody_needs_any_more() -> None:
    net = Net(1, 1, 1, 4)
    handle = net.variable(1, 1, 1, 4)
    gated = net.binary("MUL", net.read(handle, 1, 1, 1, 4), net.conv(net.x, 4))
    new = net.binary("ADD", gated, net.x)
    net.assign(handle, new)
    program = assert_equals_oracle(net.finish(net.conv(new, 3)))
    assert kinds(program) == ["Dense", "Binary", "Binary", "Dense"]


def test_new_state_is_copied_if_its_maker_needs_the_old() -> None:
    net = Net(1, 1, 1, 4)
    handle = net.variable(1, 1, 1, 4)
    new = net.conv(net.read(handle, 1, 1, 1, 4), 4)
    net.assign(handle, new)
    program = assert_equals_oracle(net.finish(net.binary("ADD", new, net.x)))
    assert kinds(program) == ["Dense", "Copy", "Binary"]


def test_more_states_than_rings_stay_right() -> None:
    net = Net(1, 1, 1, 2)
    x = net.x
    for _ in range(streaming.MAX_RINGS + 2):
        x = net.depthwise(net.remember(x, 1), (2, 1))
    program = assert_equals_oracle(net.finish(x), steps=8)
    assert len(program.rings) == streaming.MAX_RINGS


def test_more_new_rows_than_a_ring_can_move_on_by_are_copied() -> None:
    net = Net(1, streaming.MAX_ADVANCE + 1, 1, 2)
    program = assert_equals_oracle(net.finish(net.depthwise(net.remember(net.x, 2), (3, 1))), steps=6)
    assert program.rings == [] and not any(isinstance(op, Copy) and op.advance for op in program.ops)


def test_rings_are_the_only_memory_that_wraps() -> None:
    net = Net(1, 1, 1, 4)
    program = lowered(net.finish(net.depthwise(net.remember(net.x, 3), (4, 1))))
    views = [value for op in program.ops for value in vars(op).values() if hasattr(value, "memory")]
    assert {type(view.memory) for view in views} >= {Ring}
