"""Plans of the arena: right for any program, and small for the ones that are known."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.training.pack import lower, reader, simplify
from cicada.training.pack.emit import emit
from cicada.training.pack.errors import PackError
from cicada.training.pack.place import Item, place
from cicada.training.pack.plan import Plan, plan, scratch_size
from cicada.training.pack.program import Buffer, Fill, Lut, Program, View, Window
from cicada.training.pack.verify import verify
from support.networks import Network, keyword_spotter, resnet, wake_word
from support.orders import play
from support.programs import buffer, program, whole


@pytest.mark.parametrize(
    ("network", "most"),
    [(keyword_spotter, 8700), (resnet, 34700), (wake_word, 4400)],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_known_networks_are_small_and_planned_fast(network: Callable[[], Program], most: int) -> None:
    made = network()
    began = time.process_time()
    placed = plan(made)
    assert time.process_time() - began < 1
    verify(made, placed)
    assert play(made, placed) is None
    assert placed.bound <= placed.arena <= most


@pytest.mark.parametrize(
    ("name", "arena", "blob"),
    [
        ("okay_nabu", 4400, 31500),
        ("hey_jarvis", 3600, 28000),
        ("kws_ref_model", 8700, 29000),
        ("pretrainedResnet_quant", 34700, 83000),
        ("str_ww_ref_model", 4100, 56000),
        ("ad01_int8", 800, 281000),
        ("micro_speech_quantized", 4900, 17500),
    ],
)
def test_reference_models_are_small(shared_data: Path, name: str, arena: int, blob: int) -> None:
    model = (shared_data / "models" / f"{name}.tflite").read_bytes()
    made = lower.lower(simplify.simplify(reader.read(model)))
    placed = plan(made)
    verify(made, placed)
    assert placed.arena == placed.bound <= arena
    assert len(emit(made, placed)) <= blob


def test_depthwise_convolutions_take_whole_planes_where_that_costs_nothing() -> None:
    assert set(plan(keyword_spotter()).strips.values()) == {25}


def test_a_large_plane_is_worked_in_strips() -> None:
    net = Network((48, 48, 8))
    net.depthwise((48, 48, 8), Window((3, 3), pad=(1, 1)))
    net.conv((48, 48, 8), Window((1, 1)))
    made = net.program()
    placed = plan(made)
    verify(made, placed)
    (strip,) = placed.strips.values()
    assert 1 < strip < 48
    # In strips the output lies a few rows below the input, but the scratch memory is smaller by more.
    assert placed.bound <= placed.arena <= placed.bound * 65 / 64
    assert placed.arena < 48 * 48 * 8 + scratch_size(made.ops[0], 48)


def test_a_strip_that_the_program_asks_for_is_kept() -> None:
    net = Network((6, 6, 4))
    net.depthwise((6, 6, 4), Window((3, 3), pad=(1, 1)))
    net.ops[0].strip = 2
    assert plan(net.program()).strips == {net.ops[0]: 2}


@st.composite
def networks(draw: st.DrawFn) -> Program:
    """Networks of random operators, with branches."""
    shape = (draw(st.integers(1, 5)), draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    net = Network(shape)
    seen = [net.now]
    for _ in range(draw(st.integers(1, 7))):
        now = net.now
        kind = draw(st.sampled_from(["conv", "point", "depthwise", "add", "lut", "beside", "pool", "dense"]))
        mates = [view for view in seen if (view.h, view.w) == (now.h, now.w)]
        alike = [view for view in mates if view.c == now.c]
        if kind == "conv":
            kernel = (min(now.h, 3), min(now.w, 2))
            net.conv((now.h, now.w, draw(st.integers(1, 6))), Window(kernel, pad=(kernel[0] // 2, 0)))
        elif kind == "point":
            stride = draw(st.integers(1, 2))
            rows, columns = (-(-n // stride) for n in (now.h, now.w))
            net.conv((rows, columns, draw(st.integers(1, 6))), Window((1, 1), (stride, stride)))
        elif kind == "depthwise":
            net.depthwise((now.h, now.w, now.c), Window((3, 3), pad=(1, 1)))
        elif kind == "add":
            net.add(draw(st.sampled_from(alike)), now)
        elif kind == "beside":
            net.beside(draw(st.sampled_from(mates)), now)
        elif kind == "pool":
            kernel = (min(now.h, 2), min(now.w, 2))
            net.pool((now.h // kernel[0], now.w // kernel[1], now.c), kernel)
        elif kind == "dense":
            net.dense(draw(st.integers(1, 9)))
        else:
            net.lut()
        seen.append(net.now)
    return net.program()


@given(networks())
def test_any_network_finds_its_bytes_where_it_left_them(made: Program) -> None:
    placed = plan(made)
    verify(made, placed)
    assert play(made, placed) is None
    assert placed.arena >= placed.bound
    every = [*placed.places.values(), *placed.scratch.values(), placed.arena]
    assert min(every) >= 0 and all(at % 4 == 0 for at in every)


@given(networks(), st.data())
def test_the_check_sees_every_conflict(made: Program, data: st.DataObject) -> None:
    placed = plan(made)
    moved = data.draw(st.sampled_from([*placed.places, *placed.scratch]))
    at = data.draw(st.integers(0, placed.arena // 4)) * 4
    worse = dataclasses.replace(placed, places=dict(placed.places), scratch=dict(placed.scratch))
    (worse.places if moved in worse.places else worse.scratch)[moved] = at
    worse = dataclasses.replace(worse, arena=placed.arena + 4096)
    conflict = play(made, worse)
    if conflict is None:
        verify(made, worse)
    else:
        with pytest.raises(ValueError):
            verify(made, worse)


def test_the_check_refuses_places_outside_of_the_arena() -> None:
    made = keyword_spotter()
    placed = plan(made)
    with pytest.raises(ValueError, match="does not lie in the arena"):
        verify(made, dataclasses.replace(placed, arena=placed.arena - 4))


def test_the_check_refuses_reading_what_nobody_wrote() -> None:
    source, never, target = (buffer((1, 1, 4), name) for name in ("in", "never", "out"))
    table = np.zeros(256, np.uint8)
    views = [whole(each, (1, 1, 4)) for each in (never, target)]
    made = program([Lut("lut", input=views[0], output=views[1], table=table)], source, target, [never])
    with pytest.raises(ValueError, match="lut finds .* where byte 0 of never should be"):
        verify(made, plan(made))


def described(made: Program, placed: Plan) -> tuple:
    """A plan without the identities of buffers and operators."""
    return (
        [placed.places[memory] for memory in (*made.buffers, *made.rings)],
        [placed.scratch.get(op) for op in made.ops],
        [placed.strips.get(op) for op in made.ops],
        placed.arena,
        placed.bound,
    )


def test_an_input_that_nobody_reads_gives_its_memory_away() -> None:
    source, target = buffer((1, 1, 40)), buffer((1, 1, 40))
    kept = Buffer("kept", 4, np.zeros(4, np.int8))
    ops = [
        Lut("lut", input=View(kept, 1, 1, 4), output=View(target, 1, 1, 4), table=np.zeros(256, np.uint8)),
        Fill("fill", output=View(target, 1, 1, 36, 4), value=1),
    ]
    made = program(ops, source, target, [kept])
    placed = plan(made)
    verify(made, placed)
    assert placed.arena == placed.bound == 44


def test_a_model_that_no_device_can_hold_is_a_clear_error() -> None:
    net = Network((4000, 4000, 1))
    for _ in range(3):
        net.lut()
    net.add(net.first, net.now)
    with pytest.raises(PackError, match="lut 1: the model needs 48000000 bytes"):
        plan(net.program())


@pytest.mark.parametrize("network", [keyword_spotter, resnet, wake_word])
def test_equal_programs_get_equal_plans(network: Callable[[], Program]) -> None:
    first, second = network(), network()
    assert described(first, plan(first)) == described(second, plan(second))


def test_state_shares_memory_with_nothing() -> None:
    made = wake_word()
    kept = Buffer("constant", 10, np.arange(10, dtype=np.int8))
    made.buffers.append(kept)
    views = [View(kept, 1, 1, 1), View(made.output, 1, 1, 1)]
    made.ops.append(Lut("late", input=views[0], output=views[1], table=np.zeros(256, np.uint8)))
    placed = plan(made)
    verify(made, placed)
    state = [kept, *made.rings]
    lowest = min(placed.places[memory] for memory in state)
    for memory in made.buffers:
        assert memory is kept or placed.places[memory] + memory.size <= lowest
    taken = sorted((placed.places[memory], memory.size) for memory in state)
    for (at, size), (after, _) in zip(taken, taken[1:], strict=False):
        assert at + size <= after


def test_a_model_whose_output_is_its_input_needs_only_that() -> None:
    both = buffer((1, 1, 6))
    made = program([], both, both)
    placed = plan(made)
    verify(made, placed)
    assert placed.arena == placed.bound == 8


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 6), st.integers(0, 3)), max_size=12))
def test_memory_without_rules_is_apart_while_it_lives(drawn: list[tuple[int, int, int]]) -> None:
    items = [Item(4 * size, start, start + length) for size, start, length in drawn]
    most = max((sum(i.size for i in items if i.start <= t <= i.end) for t in range(10)), default=0)
    places = place(items, {}, most)
    for i, (one, at) in enumerate(zip(items, places, strict=True)):
        assert at >= 0 and at % 4 == 0
        for other, there in list(zip(items, places, strict=True))[:i]:
            if one.start <= other.end and other.start <= one.end:
                assert at + one.size <= there or there + other.size <= at


def test_the_search_finds_what_no_order_by_size_or_time_does(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [
        (5, 2, 2),
        (3, 5, 5),
        (7, 6, 6),
        (3, 1, 3),
        (8, 7, 10),
        (4, 3, 5),
        (6, 5, 8),
        (9, 1, 4),
        (2, 6, 7),
    ]
    items = [Item(4 * size, start, end) for size, start, end in drawn]

    def reached() -> int:
        return max(at + item.size for at, item in zip(place(items, {}, 68), items, strict=True))

    assert reached() == 68
    monkeypatch.setattr("cicada.training.pack.place._TRIES", 0)
    assert reached() == 72
