"""Clips to INT8 features, in parallel, with the device's own front end.

Nothing here computes a feature: :mod:`cicada.tools.engine` runs the firmware's C code.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cicada.tools import audio, engine
from cicada.tools.errors import UserError
from cicada.training import progress, scenes
from cicada.training.corpora.base import Clip, Corpus, check_sounds
from cicada.training.recipe import Augment
from cicada.training.windows import CHANNELS, CONTEXT, SECOND, Window

_CLIPS_A_JOB = 24


@dataclass(frozen=True)
class Strips:
    """Training examples, each longer than a model input so that it can be cut at any shift.

    Attributes:
        x: ``int8[n, window.strip, CHANNELS]``; the clip's own window starts at frame ``window.side``.
        y: ``int64[n]``, class.
        span: ``int16[n, 2]``, first frame of the word and the one after its last; -1 without a word.
        word: ``int64[n]``, what was really said: a number for each word of the corpus, 0 for silence.
        window: of the model.
    """

    x: np.ndarray
    y: np.ndarray
    span: np.ndarray
    word: np.ndarray
    window: Window = SECOND


@dataclass(frozen=True)
class Windows:
    """Evaluation examples as the model takes them.

    Attributes:
        x: ``int8[n, frames, CHANNELS]``.
        y: ``int64[n]``, class.
        word: ``str[n]``, what was really said.
        speaker: ``str[n]``, who said it; empty for silence.
    """

    x: np.ndarray
    y: np.ndarray
    word: np.ndarray
    speaker: np.ndarray


def extract(corpus: Corpus, how: Augment, window: Window, seed: int, folder: Path) -> None:
    """Make the examples of all splits and write them to ``folder`` as one .npz a split.

    Raises:
        UserError: the same sound is in two splits, or a recording cannot be read.
    """
    check_sounds(corpus, "the corpus")
    train = _clips(corpus, "train")
    jobs: list[tuple] = []
    for variant in range(max(how.words, how.unknown)):
        wanted = [
            index
            for index, clip in train
            if variant < (how.words if clip.word in corpus.words else how.unknown)
        ]
        jobs += [("strips", chunk, seed, variant) for chunk in _chunks(wanted)]
    jobs += [("silent strips", chunk, seed, 0) for chunk in _chunks(range(how.silences))]
    for split in ("validation", "test"):
        indices = [index for index, _ in _clips(corpus, split)]
        jobs += [(split, chunk, seed, 0) for chunk in _chunks(indices)]
    ordered = [
        (job[0], made) for job, made in zip(jobs, _in_parallel(corpus, how, window, jobs), strict=True)
    ]
    strips = [parts for kind, parts in ordered if kind.endswith("strips")]
    x, y, span, said = (np.concatenate(column) for column in zip(*strips, strict=True))
    _, word = np.unique(np.concatenate([[scenes.SILENT_WORD], said]), return_inverse=True)
    np.savez(folder / "train.npz", x=x, y=y, span=span, word=word[1:])
    for split in ("validation", "test"):
        parts = [parts for kind, parts in ordered if kind == split]
        parts.append(_silent_windows(corpus.backgrounds[split], window))
        x, y, word, speaker = (np.concatenate(column) for column in zip(*parts, strict=True))
        np.savez(folder / f"{split}.npz", x=x, y=y, word=word, speaker=speaker)


def load_strips(folder: Path, window: Window = SECOND) -> Strips:
    """Training examples from a folder that :func:`extract` filled for the same window."""
    with np.load(folder / "train.npz") as arrays:
        return Strips(arrays["x"], arrays["y"], arrays["span"], arrays["word"], window)


def centred(strips: Strips) -> np.ndarray:
    """The clips' own windows, ``int8[n, frames, CHANNELS]``."""
    return strips.x[:, strips.window.side : strips.window.side + strips.window.frames]


def load_windows(folder: Path, split: str) -> Windows:
    """Validation or test examples from a folder that :func:`extract` filled."""
    with np.load(folder / f"{split}.npz") as arrays:
        return Windows(arrays["x"], arrays["y"], arrays["word"], arrays["speaker"])


def class_of(word: str, words: Sequence[str]) -> int:
    """Class of a spoken word: its place among the wanted ones after the two fixed classes, else 1."""
    return 2 + list(words).index(word) if word in words else 1


