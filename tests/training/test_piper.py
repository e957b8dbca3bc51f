"""Piper voices: symbols as piper's, any folder of them, the same speech by the same seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cicada.tools.errors import UserError
from cicada.training.corpora import SPLITS, piper, synth, voices
from cicada.training.corpora.speech_commands import hash_split
from support.onnxes import RATE, SAMPLES, write_voice

# What piper-tts 1.8.0 makes of these texts (espeak-ng's en-us, symbols of its en_US voices).
PIPERS_SYMBOLS = {
    "_": [0],
    "^": [1],
    "$": [2],
    " ": [3],
    "!": [4],
    ".": [10],
    "?": [13],
    "d": [17],
    "e": [18],
}
PIPERS_SYMBOLS |= {"h": [20], "j": [22], "k": [23], "m": [25], "n": [26], "s": [31], "v": [34], "ɑ": [51]}
PIPERS_SYMBOLS |= {"ə": [59], "ɛ": [61], "ɪ": [74], "ɹ": [88], "ˈ": [120], "ː": [122], "ᵻ": [128]}
PIPERS_NUMBERS = {
    "hey cicada.": "1 0 20 0 120 0 18 0 74 0 3 0 31 0 128 0 23 0 120 0 18 0 74 0 17 0 59 0 10 0 2",
    "yes!": "1 0 22 0 120 0 61 0 31 0 4 0 2",
    "marvin?": "1 0 25 0 120 0 51 0 122 0 88 0 34 0 74 0 26 0 13 0 2",
}


def opened(folder: Path, scratch: Path, seed: int = 1) -> piper.Piper:
    return piper.Piper(folder, piper.find(folder)[0], voices.Espeak(scratch), seed)


def describe(folder: Path, name: str, **changed: object) -> None:
    path = folder / f"{name}.onnx.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changed), encoding="utf-8")


def test_symbols_are_those_of_piper(tmp_path):
    write_voice(tmp_path / "voices", "hum")
    describe(tmp_path / "voices", "hum", phoneme_id_map=PIPERS_SYMBOLS)
    voice = opened(tmp_path / "voices", tmp_path)
    for text, numbers in PIPERS_NUMBERS.items():
        assert voice.numbers(text) == [int(number) for number in numbers.split()]


def test_speech_is_what_the_model_says_at_full_scale(tmp_path):
    write_voice(tmp_path / "voices", "hum")
    voice = opened(tmp_path / "voices", tmp_path)
    spoken = voice.render("yes.", speed=1.0)
    assert voice.rate == RATE and spoken.dtype == np.int16
    assert len(spoken) == SAMPLES * len(voice.numbers("yes.")) and np.abs(spoken.astype(int)).max() == 32767


def test_voices_and_their_speakers_are_found_by_name(tmp_path):
    write_voice(tmp_path, "b_one")
    write_voice(tmp_path, "a_many", speakers=904)
    found = piper.find(tmp_path)
    assert len(found) == piper.MOST_SPEAKERS + 1 and found[-1] == piper.Voice("b_one", None)
    numbers = [voice.number for voice in found[:-1]]
    assert numbers[0] == 0 and numbers[-1] == 903 and len(set(numbers)) == len(numbers)
    assert found[1].speaker == f"piper-a_many-{numbers[1]}"
    speaker = piper.Piper(tmp_path, found[1], voices.Espeak(tmp_path), 1)
    assert len(speaker.render("yes.", speed=1.0)) > RATE // 10


def few_words(**more) -> synth.Plan:
    """The least that a corpus may be."""
    return synth.Plan(
        wanted={"train": 3, "validation": 5, "test": 5},
        neural=1,
        others=20,
        variants={"train": ("f1",), "validation": ("f2",), "test": ("f4",)},
        noise_s=6,
        **more,
    )


def test_a_folder_of_voices_speaks_in_the_corpus(tmp_path):
    for name, hertz in (("hum0", 180.0), ("hum12", 260.0)):
        write_voice(tmp_path / "voices", name, hertz=hertz)
    plan = few_words(voices=str(tmp_path / "voices"), length=19520)
    first = synth.corpus(["yes"], plan=plan, cache=tmp_path / "one")
    sides = {clip.speaker: clip.split for clip in first.clips if clip.speaker.startswith("piper")}
    # By the hash of its name the second would validate; so few are for training.
    assert sides == {"piper-hum0": "train", "piper-hum12": "train"}
    assert first.source == "synthesised speech (espeak-ng, hibari, Piper), 6 voices"
    assert first.counts()["yes", "train"] == 3 + 2 * 3 * 8
    # The same folder elsewhere is the same corpus; another voice in it is another.
    (tmp_path / "voices").rename(tmp_path / "moved")
    moved = replace(plan, voices=str(tmp_path / "moved"))
    assert synth.corpus(["yes"], plan=moved, cache=tmp_path / "one").fingerprint == first.fingerprint
    write_voice(tmp_path / "moved", "hum12", hertz=300.0)
    assert synth.corpus(["yes"], plan=moved, cache=tmp_path / "one").fingerprint != first.fingerprint


def test_many_speakers_are_split_by_the_hash_of_their_name(tmp_path):
    write_voice(tmp_path, "many", speakers=40)
    tasks = list(synth._tasks(["yes"], [], ["no"], few_words(voices=str(tmp_path))))
    sides = {task.voice.speaker: task.split for task in tasks if isinstance(task.voice, piper.Voice)}
    assert sides == {f"piper-many-{n}": hash_split(f"piper-many-{n}") for n in range(40)}
    assert set(sides.values()) == set(SPLITS)


def test_what_is_no_voice_is_said(tmp_path):
    with pytest.raises(UserError, match="has no voices"):
        piper.find(tmp_path)
    write_voice(tmp_path, "hum")
    describe(tmp_path, "hum", phoneme_type="text")
    with pytest.raises(UserError, match="espeak-ng's phonemes"):
        piper.find(tmp_path)
    for content in ("", "[]", "{}", '{"phoneme_id_map": {}}'):
        (tmp_path / "hum.onnx.json").write_text(content)
        with pytest.raises(UserError, match="no usable description"):
            piper.find(tmp_path)
    (tmp_path / "hum.onnx.json").unlink()
    with pytest.raises(UserError, match="no usable description"):
        piper.find(tmp_path)


def test_a_broken_model_is_said(tmp_path):
    write_voice(tmp_path / "voices", "hum").write_bytes(b"no model")
    with pytest.raises(UserError, match="cannot be loaded"):
        opened(tmp_path / "voices", tmp_path)
