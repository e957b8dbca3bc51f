"""The corpus that a keyword recipe asks for: recordings or synthesis, more recordings, more noise."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from cicada.tools import audio
from cicada.tools.errors import UserError, from_os_error
from cicada.training.corpora import speech_commands
from cicada.training.corpora.base import Corpus, check_speakers, check_words, fingerprint
from cicada.training.recipe import AudioFrontEnd, Speech

# Takes of one recording: 1-211527-B.flac, 1-211527-B-20.wav (ESC-50), rain_3.wav. They share their sound.
_TAKE = re.compile(r"[-_ ](?:[A-Z](?:[-_]\d+)?|\d{1,3})$")
#: Shares in percent of the noise files that go to validation and to test.
NOISE_SHARES = {"validation": 20.0, "testing": 20.0}


def open_speech(speech: Speech, frontend: AudioFrontEnd, data: Path | None, seed: int) -> Corpus:
    """Open what a recipe's ``corpus`` names.

    Args:
        speech: the table.
        frontend: its ``frames`` say how long a synthesised clip is, and how long a phrase may take.
        data: the command line's folder. It replaces ``folder``; beside ``synthesis`` it is one more folder of
            recordings.
        seed: of whatever is generated.

    Raises:
        UserError: no folder is named, one is missing, empty, of another layout or leaks a speaker from one
            split into another, too few clips of a word, or a phrase that cannot be spoken in time.
    """
    words = check_words(speech.words)
    strange = sorted(set(speech.said) - set(words))
    if strange:
        raise UserError(f"`said` tells how to read '{strange[0]}', which is not in `words`: add or remove it")
    extra = [Path(name) for name in speech.recordings]
    if speech.kind == "folder":
        folder = data or (Path(speech.folder) if speech.folder else None)
        if folder is None:
            raise UserError(
                "the recipe has recordings as its corpus and names no folder: give --data, or `folder` in"
                " `corpus`"
            )
        opened = speech_commands.read(folder, words, seed=seed)
    else:
        # Only this branch needs the speech synthesisers.
        from cicada.training.corpora import synth

        opened = synth.corpus(words, seed=seed, plan=synth.plan_for(speech, frontend))
        extra += [data] if data else []
    for folder in extra:
        _add_recordings(opened, folder)
    for name in speech.noise:
        _add_noise(opened, Path(name))
    return opened


def _add_recordings(corpus: Corpus, folder: Path) -> None:
    """Add a folder's clips to a corpus, whatever their number; its backgrounds come along."""
    clips, backgrounds, state = speech_commands.contents(folder)
    # Two folders may call different people alike ("speaker1"); the same person in two splits is worse, so
    # equal names are one person.
    check_speakers([*corpus.clips, *clips], f"{folder}, with the rest of the corpus,")
    corpus.clips += clips
    for split, parts in backgrounds.items():
        corpus.backgrounds[split] += parts
    speakers = len({clip.speaker for clip in clips})
    corpus.source += f" and {folder.name} ({speakers} speakers)"
    corpus.fingerprint = fingerprint(corpus.fingerprint, state)


def _add_noise(corpus: Corpus, folder: Path) -> None:
    """Add a folder of noises (with sub-folders) to a corpus's backgrounds, each recording in one split."""
    try:
        if not folder.is_dir():
            raise UserError(f"there is no folder {folder}: `noise` must name folders of recordings")
        files = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in audio.SUFFIXES and not path.name.startswith(".")
        )
        state = [
            (str(path.relative_to(folder)), path.stat().st_size, path.stat().st_mtime_ns) for path in files
        ]
    except OSError as error:
        raise from_os_error(error, f"reading {folder}") from error
    if not files:
        raise UserError(f"{folder} has no noise ({', '.join(audio.SUFFIXES)}): put recordings there")
    for path in files:
        pcm = audio.load(path)
        # What is shorter is repeated, so that every background can fill a scene.
        count = max(len(pcm), audio.RATE)
        corpus.backgrounds[noise_split(path)].append(np.resize(pcm, count))
    corpus.fingerprint = fingerprint(corpus.fingerprint, "noise", state)


def noise_split(path: Path) -> str:
    """Split of a noise file, by the hash of its name without the number or letter of a take.

    Several takes are often cut from one recording (in ESC-50 the letter of ``1-211527-B-20.wav``; see
    K. J. Piczak, "ESC: Dataset for Environmental Sound Classification", 2015), so they stay together.
    """
    recording = _TAKE.sub("", path.stem)
    return speech_commands.hash_split(
        f"{recording}_nohash_0", NOISE_SHARES["validation"], NOISE_SHARES["testing"]
    )
