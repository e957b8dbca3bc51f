"""No bearing or recording of a machine is in two splits, every label is in each, or it is said why not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training.corpora.machines import Recording, open_machines
from cicada.training.corpora.splits import SHARES, assign, check, divide, folds

RNG = np.random.default_rng(11)


def recording(name: str, label: str, bearing: str, seconds: float = 1.0, **more) -> Recording:
    """Noise at 400 Hz that is like no other."""
    frames = RNG.integers(-3000, 3000, (round(seconds * 400), 1)).astype(np.int16)
    return Recording(name, frames, 400.0, label, bearing, **more)


#: Recordings of each bearing, by label; a bearing has one fault.
bearings = st.dictionaries(
    st.sampled_from(["normal", "ball", "inner", "outer"]),
    st.lists(st.integers(1, 4), min_size=3, max_size=9),
    min_size=1,
)


def made(counts: dict[str, list[int]]) -> list[Recording]:
    return [
        recording(f"{label}_{bearing}_{number}", label, f"{label}_{bearing}", 1 + 0.1 * number)
        for label, each in counts.items()
        for bearing, count in enumerate(each)
        for number in range(count)
    ]


@settings(max_examples=30)
@given(bearings, st.integers(0, 5), st.sampled_from(["bearing", "recording"]))
def test_every_recording_is_in_one_split_no_group_in_two_and_every_label_in_each(counts, seed, by):
    corpus = made(counts)
    parts = assign(corpus, by, seed)
    assert set(parts) == set(SHARES)
    assert sorted(one.name for part in parts.values() for one in part) == sorted(one.name for one in corpus)
    if by == "bearing":
        homes = [{one.bearing for one in part} for part in parts.values()]
        assert sum(map(len, homes)) == len(set().union(*homes))
    assert all({one.label for one in part} == set(counts) for part in parts.values())
    check(parts, by, "the corpus")


def test_a_seed_deals_the_same_again_and_another_one_otherwise():
    corpus = made({"normal": [2] * 8, "worn": [3] * 8})
    dealt = [tuple(sorted(one.name for one in assign(corpus, "bearing", seed)["test"])) for seed in range(6)]
    assert dealt[0] == tuple(sorted(one.name for one in assign(corpus, "bearing", 0)["test"]))
    assert len(set(dealt)) > 3


def test_shares_are_of_the_recorded_time_and_nearly_kept():
    corpus = made({"normal": [1] * 40, "worn": [4] * 20})
    parts = assign(corpus, "bearing", 1, {"train": 0.5, "test": 0.5})
    for label in ("normal", "worn"):
        time = {name: sum(one.seconds for one in part if one.label == label) for name, part in parts.items()}
        assert time["test"] / sum(time.values()) == pytest.approx(0.5, abs=0.08)


def test_machines_that_were_recorded_sound_and_worn_stay_whole():
    corpus = [
        recording(f"{label}_{number}", label, f"pump_{number}")
        for number in range(5)
        for label in ("normal", "worn")
    ]
    parts = assign(corpus, "bearing", 3)
    assert all({one.label for one in part} == {"normal", "worn"} for part in parts.values())
    assert Counter(one.bearing for one in parts["train"]) == dict.fromkeys(
        {one.bearing for one in parts["train"]}, 2
    )


def test_too_few_bearings_are_an_error_that_names_them():
    corpus = made({"normal": [9, 9], "worn": [1] * 5})
    message = r"'normal' has 2 bearings \(normal_0, normal_1\), too few for 3 splits"
    with pytest.raises(UserError, match=message):
        assign(corpus, "bearing", 1)
    assign(corpus, "recording", 1)


def test_machines_that_cannot_be_dealt_out_are_an_error():
    # Each label has three bearings, but a bearing with all of them can be in one split only.
    labels = ("a", "b", "c")
    corpus = [recording(f"all_{label}", label, "all") for label in labels]
    corpus += [recording(f"{pair}_{label}", label, pair) for pair in ("ab", "bc", "ca") for label in pair]
    with pytest.raises(UserError, match="4 bearings cannot be dealt out to 3 splits"):
        assign(corpus, "bearing", 1)


@settings(max_examples=30)
@given(bearings, st.integers(2, 3), st.integers(0, 3))
def test_folds_test_every_recording_once_on_unknown_bearings(counts, k, seed):
    corpus = made(counts)
    tested = []
    for fold in folds(corpus, "bearing", k, seed):
        check(fold, "bearing", "the fold")
        assert len(fold["train"]) + len(fold["test"]) == len(corpus)
        assert {one.label for one in fold["test"]} == {one.label for one in fold["train"]} == set(counts)
        tested += [one.name for one in fold["test"]]
    assert sorted(tested) == sorted(one.name for one in corpus)


def test_a_split_by_window_leaks_on_purpose():
    corpus = made({"normal": [1] * 3, "worn": [1] * 3})
    parts = assign(corpus, "window", 1)
    sources = [{one.name.split("#")[0] for one in part} for part in parts.values()]
    assert sources[0] & sources[1] & sources[2]
    assert {round(one.seconds, 3) for part in parts.values() for one in part} == {0.2}
    assert sum(one.seconds for part in parts.values() for one in part) == pytest.approx(6.0)


@pytest.mark.parametrize("by", ["bearing", "recording"])
def test_a_leak_is_refused_however_it_came_about(by):
    corpus = made({"normal": [2] * 3, "worn": [2] * 3})
    parts = assign(corpus, by, 1)
    parts["test"].append(parts["train"][0])
    with pytest.raises(UserError, match=f"pumps has {by} '.*' in two splits"):
        check(parts, by, "pumps")


def test_a_copy_under_another_name_is_refused():
    parts = assign(made({"normal": [1] * 3}), "bearing", 1)
    parts["test"].append(replace(parts["train"][0], name="new", bearing="new"))
    with pytest.raises(UserError, match="same recording in two splits"):
        check(parts, "bearing", "pumps")


def test_pieces_are_apart_and_know_where_they_were():
    frames = np.arange(4000, dtype=np.int16)[:, None]
    whole = Recording("run", frames, 400.0, "worn", "pump", condition={"onset_s": 6.0})
    pieces = divide(whole, 4, 0.5)
    assert [piece.name for piece in pieces] == ["run#1", "run#2", "run#3", "run#4"]
    assert len({piece.bearing for piece in pieces}) == 4
    starts = [int(piece.frames[0, 0]) for piece in pieces]
    ends = [int(piece.frames[-1, 0]) for piece in pieces]
    assert [after - end - 1 for after, end in zip(starts[1:], ends, strict=False)] == [200] * 3
    assert [piece.condition["from_s"] for piece in pieces] == [start / 400 for start in starts]
    assert [piece.condition["onset_s"] for piece in pieces] == [6 - start / 400 for start in starts]


def test_pieces_of_seconds_that_do_not_continue_hold_whole_seconds():
    frames = np.repeat(np.arange(25, dtype=np.int16), 200)[:, None]
    pieces = divide(Recording("fan", frames, 200.0, "normal", "fan", segment=200), 3, 1.5)
    # 25 seconds without two gaps of 2 whole seconds are 21, thus 7 each.
    assert [np.unique(piece.frames).tolist() for piece in pieces] == [
        list(range(0, 7)),
        list(range(9, 16)),
        list(range(18, 25)),
    ]


def test_a_recording_too_short_to_divide_and_other_keys_are_errors():
    one = recording("run", "normal", "pump", 2.0)
    with pytest.raises(UserError, match=r"run of 2.0 s is too short for 3 pieces that are 1 s apart"):
        divide(one, 3)
    with pytest.raises(ValueError, match="by bearing or recording, not by colour"):
        assign([one], "colour", 1)
    with pytest.raises(ValueError, match="shares must be positive"):
        assign([one], "recording", 1, {"train": 1.0, "test": 0.0})
    with pytest.raises(ValueError, match="2 folds or more"):
        folds([one], "recording", 1)


def test_cwru_tests_each_fault_on_the_size_it_was_not_trained_on(shared_data):
    cwru = open_machines("cwru", shared_data / "bearings_cwru")
    faults = cwru.only(["ball", "inner", "outer"]).recordings
    seen = set()
    for seed in range(8):
        for fold in folds(faults, "bearing", 2, seed):
            sizes = [
                {(one.label, one.condition["inches"]) for one in fold[side]} for side in ("train", "test")
            ]
            assert len(sizes[0]) == len(sizes[1]) == 3 and not sizes[0] & sizes[1]
            seen.add(frozenset(sizes[1]))
    assert len(seen) > 4  # of the 8 there are
    with pytest.raises(UserError, match=r"'ball' has 2 bearings \(B007, B021\)"):
        assign(faults, "bearing", 1)
    with pytest.raises(UserError, match="'normal' has 1 bearings"):
        folds(cwru.recordings, "bearing", 2)