def _in_parallel(
    corpus: Corpus, how: Augment, window: Window, jobs: Sequence[tuple]
) -> list[tuple[np.ndarray, ...]]:
    """Results of the jobs in their order, whatever the order in which they are ready."""
    engine.build()
    done: dict[int, tuple[np.ndarray, ...]] = {}
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(jobs))
    executor = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(corpus, how, window))
    try:
        with progress.bar("Features", sum(len(job[1]) for job in jobs)) as advance:
            pending = {executor.submit(_run, job): number for number, job in enumerate(jobs)}
            for future in as_completed(pending):
                done[pending[future]], notes = future.result()
                for kind, line in notes.items():
                    audio.note(kind, line)
                advance(len(jobs[pending[future]][1]))
    except BrokenProcessPool as error:
        raise UserError(
            "a process that makes features was killed: run the same command again, with more free memory"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
    return [done[number] for number in range(len(jobs))]


def _clips(corpus: Corpus, split: str) -> list[tuple[int, Clip]]:
    return [(index, clip) for index, clip in enumerate(corpus.clips) if clip.split == split]


def _chunks(indices: Sequence[int]) -> list[Sequence[int]]:
    return [indices[at : at + _CLIPS_A_JOB] for at in range(0, len(indices), _CLIPS_A_JOB)]


_corpus: Corpus
_others: list[Clip]
_how: Augment
_window: Window


def _begin(corpus: Corpus, how: Augment, window: Window) -> None:
    """Set up a worker; Ctrl-C is the parent's to handle, and what there is to say is the parent's to say."""
    global _corpus, _others, _how, _window
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    audio.on_note = lambda line: None
    _corpus, _how, _window = corpus, how, window
    _others = [c for c in corpus.clips if c.split == "train" and c.word not in corpus.words]


def _run(job: tuple) -> tuple[tuple[np.ndarray, ...], dict[str, str]]:
    """Arrays of one job, and what reading its recordings gave to say."""
    return _made(job), audio.noted()


def _made(job: tuple) -> tuple[np.ndarray, ...]:
    kind, indices, seed, variant = job
    if kind == "strips":
        clips = [_corpus.clips[index] for index in indices]
        said = [clip.word for clip in clips]
        return _strips([_word_scene(clip, seed, variant) for clip in clips], said)
    if kind == "silent strips":
        noise = _corpus.backgrounds["train"]
        rngs = (np.random.default_rng([seed, 1, index]) for index in indices)
        silent = [(0, scenes.silence(noise, rng, _window)) for rng in rngs]
        return _strips(silent, [scenes.SILENT_WORD] * len(indices))
    clips = [_corpus.clips[index] for index in indices]
    noise = _corpus.backgrounds[kind]
    step, frames = _window.step_ms, _window.frames
    sounds = (scenes.evaluation(clip, noise, _window) for clip in clips)
    x = np.stack([engine.features(sound, step)[-frames:] for sound in sounds])
    y = np.array([class_of(clip.word, _corpus.words) for clip in clips])
    return x, y, np.array([clip.word for clip in clips]), np.array([clip.speaker for clip in clips])


def _word_scene(clip: Clip, seed: int, variant: int) -> tuple[int, scenes.Scene]:
    rng = scenes.clip_seed(clip, seed, variant)
    scene = scenes.training(clip, _others, _corpus.backgrounds["train"], rng, _how, _window)
    return class_of(clip.word, _corpus.words), scene


def _strips(examples: Sequence[tuple[int, scenes.Scene]], said: list[str]) -> tuple[np.ndarray, ...]:
    step, strip = _window.step, _window.strip
    start = CONTEXT // step - _window.side
    x = [engine.features(scene.pcm, _window.step_ms)[start : start + strip] for _, scene in examples]
    span = [
        (-1, -1) if first < 0 else (first // step - start, -(-last // step) - start)
        for first, last in (scene.span for _, scene in examples)
    ]
    return np.stack(x), np.array([y for y, _ in examples]), np.array(span, np.int16), np.array(said)


def _silent_windows(backgrounds: Sequence[np.ndarray], window: Window) -> tuple[np.ndarray, ...]:
    """Windows of background alone: each recording run through the front end, cut every half window."""
    settled, frames = CONTEXT // window.step, window.frames
    x: list[np.ndarray] = []
    for pcm in backgrounds:
        # A recording shorter than the settling time goes round once more.
        heard = engine.features(np.resize(pcm, max(len(pcm), CONTEXT + window.samples)), window.step_ms)
        x += [heard[at : at + frames] for at in range(settled, len(heard) - frames + 1, frames // 2)]
    zeros = np.full((frames, CHANNELS), -128, np.int8)
    x.append(zeros)
    said = np.full(len(x), scenes.SILENT_WORD)
    return np.stack(x), np.zeros(len(x), np.int64), said, np.full(len(x), "")
