"""What sounds like a wake word: the right neighbours, never the word itself, from any dictionary."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training.corpora import negatives, wordlist

TEXT = st.text("abcdeəʤ", max_size=9)


@pytest.fixture(scope="module")
def sounds() -> negatives.Sounds:
    return negatives.Sounds()


@given(TEXT, st.lists(TEXT, max_size=6))
def test_many_distances_at_once_are_those_of_the_plain_algorithm(one, others):
    assert negatives.distances(one, others).tolist() == [wordlist.distance(one, other) for other in others]


def test_a_phrase_has_its_halves_its_neighbours_and_its_words_in_another_order(sounds):
    found = negatives.alike(["hey_cicada"], sounds.of, sounds.words, 60)
    assert len(found) == len(set(found)) == 60
    assert {"hey", "cicada", "cicada_hey", "hey_decayed", "the_cicada", "arcade"} <= set(found)
    three = negatives.alike(["okay_blue_house"], sounds.of, sounds.words, 60)
    assert {"okay", "blue", "house", "okay_blue", "blue_house"} <= set(three)


def test_a_word_has_its_nearest_neighbours_first(sounds):
    found = negatives.alike(["marvin"], sounds.of, sounds.words, 12)
    away = negatives.distances(sounds.of("marvin"), [sounds.of(word) for word in found])
    assert {"martin", "marlin"} <= set(found) and set(away) == {2}
    away = negatives.distances(sounds.of("yes"), [sounds.of(word) for word in ("guess", "yell", "chess")])
    assert set(away) == {1} and "guess" in negatives.alike(["yes"], sounds.of, sounds.words, 12)


@pytest.mark.parametrize(
    "wanted", [["hey_cicada"], ["cicada"], ["yes", "no"], ["wright"], ["hey_jude", "jude"]]
)
def test_nothing_sounds_like_a_wanted_word_or_holds_one(sounds, wanted):
    own = [sounds.of(word) for word in wanted]
    heard = [sounds.of(text) for text in negatives.alike(wanted, sounds.of, sounds.words, 80)]
    assert len(heard) == len(set(heard)) > 25
    assert not [one for one in heard for whole in own if whole in one]


def test_of_phrases_that_differ_by_one_phoneme_none_is_taken(sounds):
    found = negatives.alike(["hey_cicada"], sounds.of, sounds.words, 100)
    phrases = [sounds.of(text) for text in found if "_" in text]
    assert negatives.distances(sounds.of("hey_cicada"), phrases).min() == 2
    # "Okay" ends in what is nearly "hey": a window that begins late hears no difference.
    assert "okay_cicada" not in found and "hello_cicada" in found


@given(TEXT, TEXT)
def test_the_nearest_stretch_is_found(one, other):
    stretches = [other[i:j] for i in range(len(other) + 1) for j in range(i, len(other) + 1)]
    assert negatives._inside(one, other) == negatives.distances(one, stretches).min()


@given(
    st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=3, unique=True),
    st.lists(st.text("abcd", min_size=1, max_size=5), max_size=30, unique=True),
    st.integers(0, 40),
)
def test_any_dictionary_will_do(wanted, dictionary, count):
    found = negatives.alike(wanted, lambda text: text.replace("_", ""), {w: w for w in dictionary}, count)
    assert len(found) <= count and not set(found) & set(wanted)


def test_a_missing_dictionary_is_said(monkeypatch):
    import hibari.g2p

    def gone(name: str) -> None:
        raise FileNotFoundError(name)

    monkeypatch.setattr(hibari.g2p, "_load_json", gone)
    with pytest.raises(UserError, match="dictionary"):
        negatives.Sounds()
