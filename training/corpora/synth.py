"""The default corpus: words spoken by synthetic voices, made once and kept as a folder of recordings.

The folder has the Speech Commands layout with a manifest, so ``DATA=`` can name it like any other. Every
voice is on one side of the split. What a model learns from it, and what not, is said in docs/data.md.
"""

from __future__ import annotations

import csv
import importlib.metadata
import io
import multiprocessing
import os
import re
import shutil
import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import soxr

from cicada.tools import audio, stages
from cicada.tools.errors import UserError
from cicada.training import augment
from cicada.training.corpora import noise, speech_commands, voices, wordlist
from cicada.training.corpora.base import SPLITS, Corpus, fingerprint
from cicada.training.progress import bar
from cicada.training.recipe import AudioFrontEnd, Speech
from cicada.training.windows import Window

_SECOND = audio.RATE
#: Least air around the word in a clip, in samples.
_AIR = int(0.06 * _SECOND)
_BABBLE_SPEAKERS = 6
# Work files that the finished folder does not keep.
_SCRATCH = ".scratch"
# The voice of the neural synthesiser, as a speaker beside espeak-ng's variants.
_NEURAL = f"hibari-{voices.HIBARI_VOICE}"


@dataclass(frozen=True)
class Plan:
    """How much to synthesise.

    Attributes:
        wanted: clips of each wanted word by each espeak-ng voice, by split.
        neural: clips of each wanted word by the neural voice.
        others: number of other words, each spoken once by every voice.
        variants: espeak-ng voices by split.
        noise_s: seconds of each background in training; the other splits have a third of it each.
        length: samples of a clip; a word or phrase must fit into it.
    """

    wanted: Mapping[str, int] = field(default_factory=lambda: {"train": 3, "validation": 4, "test": 4})
    neural: int = 4
    others: int = 30
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: voices.ESPEAK_VOICES)
    noise_s: int = 30
    length: int = _SECOND

    @property
    def speakers(self) -> int:
        """Number of voices, the neural one included."""
        return sum(map(len, self.variants.values())) + 1


def plan_for(speech: Speech, frontend: AudioFrontEnd) -> Plan:
    """What a recipe asks to be synthesised.

    Clips are as long as the window that the model sees: a second for 49 frames 20 ms apart.
    """
    return Plan(
        wanted={**Plan().wanted, "train": speech.clips},
        others=speech.others,
        length=Window(frontend.step_ms, frontend.frames).samples,
    )


@dataclass(frozen=True)
class _Task:
    """All that one voice has to say: (word, number of clips) pairs."""

    voice: str
    split: str
    words: tuple[tuple[str, int], ...]


def corpus(
    words: Sequence[str], *, seed: int = 1, plan: Plan | None = None, cache: Path | None = None
) -> Corpus:
    """Synthesise speech for the wanted ``words`` (already checked), or open what was made before.

    Args:
        words: wanted words; any that can be spoken within a second.
        seed: seed of every choice.
        plan: how much to make; by default some 200 clips of each wanted word.
        cache: where stages are kept (default ``build/cache``).

    Raises:
        UserError: a word is not speakable or too long, or a synthesiser is missing or fails.
    """
    plan = plan or Plan()
    here = Path(__file__).parent
    code = [
        here / name for name in ("synth.py", "voices.py", "wordlist.py", "noise.py", "speech_commands.py")
    ]
    packages = ("espeakng-loader", "hibari-tts", "numpy", "soxr")
    inputs = {
        "words": sorted(words),
        "seed": seed,
        "plan": asdict(plan),
        "code": stages.hash_files([*code, here.parent / "augment.py"]),
        "packages": {name: _version(name) for name in packages},
    }
    folder = stages.stage("speech", inputs, lambda work: make(work, words, seed, plan), cache)
    opened = speech_commands.read(folder, words, seed=seed)
    # The same speech has the same fingerprint wherever and whenever it was made, file times notwithstanding.
    opened.fingerprint = fingerprint(list(words), stages.key(inputs))
    return opened


