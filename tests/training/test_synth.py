"""The synthesised corpus, with few voices: layout, split by voice, reproducible, any word, clear refusals."""

from __future__ import annotations

import ctypes
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from cicada.tools import audio
from cicada.tools.errors import UserError
from cicada.training import augment
from cicada.training.corpora import SPLITS, open_corpus, speaking, synth, voices, wordlist

SMALL = synth.Plan(
    wanted={"train": 4, "validation": 3, "test": 3},
    neural=2,
    others=6,
    variants={
        "train": ("f1", "klatt2", "m1", "Mr serious", "adam"),
        "validation": ("f2", "m2"),
        "test": ("f4", "m4"),
    },
    noise_s=6,
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def corpus(cache: Path):
    return synth.corpus(["hello", "cicada"], plan=SMALL, cache=cache)


@pytest.fixture
def espeak(tmp_path: Path) -> voices.Espeak:
    return voices.Espeak(tmp_path)


SAY = {"rate": 160, "pitch": 50, "span": 50, "seed": 1}


def test_it_is_a_corpus_of_the_wanted_words_and_others(corpus):
    counts = corpus.counts()
    for word in ("hello", "cicada"):
        assert [counts[word, split] for split in SPLITS] == [20, 6, 8]
    assert len({clip.word for clip in corpus.clips}) == 8
    assert corpus.source == "synthesised speech (espeak-ng, hibari), 10 voices"


def test_every_voice_is_on_one_side(corpus):
    sides = defaultdict(set)
    for clip in corpus.clips:
        sides[clip.speaker].add(clip.split)
    assert len(sides) == 10 and all(len(splits) == 1 for splits in sides.values())
    assert sides["hibari-heart"] == {"test"} and sides["espeak-mr_serious"] == {"train"}


def test_clips_are_a_second_of_sound_at_varied_levels_and_places(corpus):
    clips = [clip.load() for clip in corpus.clips]
    assert all(pcm.dtype == np.int16 and pcm.shape == (16000,) for pcm in clips)
    levels = 20 * np.log10([augment.speech_level(pcm) / 32768 for pcm in clips])
    assert levels.min() < -30 and levels.max() > -18 and -40 < levels.min() and levels.max() < -10
    centres = [np.average(np.arange(16000), weights=pcm.astype(float) ** 2) / 16000 for pcm in clips]
    assert min(centres) < 0.35 and max(centres) > 0.65
    # Nowhere digital silence: the front end's noise estimate needs something to hold on to.
    assert all(np.abs(pcm.reshape(-1, 1600)).max(axis=1).min() > 0 for pcm in clips)


def test_backgrounds_have_every_kind_in_every_split(corpus):
    folder = corpus.clips[0].path.parents[1] / "_background_noise_"
    kinds = {path.stem for path in folder.iterdir()}
    assert kinds == {"white", "pink", "brown", "hum", "fan", "babble"}
    for split, seconds in (("train", 6), ("validation", 2), ("test", 2)):
        assert [len(pcm) for pcm in corpus.backgrounds[split]] == [seconds * 16000] * 6
        assert all(np.sqrt(np.mean(pcm.astype(float) ** 2)) > 100 for pcm in corpus.backgrounds[split])


def test_the_folder_serves_as_data_like_any_other(corpus):
    folder = corpus.clips[0].path.parents[1]
    again = open_corpus(folder, ["hello", "cicada"])
    assert again.clips == corpus.clips and again.source == corpus.source
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        "inputs.json",
        "manifest.csv",
        "source.txt",
    }
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_a_second_run_makes_nothing_and_a_second_cache_makes_the_same(corpus, cache, tmp_path, monkeypatch):
    fresh = synth.corpus(["hello", "cicada"], plan=SMALL, cache=tmp_path)
    for one, other in zip(corpus.clips, fresh.clips, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes(), one.path
    assert fresh.fingerprint == corpus.fingerprint

    def never(*_: object) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(synth, "make", never)
    assert synth.corpus(["hello", "cicada"], plan=SMALL, cache=cache).fingerprint == corpus.fingerprint


def test_the_full_plan_holds_voices_that_exist_and_keeps_relatives_together(espeak):
    import espeakng_loader

    known = {path.name for path in Path(espeakng_loader.get_data_path(), "voices", "!v").iterdir()}
    chosen = [voice for split in SPLITS for voice in voices.ESPEAK_VOICES[split]]
    assert len(set(chosen)) == len(chosen) and set(chosen) <= known
    assert len(voices.ESPEAK_VOICES["test"]) >= 10 and len(voices.ESPEAK_VOICES["validation"]) >= 10
    for family in ("klatt", "steph", "iven", "gene", "edward", "mike"):
        sides = {
            s for s in SPLITS for v in voices.ESPEAK_VOICES[s] if v.lower().rstrip("0123456789") == family
        }
        assert len(sides) == 1
    # Voices of different splits are different sound, not one voice under two names.
    sounds = defaultdict(set)
    for split in SPLITS:
        for voice in voices.ESPEAK_VOICES[split]:
            sounds[espeak.render("seven", "en", voice, **SAY).tobytes()].add(split)
    assert all(len(splits) == 1 for splits in sounds.values())


def test_every_accent_speaks(espeak):
    spoken = [espeak.render("water", accent, "m1", **SAY) for accent in voices.ACCENTS]
    assert all(0.2 < len(pcm) / espeak.rate < 1.2 and np.abs(pcm.astype(int)).max() > 3000 for pcm in spoken)


def test_pitch_and_rate_do_what_they_say(espeak):
    slow, fast = (espeak.render("seven", "en", "m1", **{**SAY, "rate": rate}) for rate in (100, 300))
    assert len(slow) > 1.3 * len(fast)

    def melody(pitch: int) -> float:
        """Pitch in Hz of the loudest tenth of a second, by autocorrelation."""
        pcm = espeak.render("arm", "en", "adam", rate=120, pitch=pitch, span=10, seed=1).astype(float)
        size = espeak.rate // 10
        loudest = np.convolve(pcm**2, np.ones(size), "valid").argmax()
        part = pcm[loudest : loudest + size]
        alike = np.correlate(part, part, "full")[size - 1 :]
        shortest = espeak.rate // 400
        return espeak.rate / (shortest + alike[shortest : espeak.rate // 50].argmax())

    assert melody(90) > 1.2 * melody(10)


def test_the_same_seed_gives_the_same_speech_whatever_was_said_before(tmp_path):
    first = voices.Espeak(tmp_path).render("yes", "en-us", "Reed", **SAY)
    busy = voices.Espeak(tmp_path)
    busy.render("something else entirely", "en", "f1", **SAY)
    assert np.array_equal(voices.Espeak(tmp_path).render("yes", "en-us", "Reed", **SAY), first)


def test_unknown_variants_are_refused_not_replaced_by_the_plain_voice(espeak):
    with pytest.raises(UserError, match="'nobody'"):
        espeak.render("yes", "en", "nobody", **SAY)
    with pytest.raises(UserError, match="'xx-klingon'"):
        espeak.render("yes", "xx-klingon", "m1", **SAY)


def test_the_neural_voice_speaks_without_network(monkeypatch):
    import hibari.voices

    def never(*_: object) -> None:
        raise AssertionError("downloaded")

    monkeypatch.setattr(hibari.voices, "download", never)
    neural = voices.Neural()
    slow, fast = (neural.render("cicada.", speed=speed, seed=1) for speed in (0.8, 1.4))
    assert slow.dtype == np.int16 and len(slow) > 1.2 * len(fast) and np.abs(slow.astype(int)).max() > 2000


# ---- which other words


def test_distance_known_answers():
    cases = [("kitten", "sitting", 3), ("", "abc", 3), ("abc", "abc", 0), ("flaw", "lawn", 2)]
    assert all(wordlist.distance(a, b) == wordlist.distance(b, a) == count for a, b, count in cases)


@pytest.mark.parametrize("wanted", [["yes", "no"], ["write", "too"], ["cicada"], ["hey_cicada", "for"]])
def test_other_words_are_near_and_everyday_but_never_sound_the_same(espeak, wanted):
    def phonemes(word: str) -> str:
        return espeak.phonemes(word.replace("_", " "))

    other = wordlist.others(wanted, phonemes, 30)
    assert len(other) == len(set(other)) == 30
    sounds = [phonemes(word) for word in other]
    assert len(set(sounds)) == 30 and not set(sounds) & {phonemes(word) for word in wanted}


def test_homophones_and_neighbours_by_name(espeak):
    near = wordlist.others(["yes", "no"], espeak.phonemes, 30)
    assert {"guess", "low"} <= set(near) and "know" not in near and "no" not in near
    assert not {"right", "write"} & set(wordlist.others(["write"], espeak.phonemes, 30))


# ---- refusals


def test_a_word_longer_than_a_second_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="'incomprehensibilities' takes longer"):
        synth.corpus(["incomprehensibilities"], plan=SMALL, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_takes_too_long_is_hurried_then_refused_or_cut():
    def speaker(samples: int):
        return lambda text, how, hurry: (np.full(int(samples / hurry), 5000, np.int16), 16000.0)

    rng = np.random.default_rng(1)
    assert len(speaking.utter("well", speaker(25000), rng, 15040)) == pytest.approx(25000 / 1.7, abs=2)
    with pytest.raises(UserError, match="'well' takes longer than the 1 s"):
        speaking.utter("well", speaker(40000), rng, 15040)
    assert len(speaking.utter("well", speaker(40000), rng, 15040, cut=True)) == 15040
    with pytest.raises(UserError, match="cannot be spoken"):
        speaking.utter("hm", lambda *_: (np.zeros(100, np.int16), 16000.0), rng, 15040)


def test_a_missing_library_is_said(tmp_path, monkeypatch):
    import espeakng_loader

    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "gone.so"))
    with pytest.raises(UserError, match="espeak-ng cannot be loaded"):
        voices.Espeak(tmp_path)


class Crash:
    """A function for a worker process, which reads address 0 there, as a fault in the C library would."""

    def __reduce__(self):
        return ctypes.string_at, (0,)


def test_a_crash_of_the_library_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(synth, "_others", Crash())
    with pytest.raises(UserError, match="crashed"):
        synth.corpus(["yes"], plan=SMALL, cache=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_record_keeps_the_whole_word():
    spoken = 10000 * np.sin(np.arange(12000) / 5)
    for seed in range(20):
        pcm = speaking.record(spoken, np.random.default_rng(seed), audio.RATE)
        loud = np.flatnonzero(np.abs(pcm.astype(int)) > np.abs(pcm.astype(int)).max() / 2)
        assert pcm.shape == (audio.RATE,) and loud[-1] - loud[0] > 11900
