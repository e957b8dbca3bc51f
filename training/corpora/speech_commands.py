"""Folders in the layout of Google's Speech Commands data set.

``<word>/<speaker>_nohash_<n>.wav`` (or .flac, .ogg) and ``_background_noise_/*.wav``, with the split from, in
this order: ``manifest.csv`` (columns path, word, speaker, split), ``validation_list.txt`` with
``testing_list.txt``, or the hash of the speaker. Layout, lists and hash rule: P. Warden, "Speech Commands: A
Dataset for Limited-Vocabulary Speech Recognition", arXiv:1804.03209, and the README.md in its archive.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from cicada.tools import audio
from cicada.tools.errors import UserError, from_os_error
from cicada.training.corpora import noise
from cicada.training.corpora.base import SPLITS, Clip, Corpus, check_counts, check_speakers, fingerprint

BACKGROUND = "_background_noise_"
MANIFEST = "manifest.csv"
#: Optional file with one line that says what the recordings are, where they are not real speech.
SOURCE = "source.txt"
# The constant of the published rule: an upper bound for clips of one word, for a stable percentage.
_HASH_RANGE = 2**27 - 1
_NAME = re.compile(r"(?P<speaker>.+?)_nohash_\d+")
# Folders that are no words. `silence` is cut from the background files by those who make such subsets.
_NOT_WORDS = {"silence"}
_SPLIT_NAMES = {split: split for split in SPLITS} | {"training": "train", "testing": "test"}
#: Shares of each background file by split, and the unused seconds between them.
BACKGROUND_SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
BACKGROUND_GAP_S = 1.0
_LAYOUT = (
    f"expected <word>/<speaker>_nohash_<n>.wav (or .flac, .ogg), {BACKGROUND}/ and, if you like, {MANIFEST};"
    " see docs/data.md"
)


def hash_split(name: str, validation: float = 10.0, testing: float = 10.0) -> str:
    """Split of a clip by the rule published with Speech Commands.

    SHA-1 of the file name before ``_nohash_``, taken modulo 2^27 and scaled to a percentage: below
    ``validation`` is validation, below ``validation + testing`` is test, the rest is train. It depends on the
    speaker alone, so new recordings never move old ones.
    """
    speaker = PurePosixPath(name).name.split("_nohash_")[0]
    number = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (_HASH_RANGE + 1)
    percentage = number * (100.0 / _HASH_RANGE)
    if percentage < validation:
        return "validation"
    return "test" if percentage < validation + testing else "train"


def read(folder: Path, words: Sequence[str], *, seed: int = 1) -> Corpus:
    """Open a folder of recordings for the wanted ``words`` (already checked).

    Args:
        folder: the data set.
        words: wanted words.
        seed: for backgrounds that must be generated because the folder has none.

    Raises:
        UserError: see :func:`cicada.training.corpora.open_corpus`.
    """
    try:
        clips, noises, state = _contents(folder)
        check_counts(clips, words, str(folder))
        backgrounds = _backgrounds(noises)
        for split in SPLITS:
            if not backgrounds[split]:
                backgrounds[split] = list(noise.backgrounds(split, seed).values())
        note = folder / SOURCE
        source = note.read_text(encoding="utf-8").strip() if note.is_file() else ""
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error
    speakers = len({clip.speaker for clip in clips})
    return Corpus(
        source=source or f"Speech Commands folder (real speech, {speakers} speakers)",
        words=tuple(words),
        clips=clips,
        backgrounds=backgrounds,
        # Generated backgrounds change with the seed, recorded ones do not.
        fingerprint=fingerprint(words, [*state, None if noises else seed]),
    )


def contents(folder: Path) -> tuple[list[Clip], dict[str, list[np.ndarray]], list[object]]:
    """All clips of a folder, its backgrounds by split, and what a fingerprint of it must depend on.

    Nothing is said of a vocabulary: this is for folders that add to a corpus.

    Raises:
        UserError: the folder is missing, empty, of another layout, or has a speaker in two splits.
    """
    try:
        clips, noises, state = _contents(folder)
        return clips, _backgrounds(noises), state
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error


def _contents(folder: Path) -> tuple[list[Clip], list[Path], list[object]]:
    """Clips, background files, and the state of both."""
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name a folder of recordings ({_LAYOUT})")
    clips = sorted(_clips(folder), key=lambda clip: clip.path)
    if not clips:
        raise UserError(f"{folder} has no recordings of words: {_LAYOUT}")
    check_speakers(clips, str(folder))
    noises = _audio_files(folder / BACKGROUND)
    return clips, noises, _state(folder, clips, noises)


def _clips(folder: Path) -> Iterator[Clip]:
    if (folder / MANIFEST).is_file():
        yield from _from_manifest(folder)
        return
    listed = _lists(folder)
    for word_folder in sorted(_folders(folder)):
        if word_folder.name.startswith("_") or word_folder.name.lower() in _NOT_WORDS:
            continue
        for path in _audio_files(word_folder):
            match = _NAME.fullmatch(path.stem)
            if not match:
                raise UserError(
                    f"{path} does not name its speaker: call it <speaker>_nohash_<n>{path.suffix}, or list"
                    f" path, word, speaker and split of each recording in {folder / MANIFEST}"
                )
            key = f"{word_folder.name}/{path.stem}"
            split = hash_split(path.name) if listed is None else listed.get(key, "train")
            yield Clip(path, word_folder.name.lower(), match["speaker"], split)


def _from_manifest(folder: Path) -> Iterator[Clip]:
    manifest = folder / MANIFEST
    seen: set[str] = set()
    # One listing a folder instead of one look-up a file: the manifest may name a hundred thousand.
    present: dict[str, set[str]] = {}
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            lacking = {"path", "word", "speaker", "split"} - set(rows.fieldnames or ())
            if lacking:
                raise UserError(
                    f"{manifest} lacks the column {', '.join(sorted(lacking))}: add it to its first line"
                )
            for row in rows:
                where = f"{manifest} line {rows.line_num}"
                if any(row[column] is None for column in ("path", "word", "speaker", "split")):
                    raise UserError(f"{where} has too few columns: give path, word, speaker and split")
                name, word = row["path"].strip(), row["word"].strip().lower()
                inside = PurePosixPath(name)
                if not name or inside.is_absolute() or ".." in inside.parts:
                    raise UserError(
                        f"{where} names '{name}': paths are relative to {folder} and stay inside it"
                    )
                if word.startswith("_") or word in _NOT_WORDS or inside.parts[0] == BACKGROUND:
                    continue
                split = _SPLIT_NAMES.get(row["split"].strip().lower())
                if split is None:
                    raise UserError(f"{where} has the split '{row['split']}': use {', '.join(SPLITS)}")
                speaker = row["speaker"].strip()
                if not word or not speaker:
                    raise UserError(
                        f"{where} lacks its {'speaker' if word else 'word'}: fill it in or delete the line"
                    )
                if name in seen:
                    raise UserError(f"{where} names {name} for the second time: list each recording once")
                seen.add(name)
                parent = str(inside.parent)
                if parent not in present:
                    directory = folder / parent
                    present[parent] = set(os.listdir(directory)) if directory.is_dir() else set()
                if inside.name not in present[parent]:
                    raise UserError(
                        f"{where} names {name}, which is not in {folder}: add the file or delete the line"
                    )
                yield Clip(folder / inside, word, speaker, split)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{manifest} is not a CSV file in UTF-8 ({error}): save it again as such") from error


def _lists(folder: Path) -> dict[str, str] | None:
    """Split by ``word/stem`` from the official list files, or None where there are none."""
    files = {folder / "validation_list.txt": "validation", folder / "testing_list.txt": "test"}
    present = [path for path in files if path.is_file()]
    if not present:
        return None
    if len(present) == 1:
        (lacking,) = set(files) - set(present)
        raise UserError(f"{folder} has {present[0].name} but not {lacking.name}: add it, or remove both")
    splits: dict[str, str] = {}
    for path in present:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} is not text in UTF-8: take it from the data set's archive again"
            ) from error
        for line in filter(None, map(str.strip, lines)):
            # Without the ending: the same list serves the archive's WAV files and a FLAC copy of them.
            splits[str(PurePosixPath(line).with_suffix(""))] = files[path]
    return splits


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _audio_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    # Names with a leading dot are other systems' droppings (._x.wav), not recordings.
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in audio.SUFFIXES and path.name[0] != "."
    )


def _backgrounds(files: Sequence[Path]) -> dict[str, list[np.ndarray]]:
    """Cut each file by time into the splits."""
    backgrounds: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for path in files:
        for split, part in cut_background(audio.load(path)).items():
            backgrounds[split].append(part)
    return backgrounds


def cut_background(pcm: np.ndarray) -> dict[str, np.ndarray]:
    """Cut one noise recording by time into a part for each split, 60/20/20 %, 1 s apart.

    A recording too short for 1 s in every split goes to training as a whole, or, below 1 s, nowhere.

    Args:
        pcm: ``int16[n]`` at 16 kHz.
    """
    gap = round(BACKGROUND_GAP_S * audio.RATE)
    usable = len(pcm) - gap * (len(SPLITS) - 1)
    if usable * min(BACKGROUND_SHARES.values()) < audio.RATE:
        return {"train": pcm} if len(pcm) >= audio.RATE else {}
    parts: dict[str, np.ndarray] = {}
    start = 0
    for split, length in _background_lengths(usable).items():
        parts[split] = pcm[start : start + length]
        start += length + gap
    return parts


def _background_lengths(usable: int) -> dict[str, int]:
    """Samples of each split; the last one has what rounding leaves over."""
    lengths = {split: round(usable * BACKGROUND_SHARES[split]) for split in SPLITS[:-1]}
    return lengths | {SPLITS[-1]: usable - sum(lengths.values())}


def join_background(parts: Mapping[str, np.ndarray]) -> np.ndarray:
    """One recording that :func:`cut_background` cuts into just these ``parts``, silent in between.

    Args:
        parts: for each split ``int16[n]``; their lengths must be in the proportion of the shares.
    """
    lengths = _background_lengths(sum(map(len, parts.values())))
    if any(len(parts[split]) != lengths[split] for split in SPLITS):
        raise ValueError(f"background parts must be in the proportion {BACKGROUND_SHARES}")
    gap = np.zeros(round(BACKGROUND_GAP_S * audio.RATE), np.int16)
    pieces = [piece for split in SPLITS for piece in (parts[split], gap)]
    return np.concatenate(pieces[:-1])


def _state(folder: Path, clips: Sequence[Clip], noises: Sequence[Path]) -> list[object]:
    """What the fingerprint depends on: every file's name, size, time of change, word, speaker and split."""

    def stamp(path: Path) -> tuple[str, int, int]:
        status = path.stat()
        return path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns

    return [
        [(*stamp(clip.path), clip.word, clip.speaker, clip.split) for clip in clips],
        [stamp(path) for path in noises],
        [BACKGROUND_SHARES, BACKGROUND_GAP_S],
    ]