def make(folder: Path, words: Sequence[str], seed: int, plan: Plan) -> None:
    """Fill an empty folder: clips, backgrounds, manifest and a line on where they are from."""
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(
        min(os.cpu_count() or 1, 8),
        mp_context=context,
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )
    scratch = folder / _SCRATCH
    try:
        scratch.mkdir()
        # Even this first question goes to a worker: should the C library crash, it takes no one along.
        other = workers.submit(_others, folder, tuple(words), plan.others).result()
        for word in (*words, *other):
            (folder / word).mkdir()
        tasks = list(_tasks(words, other, plan))
        total = sum(count for task in tasks for _, count in task.words)
        rows: list[tuple[str, str, str, str]] = []
        with bar("synthesise speech", total) as advance:
            futures = [workers.submit(_speak, folder, task, seed, plan.length) for task in tasks]
            for future in as_completed(futures):
                done = future.result()
                rows += done
                advance(len(done), done[-1][2])
    except BrokenProcessPool as error:
        raise UserError(
            "the speech synthesiser crashed or was killed: run the same command again, with more free memory,"
            " or name a folder of recordings with DATA="
        ) from error
    finally:
        workers.shutdown(cancel_futures=True)
        shutil.rmtree(scratch, ignore_errors=True)
    rows.sort()
    _write_backgrounds(folder, rows, set(other), seed, plan.noise_s)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerows([("path", "word", "speaker", "split"), *rows])
    (folder / speech_commands.MANIFEST).write_text(text.getvalue(), encoding="utf-8")
    source = f"synthesised speech (espeak-ng, hibari), {plan.speakers} voices"
    (folder / speech_commands.SOURCE).write_text(source + "\n", encoding="utf-8")


def _tasks(words: Sequence[str], other: Sequence[str], plan: Plan) -> Iterator[_Task]:
    for split in SPLITS:
        said = (*((word, plan.wanted[split]) for word in words), *((word, 1) for word in other))
        for voice in plan.variants[split]:
            yield _Task(voice, split, said)
    said = (*((word, plan.neural) for word in words), *((word, 1) for word in other))
    yield _Task(_NEURAL, voices.HIBARI_SPLIT, said)


# ---- in the worker processes


def _others(folder: Path, words: tuple[str, ...], count: int) -> list[str]:
    espeak = voices.Espeak(folder / _SCRATCH)
    return wordlist.others(words, lambda word: espeak.phonemes(_text(word)), count)


def _speak(folder: Path, task: _Task, seed: int, length: int) -> list[tuple[str, str, str, str]]:
    """Record everything that one voice says; returns its lines of the manifest."""
    speaker = task.voice if task.voice == _NEURAL else "espeak-" + re.sub(r"\W", "_", task.voice.lower())
    rng = np.random.default_rng([seed, zlib.crc32(speaker.encode())])
    engine = voices.Neural() if task.voice == _NEURAL else voices.Espeak(folder / _SCRATCH)
    rows = []
    for word, count in task.words:
        for number in range(count):
            pcm = record(utter(word, task.voice, engine, rng, length - _AIR), rng, length)
            name = f"{word}/{speaker}_nohash_{number}.flac"
            audio.write_flac(folder / name, pcm)
            rows.append((name, word, speaker, task.split))
    return rows


def utter(
    word: str, voice: str, engine: voices.Espeak | voices.Neural, rng: np.random.Generator, longest: int
) -> np.ndarray:
    """Let a voice say a word in a way of its own: accent, pace, pitch, melody and size of the speaker.

    Args:
        word: the word.
        voice: the espeak-ng variant; the neural engine has its one voice.
        engine: the synthesiser.
        rng: source of every choice.
        longest: samples (16 kHz) that it may take.

    Returns:
        ``float64[n]`` at 16 kHz without leading and trailing silence.

    Raises:
        UserError: the word is silent or too long.
    """
    text = _text(word) + str(rng.choice([".", ".", "!", "?"]))
    # Resampling moves all formants, like a longer or shorter vocal tract: other ages and sizes of a voice.
    size = rng.uniform(0.88, 1.15)
    pace = rng.uniform(0.75, 1.2)
    accent = str(rng.choice(voices.ACCENTS))
    pitch, span, noise_seed = (int(rng.integers(*limits)) for limits in ((25, 76), (20, 81), (0, 2**31)))
    # A slow voice may need more than the window: let it hurry before giving up on the word.
    for hurry in (1.0, 1.3, 1.7, 2.2):
        if isinstance(engine, voices.Neural):
            # Its own pitch is fixed, so its size varies more.
            raw = engine.render(text, speed=pace * hurry, seed=noise_seed)
            source = engine.rate * size**1.5
        else:
            rate = min(round(165 * pace * hurry), 450)
            raw = engine.render(text, accent, voice, rate=rate, pitch=pitch, span=span, seed=noise_seed)
            source = engine.rate * size
        spoken = _trim(raw)
        if not len(spoken):
            raise UserError(
                f"'{word}' cannot be spoken by the speech synthesiser: choose another word in WORDS"
            )
        if len(spoken) * audio.RATE / source <= longest:
            return soxr.resample(spoken.astype(np.float64), source, audio.RATE, quality="HQ")[:longest]
    raise UserError(
        f"'{word}' takes longer than the {(longest + _AIR) / audio.RATE:.2g} s a model listens to: choose a"
        " shorter word, or more `frames` in the recipe"
    )


