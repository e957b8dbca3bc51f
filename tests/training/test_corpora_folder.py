"""Folders of recordings: layouts, splits, leaks, and what is said of folders that will not do."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.training.corpora import SPLITS, open_corpus, speech_commands

WORDS = ["yes", "no"]


def rewrite(folder: Path, change) -> None:
    """Change the lines of the manifest, its head included."""
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(change(manifest.read_text().splitlines())) + "\n")


def refused(folder: Path | None, words=WORDS) -> str:
    with pytest.raises(UserError) as error:
        open_corpus(folder, words)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_folder_with_a_manifest(corpus_folder, suffix):
    folder = corpus_folder(suffix=suffix)
    corpus = open_corpus(folder, WORDS)
    assert corpus.words == ("yes", "no")
    assert corpus.counts() == {
        (word, split): count
        for word in ("yes", "no", "cat")
        for split, count in (("train", 20), ("validation", 5), ("test", 5))
    }
    assert corpus.source == "Speech Commands folder (real speech, 30 speakers)"
    clip = next(clip for clip in corpus.clips if clip.path.name.startswith("test03") and clip.word == "no")
    assert (clip.speaker, clip.split) == ("test03", "test")
    pcm = clip.load()
    assert pcm.dtype == np.int16 and pcm.shape == (1600,)


def test_clips_outside_the_manifest_and_folders_that_are_no_words_are_ignored(corpus_folder):
    folder = corpus_folder()
    rewrite(folder, lambda lines: [*lines, "silence/silence_0000.flac,_silence_,pink_noise,train"])
    (folder / "dog").mkdir()
    soundfile.write(folder / "dog" / "someone_nohash_0.wav", np.zeros(100), 16000)
    assert {clip.word for clip in open_corpus(folder, WORDS).clips} == {"yes", "no", "cat"}


def test_without_manifest_the_official_hash_decides(corpus_folder):
    folder = corpus_folder(speakers={"a": 150, "b": 150})
    (folder / "manifest.csv").unlink()
    (folder / "silence").mkdir()
    soundfile.write(folder / "silence" / "silence_0000.wav", np.zeros(100), 16000)
    (folder / "cat" / "._a00_nohash_0.wav").write_bytes(b"another system's droppings")
    (folder / "cat" / "notes.txt").write_text("not a recording")
    corpus = open_corpus(folder, WORDS)
    assert len(corpus.clips) == 900
    assert {clip.word for clip in corpus.clips} == {"yes", "no", "cat"}
    for clip in corpus.clips:
        assert clip.split == speech_commands.hash_split(clip.path.name)
        assert clip.path.name.startswith(clip.speaker + "_nohash_")


def test_list_files_decide_also_for_a_flac_copy(corpus_folder):
    folder = corpus_folder(suffix=".flac")
    (folder / "manifest.csv").unlink()
    for name, split in (("validation_list.txt", "validation"), ("testing_list.txt", "test")):
        lines = [f"{w}/{split}{n:02}_nohash_0.wav" for w in ("yes", "no", "cat") for n in range(5)]
        (folder / name).write_text("\n".join(lines) + "\n")
    assert all(clip.speaker.startswith(clip.split) for clip in open_corpus(folder, WORDS).clips)
    (folder / "testing_list.txt").unlink()
    assert "testing_list.txt" in refused(folder)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        # An entry of the archive's validation_list.txt, and speakers of its testing_list.txt.
        ("right/a69b9b3e_nohash_0.wav", "validation"),
        ("a69b9b3e_nohash_4.flac", "validation"),
        ("bb05582b_nohash_3.wav", "test"),
        ("3b4f8f24_nohash_0.wav", "test"),
    ],
)
def test_hash_rule_known_answers(name, split):
    assert speech_commands.hash_split(name) == split


@given(st.text("0123456789abcdef", min_size=8, max_size=8), st.integers(0, 99))
def test_hash_rule_depends_on_the_speaker_alone(speaker, number):
    split = speech_commands.hash_split(f"{speaker}_nohash_0.wav")
    assert split == speech_commands.hash_split(f"word/{speaker}_nohash_{number}.flac")


def test_hash_rule_shares():
    splits = [speech_commands.hash_split(f"{n:08x}_nohash_0.wav") for n in range(5000)]
    shares = {split: splits.count(split) / 5000 for split in SPLITS}
    assert shares == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.015)


def test_the_shared_recordings(shared_data):
    corpus = open_corpus(shared_data / "speech_commands", WORDS)
    counts = corpus.counts()
    assert [counts["yes", split] for split in SPLITS] == [187, 42, 38]
    assert [counts["no", split] for split in SPLITS] == [189, 35, 38]
    assert corpus.source == "Speech Commands folder (real speech, 857 speakers)"
    assert all(len(corpus.backgrounds[split]) == 5 for split in SPLITS)
    # Most of these clips were taken from the test side of the official rule: by chance it would be a tenth.
    yes = [clip for clip in corpus.clips if clip.word == "yes"]
    assert sum(speech_commands.hash_split(clip.path.name) == "test" for clip in yes) > 0.95 * len(yes)


# ---- leaks


def test_a_speaker_in_two_splits_is_refused(corpus_folder):
    folder = corpus_folder()
    rewrite(folder, lambda lines: [line.replace(",test01,", ",train03,") for line in lines])
    message = refused(folder)
    assert "'train03'" in message and "two splits" in message


def test_a_leak_in_list_files_is_refused(corpus_folder):
    folder = corpus_folder()
    (folder / "manifest.csv").unlink()
    (folder / "validation_list.txt").write_text("yes/train00_nohash_0.wav\n")
    (folder / "testing_list.txt").write_text("")
    assert "'train00'" in refused(folder)


def test_backgrounds_share_no_sound(corpus_folder):
    folder = corpus_folder()
    whole, _ = soundfile.read(folder / "_background_noise_" / "hiss.wav", dtype="int16")
    parts = {split: pcms[0] for split, pcms in open_corpus(folder, WORDS).backgrounds.items()}
    assert {split: len(pcm) / 16000 for split, pcm in parts.items()} == {
        "train": 6,
        "validation": 2,
        "test": 2,
    }
    ends = []
    for split in SPLITS:
        start = next(i for i in range(len(whole)) if np.array_equal(whole[i : i + 50], parts[split][:50]))
        assert np.array_equal(whole[start : start + len(parts[split])], parts[split])
        ends.append((start, start + len(parts[split])))
    assert all(following[0] - before[1] == 16000 for before, following in zip(ends, ends[1:], strict=False))


@given(seconds=st.floats(0, 40))
def test_background_parts_are_at_least_a_second_and_apart(seconds):
    pcm = np.arange(int(seconds * 16000)) % 30000
    parts = speech_commands.cut_background(pcm)
    assert all(len(part) >= 16000 for part in parts.values())
    assert set(parts) in (set(), {"train"}, set(SPLITS))
    assert sum(map(len, parts.values())) <= len(pcm)
    if len(parts) == 3:
        again = speech_commands.cut_background(speech_commands.join_background(parts))
        assert all(np.array_equal(again[split], parts[split]) for split in SPLITS)


def test_backgrounds_are_generated_where_there_are_none(corpus_folder):
    folder = corpus_folder()
    (folder / "_background_noise_" / "hiss.wav").unlink()
    one, again, other = (open_corpus(folder, WORDS, seed=seed) for seed in (1, 1, 2))
    for split in SPLITS:
        assert one.backgrounds[split] and all(len(pcm) >= 16000 for pcm in one.backgrounds[split])
        for pcm, same in zip(one.backgrounds[split], again.backgrounds[split], strict=True):
            assert pcm.dtype == np.int16 and np.abs(pcm).max() > 100 and np.array_equal(pcm, same)
    assert not np.array_equal(one.backgrounds["train"][0], other.backgrounds["train"][0])
    assert one.fingerprint == again.fingerprint != other.fingerprint


# ---- the fingerprint


def test_fingerprint_changes_with_data_split_and_vocabulary_only(corpus_folder):
    folder = corpus_folder(speakers={"train": 21, "validation": 5, "test": 5})
    first = open_corpus(folder, WORDS).fingerprint
    assert open_corpus(folder, WORDS).fingerprint == first
    (folder / "README.txt").write_text("a note")
    assert open_corpus(folder, WORDS).fingerprint == first
    seen = {first, open_corpus(folder, ["no", "yes"]).fingerprint, open_corpus(folder, ["yes"]).fingerprint}
    assert len(seen) == 3
    clip = folder / "yes" / "train00_nohash_0.wav"
    os.utime(clip, ns=(1, 1))
    seen.add(open_corpus(folder, WORDS).fingerprint)
    soundfile.write(clip, np.zeros(5), 16000)
    os.utime(clip, ns=(1, 1))
    seen.add(open_corpus(folder, WORDS).fingerprint)
    rewrite(folder, lambda lines: [line.replace("train00,train", "train00,validation") for line in lines])
    seen.add(open_corpus(folder, WORDS).fingerprint)
    os.utime(folder / "_background_noise_" / "hiss.wav", ns=(1, 1))
    seen.add(open_corpus(folder, WORDS).fingerprint)
    assert len(seen) == 7


# ---- what will not do


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "at least one"),
        (["yes", "yes"], "more than once"),
        (["Yes"], "'Yes'"),
        (["_silence_"], "always exists"),
        (["unknown"], "always exists"),
        (["yes!"], "'yes!'"),
        ([""], "''"),
        (["../etc"], "'../etc'"),
        (["ünder"], "'ünder'"),
        (["fish", "yes"], "choose WORDS from cat, no, yes"),
        (["yes", "no", "cat"], "words outside WORDS"),
    ],
)
def test_words_that_will_not_do(corpus_folder, words, said):
    assert said in refused(corpus_folder(), words)


def test_too_few_clips_are_counted(corpus_folder):
    folder = corpus_folder(speakers={"train": 20, "validation": 4, "test": 5})
    message = refused(folder)
    assert "'yes'" in message and "20 train, 4 validation, 5 test" in message


def test_folders_that_will_not_do(tmp_path):
    assert "there is no folder" in refused(tmp_path / "absent")
    assert "_nohash_" in refused(tmp_path)
    (tmp_path / "yes.wav").write_bytes(b"")
    (tmp_path / "notes").mkdir()
    assert "expected <word>/" in refused(tmp_path)
    assert "there is no folder" in refused(tmp_path / "yes.wav")


def test_a_name_without_speaker_is_named(corpus_folder):
    folder = corpus_folder()
    (folder / "manifest.csv").unlink()
    soundfile.write(folder / "no" / "mine.wav", np.zeros(100), 16000)
    message = refused(folder)
    assert "no/mine.wav" in message and "<speaker>_nohash_<n>.wav" in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("yes/gone_nohash_0.wav,yes,gone,train", "not in"),
        ("elsewhere/x_nohash_0.wav,yes,x,train", "not in"),
        ("../../etc/passwd,yes,x,train", "stay inside"),
        ("/etc/passwd,yes,x,train", "stay inside"),
        ("yes/train00_nohash_0.wav,yes,train00,train", "second time"),
        ("yes/train00_nohash_0.wav,yes,train00,later", "'later'"),
        ("yes/train00_nohash_0.wav,yes,,train", "lacks its speaker"),
        ("yes/train00_nohash_0.wav,yes", "too few columns"),
    ],
)
def test_manifest_lines_that_will_not_do(corpus_folder, line, said):
    folder = corpus_folder()
    rewrite(folder, lambda lines: [*lines, line])
    message = refused(folder)
    assert said in message and "manifest.csv line 92" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "lacks the column path, speaker, split, word"),
        (b"path,word,split\n", "lacks the column speaker"),
        (b"path,word,speaker,split\n\xff\xfe,yes,x,train\n", "UTF-8"),
        (b"path,word,speaker,split\n", "no recordings of words"),
    ],
)
def test_manifests_that_will_not_do(corpus_folder, content, said):
    folder = corpus_folder()
    (folder / "manifest.csv").write_bytes(content)
    assert said in refused(folder)


def test_a_manifest_saved_by_a_spreadsheet_is_read(corpus_folder):
    folder = corpus_folder()
    manifest = folder / "manifest.csv"
    text = manifest.read_text().replace(",train\n", ",Training\n").replace("\n", "\r\n")
    manifest.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_corpus(folder, WORDS).counts()["yes", "train"] == 20
