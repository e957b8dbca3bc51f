"""Packed models as bytes: what records say, what is shared, what a reset sets."""

from __future__ import annotations

import numpy as np
import pytest

from cicada.training.pack.emit import emit
from cicada.training.pack.errors import PackError
from cicada.training.pack.format import NONNEG, Unpacked, unpack
from cicada.training.pack.layout import requant_tables, weights
from cicada.training.pack.plan import Plan, plan
from cicada.training.pack.program import Buffer, Copy, Lut, Program, Ring, View, Window
from support.programs import buffer, column, conv, dense, noise, program, whole


def emitted(made: Program) -> tuple[Plan, bytes, Unpacked]:
    """Plan, blob and what the blob holds."""
    placed = plan(made)
    blob = emit(made, placed, instructions=5, selftest=(2, 3, 4))
    return placed, blob, unpack(blob)


def two_layers() -> Program:
    """A convolution and a fully connected layer."""
    source, between, target = buffer((6, 6, 3)), buffer((4, 4, 5)), buffer((1, 1, 7))
    return program(
        [
            conv(whole(source, (6, 6, 3)), whole(between, (4, 4, 5)), Window((3, 3))),
            dense(whole(between, (4, 4, 5)), whole(target, (1, 1, 7))),
        ],
        source,
        target,
        [between],
    )


def test_records_hold_what_the_program_says() -> None:
    made = two_layers()
    placed, blob, model = emitted(made)
    header = model.header
    assert (header["size"], header["arena"]) == (len(blob), placed.arena)
    assert (header["selftest_steps"], header["selftest_seed"], header["selftest_crc"]) == (2, 3, 4)
    assert header["instructions"] == 5
    assert header["input"]["at"] == placed.places[made.input]
    assert header["output"]["shape"] == [1, 7, 0, 0, 0, 0]
    assert (header["output"]["scale"], header["output"]["dtype"]) == (0x3B800000, 1)
    (kind, first), (_, second) = model.ops
    assert kind == "conv" and first["op"]["flags"] & NONNEG
    assert first["out"] == {
        "at": placed.places[made.buffers[1]],
        "row": 20,
        "h": 4,
        "w": 4,
        "c": 5,
        "pitch": 5,
    }
    assert first["window"]["kernel_h"] == 3 and first["window"]["pad_value"] == -128
    assert first["scratch"] == placed.scratch[made.ops[0]]
    for op, values in zip(made.ops, (first, second), strict=True):
        tables = requant_tables(op)[0]
        assert blob[values["weights"] :].startswith(weights(op))
        assert blob[values["requant"]["at"] :].startswith(tables)
        assert values["weights"] % 4 == values["requant"]["at"] % 4 == 0


def test_the_same_program_gives_the_same_bytes() -> None:
    made = two_layers()
    assert emitted(made)[1] == emitted(made)[1]


def test_equal_tables_are_written_once() -> None:
    source, between, target = (buffer((1, 1, 8)) for _ in range(3))
    table = np.arange(256, dtype=np.uint8)
    views = [whole(each, (1, 1, 8)) for each in (source, between, target)]
    ops = [Lut(f"lut {i}", input=views[i], output=views[i + 1], table=table) for i in range(2)]
    _, blob, model = emitted(program(ops, source, target, [between]))
    assert model.ops[0][1]["table"] == model.ops[1][1]["table"]
    assert blob.count(table.tobytes()) == 1


def streaming(first: np.ndarray, second: np.ndarray) -> Program:
    """Two rings: the input goes into one, a column convolution of it into the other."""
    source, target = buffer((1, 1, 6)), buffer((1, 1, 4))
    rings = [Ring("a", len(first), 6, first), Ring("b", len(second), 6, second)]
    copy = Copy(
        "copy",
        input=source,
        output=rings[0],
        dims=(1, 1, 1, 6),
        in_at=0,
        out_at=0,
        in_step=(6, 6, 6, 1),
        out_step=(6, 6, 6, 1),
        advance=rings[0],
        advance_rows=1,
    )
    across = column(View(rings[0], len(first), 1, 6), View(rings[1], 1, 1, 6), Window((len(first), 1)))
    across.advance, across.advance_rows = rings[1], 1
    last = dense(View(rings[1], len(second), 1, 6), whole(target, (1, 1, 4)))
    return program([copy, across, last], source, target, [], rings)


def test_rings_are_named_by_their_number_and_their_state_begins_with_the_oldest_row() -> None:
    first, second = noise(3, 6), noise(2, 6)
    placed, blob, model = emitted(streaming(first, second))
    copy, across, last = (values for _, values in model.ops)
    assert [copy["op"]["in_ring"], copy["op"]["out_ring"], copy["op"]["advance"]] == [0, 1, 1]
    assert [across["op"]["in_ring"], across["op"]["out_ring"], across["op"]["advance_rows"]] == [1, 2, 1]
    assert across["in"]["at"] == 0 and across["in"]["row"] == 6
    assert last["scratch"] and last["op"]["advance"] == 0
    by_place = {state["at"]: state for state in model.states}
    for ring, content in zip(model.rings, (first, second), strict=True):
        state = by_place[ring["at"]]
        assert blob[state["from"] :][: state["size"]] == content.tobytes()


def test_neighbours_with_one_value_are_one_state() -> None:
    _, _, model = emitted(streaming(np.full((3, 6), -128, np.int8), np.full((2, 6), -128, np.int8)))
    (state,) = model.states
    assert (state["from"], state["fill"]) == (0, 128)
    for ring in model.rings:
        assert state["at"] <= ring["at"]
        assert ring["at"] + ring["row"] * ring["rows"] <= state["at"] + state["size"]


def test_a_number_too_large_for_its_place_is_a_clear_error() -> None:
    source, target = Buffer("in", 70000), Buffer("out", 70000)
    views = [View(each, 1, 70000, 1) for each in (source, target)]
    lut = Lut("op 3 (TANH)", input=views[0], output=views[1], table=np.zeros(256, np.uint8))
    with pytest.raises(PackError, match=r"op 3 \(TANH\).*cpm_view.w"):
        emitted(program([lut], source, target))


@pytest.mark.parametrize("where", range(0, 1000, 37))
def test_a_damaged_model_is_refused(where: int) -> None:
    blob = bytearray(emitted(two_layers())[1])
    blob[where % len(blob)] ^= 0x10
    with pytest.raises(ValueError):
        unpack(bytes(blob))


def test_a_model_cut_short_is_refused() -> None:
    blob = emitted(two_layers())[1]
    for size in (0, 3, 100, len(blob) - 4):
        with pytest.raises(ValueError):
            unpack(blob[:size])