def record(spoken: np.ndarray, rng: np.random.Generator, length: int = _SECOND) -> np.ndarray:
    """What a microphone makes of a word, ``int16[length]``: place, room, sound, level and noise vary."""
    start = int(rng.integers(length - len(spoken) + 1))
    pcm = augment.place(spoken, start, length)
    if rng.random() < 0.5:
        pcm = augment.room(pcm, rng)
    pcm = augment.colour(pcm, rng)
    wanted = rng.uniform(-34.0, -14.0) + 20 * np.log10(32768)
    pcm = augment.gain(pcm, wanted - 20 * np.log10(max(augment.speech_level(pcm), 1e-3)))
    floor = noise.coloured(length, rng.uniform(0.0, 2.0), rng)
    # No recording is digitally silent; the noise of a room is what a front end adapts to between words.
    return augment.to_pcm(augment.mix(pcm, floor, rng.uniform(18.0, 45.0), rng))


def _trim(pcm: np.ndarray) -> np.ndarray:
    """Cut silence (40 dB below the peak) from both ends, but for a hundredth of a second or so."""
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > np.abs(pcm.astype(np.int32)).max(initial=0) / 100)
    if not len(loud):
        return pcm[:0]
    margin = 250
    return pcm[max(loud[0] - margin, 0) : loud[-1] + margin]


def _text(word: str) -> str:
    """A word as it is read out: ``hey_cicada`` is two words."""
    return re.sub(r"[_-]+", " ", word).strip()


# ---- backgrounds


def _write_backgrounds(
    folder: Path, rows: Sequence[tuple[str, str, str, str]], other: set[str], seed: int, seconds: int
) -> None:
    """Write each noise as one file in which every split has its own part, where the loader cuts it."""
    target = folder / speech_commands.BACKGROUND
    target.mkdir()
    lengths = {"train": seconds, "validation": seconds // 3, "test": seconds // 3}
    parts = {split: noise.backgrounds(split, seed, lengths[split]) for split in SPLITS}
    for split in SPLITS:
        # Only words outside the vocabulary: a wanted word in the background would be labelled as silence.
        heard = [folder / path for path, word, _, part in rows if part == split and word in other]
        parts[split]["babble"] = _babble(heard, lengths[split] * audio.RATE, split, seed)
    for name in parts["train"]:
        joined = speech_commands.join_background({split: parts[split][name] for split in SPLITS})
        audio.write_flac(target / f"{name}.flac", joined)


def _babble(clips: Sequence[Path], count: int, split: str, seed: int) -> np.ndarray:
    """Several of a split's voices talking at once, ``int16[count]``."""
    rng = np.random.default_rng([seed, zlib.crc32(f"babble {split}".encode())])
    total = np.zeros(count)
    for _ in range(_BABBLE_SPEAKERS):
        at = -int(rng.integers(_SECOND))
        while at < count:
            pcm = augment.speed(audio.load(clips[rng.integers(len(clips))]), rng.uniform(0.9, 1.1))
            level = max(augment.speech_level(pcm), 1.0)
            total += augment.place(pcm * (rng.uniform(150, 500) / level), at, count)
            at += int(rng.uniform(0.5, 1.0) * len(pcm))
    return augment.to_pcm(total)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"
