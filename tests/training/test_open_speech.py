"""The corpus of a keyword recipe: which folders count, what they add, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training.corpora import SPLITS, open_speech, synth
from cicada.training.corpora.speech import noise_split
from cicada.training.recipe import AudioFrontEnd, Speech

FEW = synth.Plan(
    wanted={"train": 20, "validation": 5, "test": 5},
    neural=1,
    others=20,
    variants={"train": ("f1",), "validation": ("f2",), "test": ("f4",)},
    noise_s=6,
)


def speech(**more) -> Speech:
    return Speech(**{"kind": "folder", "words": ("yes",), **more})


def opened(asked: Speech, data: Path | None = None, seed: int = 1):
    return open_speech(asked, AudioFrontEnd(), data, seed)


def refused(asked: Speech, data: Path | None = None) -> str:
    with pytest.raises(UserError) as error:
        opened(asked, data)
    assert "\n" not in str(error.value)
    return str(error.value)


def added(folder: Path, speaker: str = "maria", word: str = "yes") -> Path:
    """One recording of one person, who is in training by the hash of the name."""
    (folder / word).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(speaker)).integers(-900, 900, 16000).astype(np.int16)
    soundfile.write(folder / word / f"{speaker}_nohash_0.wav", noise, 16000)
    return folder


def test_the_command_line_comes_before_the_recipes_folder(corpus_folder, tmp_path):
    folder = corpus_folder()
    by_recipe = opened(speech(folder=str(folder)))
    by_data = opened(speech(folder=str(tmp_path / "nowhere")), folder)
    assert by_recipe.clips == by_data.clips and by_recipe.fingerprint == by_data.fingerprint
    assert "--data" in refused(speech()) and "no folder" in refused(speech(), tmp_path / "nowhere")


def test_recordings_add_clips_of_any_number_and_change_the_fingerprint(corpus_folder, tmp_path):
    folder, extra = corpus_folder(), added(tmp_path / "mine")
    plain, more = (opened(speech(recordings=list), folder) for list in ((), (str(extra),)))
    assert len(more.clips) == len(plain.clips) + 1
    assert {clip.speaker for clip in more.clips} - {clip.speaker for clip in plain.clips} == {"maria"}
    assert more.fingerprint != plain.fingerprint and "mine (1 speakers)" in more.source


def test_a_person_may_not_be_in_two_splits_of_two_folders(corpus_folder, tmp_path):
    extra = added(tmp_path / "mine", "test03")
    (extra / "manifest.csv").write_text("path,word,speaker,split\nyes/test03_nohash_0.wav,yes,test03,train\n")
    message = refused(speech(recordings=(str(extra),)), corpus_folder())
    assert "'test03' in two splits" in message


def test_noise_folders_join_the_backgrounds_each_file_once(corpus_folder, tmp_path):
    rng = np.random.default_rng(3)
    for number in range(40):
        path = tmp_path / "noise" / f"kind{number % 3}" / f"sound{number * 7919}x.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.integers(-900, 900, 12000).astype(np.int16), 16000)
    folder = corpus_folder()
    plain = opened(speech(), folder)
    noisy = opened(speech(noise=(str(tmp_path / "noise"),)), folder)
    new = {split: noisy.backgrounds[split][len(plain.backgrounds[split]) :] for split in SPLITS}
    assert sum(map(len, new.values())) == 40 and all(len(parts) >= 3 for parts in new.values())
    # Each is filled up to a second, and no two splits have the same sound.
    assert all(len(pcm) == 16000 for parts in new.values() for pcm in parts)
    sounds = [{pcm.tobytes() for pcm in new[split]} for split in SPLITS]
    assert len(set.union(*sounds)) == 40
    assert noisy.fingerprint != plain.fingerprint


def test_takes_of_one_recording_stay_together():
    for names in (("1-211527-A", "1-211527-B", "1-211527-C-20"), ("rain_1", "rain_2", "rain_13")):
        assert len({noise_split(Path(f"{name}.flac")) for name in names}) == 1


@given(st.text("abcdefgh0123456789", min_size=6, max_size=12), st.sampled_from([".wav", ".flac"]))
def test_a_noises_split_depends_on_its_name_alone(name, suffix):
    assert noise_split(Path(name + suffix)) == noise_split(Path("elsewhere") / f"{name}.ogg")


def test_noise_shares():
    splits = [noise_split(Path(f"n{number * 104729}x.wav")) for number in range(3000)]
    shares = {split: splits.count(split) / 3000 for split in SPLITS}
    assert shares == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.03)


def test_folders_without_noise_or_recordings_are_refused(corpus_folder, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    folder = corpus_folder()
    assert "has no noise" in refused(speech(noise=(str(empty),)), folder)
    assert "no folder" in refused(speech(noise=(str(tmp_path / "gone"),)), folder)
    assert "has no recordings" in refused(speech(recordings=(str(empty),)), folder)
    (empty / "broken.wav").write_bytes(b"RIFF and no more")
    assert "broken.wav" in refused(speech(noise=(str(empty),)), folder)


def test_synthesis_takes_its_amounts_from_the_recipe():
    asked = speech(kind="synthesis", words=("hey_cicada",), clips=7, others=12)
    plan = synth.plan_for(asked, AudioFrontEnd(frames=60))
    assert plan.wanted["train"] == 7 and plan.others == 12 and plan.length == 61 * 320
    assert synth.plan_for(asked, AudioFrontEnd()).length == 16000


def test_a_phrase_longer_than_a_second_is_synthesised_with_recordings_beside_it(tmp_path, monkeypatch):
    monkeypatch.setattr(synth.stages, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(synth, "plan_for", lambda *_: replace(FEW, length=19520))
    phrase = "good_morning_cicada"
    asked = speech(kind="synthesis", words=(phrase,))
    corpus = open_speech(asked, AudioFrontEnd(frames=60), added(tmp_path / "mine", word=phrase), 1)
    assert corpus.counts()[phrase, "train"] == 21
    spoken = [clip.load() for clip in corpus.clips if clip.speaker != "maria"]
    assert {len(pcm) for pcm in spoken} == {19520}


def test_half_of_a_wake_words_others_sound_like_it_however_it_is_read(tmp_path):
    (tmp_path / ".scratch").mkdir()
    said = {"hey_cicada": ("hey cicada", "hey sikada")}
    asked = speech(kind="synthesis", words=("hey_cicada",), said=said, others=40)
    plan = synth.plan_for(asked, AudioFrontEnd())
    alike, everyday = synth._others(tmp_path, asked.words, plan)
    assert len(alike) == len(everyday) == 20 and len({*alike, *everyday}) == 40
    assert not {"hey_cicada", "hey_sikada"} & {*alike, *everyday}
    assert {"hey", "cicada", "sikada"} <= set(alike) and {"left", "right", "happy"} <= set(everyday)
    # Settings are chosen on what is heard all day.
    for task in synth._tasks(asked.words, alike, everyday, plan):
        said = {word for word, _ in task.words}
        assert said == {*asked.words, *everyday, *(alike if task.split == "train" else ())}


def test_a_way_to_read_a_word_that_is_not_wanted_is_refused():
    message = refused(speech(kind="synthesis", said={"hey_sonata": ("hey sonata",)}))
    assert "'hey_sonata'" in message
