"""No speaker, bearing or sound is in two splits unseen."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training.corpora import open_corpus
from cicada.training.evaluation.groups import content, refuse, refuse_copies

SPLITS = ("train", "validation", "test")
#: Which split each group is in, and how many recordings it has there.
honest = st.dictionaries(
    st.text("abc_0123", min_size=1, max_size=6),
    st.tuples(st.sampled_from(SPLITS), st.integers(1, 4)),
    min_size=1,
    max_size=12,
)


def members(groups) -> list[tuple[str, str, str]]:
    return [
        (group, split, f"{group}_{number}.wav")
        for group, (split, count) in groups.items()
        for number in range(count)
    ]


@given(honest, st.randoms(use_true_random=False))
def test_groups_with_one_split_each_pass_in_any_order_and_with_duplicates(groups, rng: random.Random):
    rows = members(groups)
    rows += rng.choices(rows, k=3)
    rng.shuffle(rows)
    refuse(rows, "the folder")


@given(honest, st.randoms(use_true_random=False))
def test_no_order_and_no_duplicate_hides_a_group_in_two_splits(groups, rng: random.Random):
    rows = members(groups)
    group, split, _ = rng.choice(rows)
    other = rng.choice([name for name in SPLITS if name != split])
    rows += [*rng.choices(rows, k=3), (group, other, "leak.wav")]
    rng.shuffle(rows)
    with pytest.raises(UserError) as caught:
        refuse(rows, "the folder", "bearing")
    message = str(caught.value)
    assert f"bearing '{group}' in two splits" in message and "leak.wav" in message
    assert split in message and other in message and "\n" not in message


def recordings(seed: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-3000, 3000, rng.integers(1, 50)).astype(np.int16) | 1 for _ in range(count)]


@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_different_sounds_pass_in_any_splits(seed, count):
    rng = random.Random(seed)
    sounds = {bytes(sound): sound for sound in recordings(seed, count)}
    refuse_copies(((sound, rng.choice(SPLITS), "x.wav") for sound in sounds.values()), "the folder")


@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 9), st.integers(0, 9))
def test_a_copy_under_another_name_and_length_is_found_in_any_order(seed, count, before, after):
    rng = random.Random(seed)
    sounds = recordings(seed, count)
    rows = [(sound, rng.choice(SPLITS), f"{number}.wav") for number, sound in enumerate(sounds)]
    sound, split, name = rng.choice(rows)
    copy = np.pad(sound, (before, after)).astype(rng.choice([np.int16, np.int32]))
    other = rng.choice([one for one in SPLITS if one != split])
    rows = [row for row in rows if row[2] == name or bytes(row[0]) != bytes(sound)]
    rows.append((copy, other, "renamed.flac"))
    rng.shuffle(rows)
    with pytest.raises(UserError, match="same recording in two splits") as caught:
        refuse_copies(rows, "the folder")
    assert "renamed.flac" in str(caught.value) and name in str(caught.value)


def test_copies_within_one_split_and_silence_in_all_are_no_leak():
    sound, silence = np.array([0, 5, -3], np.int16), np.zeros(8, np.int16)
    refuse_copies([(sound, "train", "a"), (sound, "train", "b")], "the folder")
    refuse_copies([(silence, split, split) for split in SPLITS], "the folder")


def test_content_is_of_values_and_their_order():
    sound = np.array([1, 2, 3], np.int16)
    assert content(sound) == content(np.pad(sound, 4)) == content(sound.astype(np.int64))
    assert len({content(sound), content(sound[::-1]), content(sound[:2]), content(-sound)}) == 4
    # Three samples of one axis are not one sample of three axes.
    assert content(sound) != content(sound[None])
    assert content(np.zeros((4, 3))) is None and content(np.zeros(0, np.int16)) is None


def test_a_corpus_with_a_speaker_in_two_splits_does_not_open(corpus_folder):
    folder = corpus_folder(["yes", "no"])
    path = folder / "manifest.csv"
    lines = path.read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith(",train"))
    lines[at] = lines[at].removesuffix("train") + "test"
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(UserError, match="in two splits"):
        open_corpus(folder, ["yes"])
