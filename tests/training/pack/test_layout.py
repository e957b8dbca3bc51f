"""Weights and tables, checked by computing from them what the kernels would."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.training.pack.errors import PackError
from cicada.training.pack.format import FAST, NONNEG
from cicada.training.pack.layout import requant_tables, weights
from cicada.training.pack.program import Dense, Window
from support.programs import buffer, column, conv, dense, depthwise, whole


def dense_of(channels: int, inputs: int = 3) -> Dense:
    """A fully connected layer."""
    return dense(
        whole(buffer((1, 1, inputs)), (1, 1, inputs)), whole(buffer((1, 1, channels)), (1, 1, channels))
    )


def wide(channels: int) -> list[int]:
    """The blocks of 15 or 16 channels."""
    size = {30: 15, 60: 15, 15: 15, 45: 15}.get(channels, 16)
    return [size] * (channels // size)


def rest(channels: int) -> int:
    """Channels that are in none of those."""
    return channels - sum(wide(channels))


@given(st.integers(1, 40) | st.just(60), st.integers(1, 6))
def test_dense_weights_are_blocks_of_15_or_16_then_of_4_then_of_1(channels: int, inputs: int) -> None:
    op = dense_of(channels, inputs)
    block = np.frombuffer(weights(op), np.int8)
    taps = -(-inputs // 4) * 4
    assert block.size == channels * taps
    at = channel = 0
    for size in [*wide(channels), *[4] * (rest(channels) // 4), *[1] * (rest(channels) % 4)]:
        for k in range(taps):
            for i in range(size):
                assert block[at] == (op.weights[channel + i, k] if k < inputs else 0)
                at += 1
        channel += size


@given(st.integers(1, 40), st.integers(1, 4))
def test_column_weights_are_blocks_of_15_or_16_channels_and_one_of_the_rest(channels: int, rows: int) -> None:
    source, target = (rows, 1, channels), (1, 1, channels)
    op = column(whole(buffer(source), source), whole(buffer(target), target), Window((rows, 1)))
    block = np.frombuffer(weights(op), np.int8)
    at = channel = 0
    for size in [*wide(channels), rest(channels)]:
        for row in range(rows):
            assert block[at : at + size].tolist() == op.weights[row, channel : channel + size].tolist()
            at += size
        channel += size
    assert at == block.size


@given(st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.integers(1, 5))
def test_conv_weights_are_blocks_of_4_channels_filled_up(n: int, height: int, width: int, c: int) -> None:
    source, target = (height, width + 1, c), (1, 2, n)
    op = conv(whole(buffer(source), source), whole(buffer(target), target), Window((height, width)))
    taps = height * width * c
    padded = np.frombuffer(weights(op), np.int8).reshape(-1, taps + taps % 2, 4)
    assert len(padded) == -(-n // 4) and not padded[:, taps:].any()
    block = padded[:, :taps].reshape(-1, height, width, c, 4)
    for channel in range(4 * len(block)):
        expected = op.weights[channel] if channel < n else np.zeros_like(op.weights[0])
        assert np.array_equal(block[channel // 4, ..., channel % 4], expected)


def test_depthwise_weights_are_planes() -> None:
    source, target = (5, 5, 2), (3, 4, 6)
    op = depthwise(whole(buffer(source), source), whole(buffer(target), target), Window((3, 2)))
    block = np.frombuffer(weights(op), np.int8).reshape(6, 3, 2)
    for channel in range(6):
        assert np.array_equal(block[channel], op.weights[:, :, channel])


def test_weights_of_another_shape_are_refused() -> None:
    op = dense_of(4)
    op.weights = op.weights[:, :2]
    with pytest.raises(ValueError, match="weights"):
        weights(op)


def with_requant(op: Dense, **changes: object) -> Dense:
    """The operator with other numbers."""
    op.requant = dataclasses.replace(op.requant, **changes)
    return op


@given(st.integers(1, 9), st.integers(-128, 127))
def test_the_folded_bias_takes_the_zero_point_off(channels: int, zero: int) -> None:
    op = with_requant(dense_of(channels), in_zero=zero)
    tables, _ = requant_tables(op)
    assert len(tables) % 4 == 0 and len(tables) - 9 * channels in range(4)
    bias = np.frombuffer(tables, np.int32, channels)
    values = np.random.default_rng(1).integers(-128, 128, 3)
    for channel in range(channels):
        row = op.weights[channel].astype(int)
        assert bias[channel] + values @ row == op.requant.bias[channel] + (values - zero) @ row
    assert np.array_equal(
        np.frombuffer(tables, np.uint32, channels, 4 * channels) // 2, op.requant.multiplier
    )
    assert np.array_equal(np.frombuffer(tables, np.int8, channels, 8 * channels), -op.requant.shift)


def test_a_bias_that_folds_out_of_range_is_a_clear_error() -> None:
    op = dense_of(2)
    limit = np.int32(1 << 30)
    assert requant_tables(with_requant(op, in_zero=0, bias=np.array([limit, -limit])))
    for bias in (np.array([limit + 1, 0]), np.array([0, -limit - 1])):
        with pytest.raises(PackError, match="32 bits"):
            requant_tables(with_requant(op, bias=bias))


def flags_of(shifts: list[int], **changes: object) -> int:
    """Flags for so many channels with these shifts (positive to the left)."""
    op = with_requant(dense_of(len(shifts)), shift=np.array(shifts, np.int32), **changes)
    return requant_tables(op)[1]


def test_fast_needs_every_shift_to_be_1_to_22_to_the_right() -> None:
    assert flags_of([-1, -22]) == FAST | NONNEG
    assert flags_of([-9, 0]) == flags_of([-9, -23]) == flags_of([-9, 1]) == 0


def test_a_channel_without_scale_does_not_stand_in_the_way_of_fast() -> None:
    multiplier = np.array([1 << 30, 0], np.int32)
    assert flags_of([-9, 0], multiplier=multiplier) & FAST


def test_nonneg_needs_the_lowest_output_to_be_the_zero_point() -> None:
    assert flags_of([-9], low=-128, out_zero=-127) == FAST
    assert flags_of([-9], low=5, out_zero=5) == FAST | NONNEG


@given(
    st.integers(-(1 << 30), 1 << 30),
    st.integers(1 << 30, (1 << 31) - 1),
    st.integers(1, 22),
    st.integers(1, 400),
)
def test_fast_promises_that_sums_stay_within_30_bits(bias: int, factor: int, shift: int, inputs: int) -> None:
    op = with_requant(
        dense_of(1, inputs),
        bias=np.array([bias], np.int32),
        multiplier=np.array([factor], np.int32),
        shift=np.array([-shift], np.int32),
        in_zero=0,
    )
    flags = requant_tables(op)[1]
    extreme = abs(bias) + 128 * int(np.abs(op.weights.astype(int)).sum())
    assert bool(flags & FAST) == (extreme < 1 << 30)
