"""The default corpus: words spoken by synthetic voices, made once and kept as a folder of recordings.

The folder has the Speech Commands layout with a manifest, so ``DATA=`` can name it like any other. Every
voice, also those of a folder of the user's, is on one side of the split. What a model learns from it, and
what not, is said in docs/data.md.
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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from cicada.tools import audio, stages
from cicada.tools.errors import UserError
from cicada.training import augment
from cicada.training.corpora import negatives, noise, piper, speaking, speech_commands, voices, wordlist
from cicada.training.corpora.base import SPLITS, Corpus, fingerprint
from cicada.training.progress import bar
from cicada.training.recipe import AudioFrontEnd, Speech
from cicada.training.windows import Window

_SECOND = audio.RATE
_BABBLE_SPEAKERS = 6
# Work files that the finished folder does not keep.
_SCRATCH = ".scratch"
# The voice of the neural synthesiser, as a speaker beside espeak-ng's variants.
_NEURAL = f"hibari-{voices.HIBARI_VOICE}"
# The voices of a folder together say wanted words as often as so many of espeak-ng's, if they are fewer.
_EXTERNAL_WEIGHT = 16
# Fewer than so many of them all speak in training: the built-in voices validate and test.
_EXTERNAL_SPLIT = 10


@dataclass(frozen=True)
class Plan:
    """How much to synthesise.

    Attributes:
        wanted: clips of each wanted word by each espeak-ng voice, by split.
        neural: clips of each wanted word by the neural voice.
        others: number of other words, each spoken once by every voice.
        alike: so many of them are words and phrases that sound like the wanted ones (``negatives.py``). Only
            voices in training say these: false accepts an hour are to be counted, and settings chosen, on
            speech as it is heard all day.
        said: how a wanted word is read out, where its spelling is not enough; a clip takes one of these.
        voices: folder of Piper voices that speak as well.
        variants: espeak-ng voices by split.
        noise_s: seconds of each background in training; the other splits have a third of it each.
        length: samples of a clip; a word or phrase must fit into it.
    """

    wanted: Mapping[str, int] = field(default_factory=lambda: {"train": 3, "validation": 4, "test": 4})
    neural: int = 4
    others: int = 30
    alike: int = 0
    said: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    voices: str | None = None
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: voices.ESPEAK_VOICES)
    noise_s: int = 30
    length: int = _SECOND

    @property
    def speakers(self) -> int:
        """Number of voices, the neural ones included."""
        return sum(map(len, self.variants.values())) + 1 + len(self.external)

    @property
    def external(self) -> tuple[piper.Voice, ...]:
        """The voices of the folder."""
        return piper.find(Path(self.voices)) if self.voices else ()


def plan_for(speech: Speech, frontend: AudioFrontEnd) -> Plan:
    """What a recipe asks to be synthesised.

    Clips are as long as the window that the model sees: a second for 49 frames 20 ms apart. Voices that
    validate and test say a wanted word half as often as those in training, but as often as by default.
    """
    wanted = {split: max(count, speech.clips // 2) for split, count in Plan().wanted.items()}
    return Plan(
        wanted={**wanted, "train": speech.clips},
        neural=max(Plan().neural, speech.clips // 2),
        others=speech.others,
        # Half of them from everyday speech: that is what the model will hear all day.
        alike=speech.others // 2,
        said=speech.said,
        voices=speech.voices,
        noise_s=speech.noise_s,
        length=Window(frontend.step_ms, frontend.frames).samples,
    )


@dataclass(frozen=True)
class _Task:
    """All that one voice has to say: (word, number of clips) pairs, and which of the words are wanted."""

    voice: str | piper.Voice
    split: str
    words: tuple[tuple[str, int], ...]
    wanted: tuple[str, ...]


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
    names = ("synth", "speaking", "voices", "piper", "wordlist", "negatives", "noise", "speech_commands")
    code = [here / f"{name}.py" for name in names]
    packages = ("espeakng-loader", "hibari-tts", "numpy", "soxr")
    inputs = {
        "words": sorted(words),
        "seed": seed,
        # Where a folder lies does not matter, what is in it does.
        "plan": asdict(replace(plan, voices=None)),
        "voices": stages.hash_files(Path(plan.voices).glob("*.onnx*")) if plan.external else None,
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
        alike, everyday = workers.submit(_others, folder, tuple(words), plan).result()
        other = [*alike, *everyday]
        for word in (*words, *other):
            (folder / word).mkdir()
        tasks = list(_tasks(words, alike, everyday, plan))
        total = sum(count for task in tasks for _, count in task.words)
        rows: list[tuple[str, str, str, str]] = []
        with bar("synthesise speech", total) as advance:
            futures = [workers.submit(_speak, folder, task, seed, plan) for task in tasks]
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
    engines = "espeak-ng, hibari, Piper" if plan.voices else "espeak-ng, hibari"
    source = f"synthesised speech ({engines}), {plan.speakers} voices"
    (folder / speech_commands.SOURCE).write_text(source + "\n", encoding="utf-8")


def _tasks(
    words: Sequence[str], alike: Sequence[str], everyday: Sequence[str], plan: Plan
) -> Iterator[_Task]:
    def task(voice: str | piper.Voice, split: str, count: int) -> _Task:
        other = [*alike, *everyday] if split == "train" else everyday
        said = (*((word, count) for word in words), *((word, 1) for word in other))
        return _Task(voice, split, said, tuple(words))

    for split in SPLITS:
        for voice in plan.variants[split]:
            yield task(voice, split, plan.wanted[split])
    yield task(_NEURAL, voices.HIBARI_SPLIT, plan.neural)
    # A few voices that sound like people would be lost among many that do not.
    more = max(1, _EXTERNAL_WEIGHT // max(len(plan.external), 1))
    for external in plan.external:
        enough = len(plan.external) >= _EXTERNAL_SPLIT
        split = speech_commands.hash_split(external.speaker) if enough else "train"
        yield task(external, split, plan.wanted[split] * more)


# ---- in the worker processes


def _others(folder: Path, words: tuple[str, ...], plan: Plan) -> tuple[list[str], list[str]]:
    """What sounds like the wanted words, and everyday words."""
    espeak = voices.Espeak(folder / _SCRATCH)
    # A way to read a word that is not its spelling has halves and neighbours of its own.
    ways = [re.sub(r"[ -]+", "_", text) for texts in plan.said.values() for text in texts]
    heard = list(dict.fromkeys([*words, *ways]))
    found: list[str] = []
    if plan.alike:
        sounds = negatives.Sounds()
        found = negatives.alike(heard, sounds.of, sounds.words, plan.alike)
    everyday = wordlist.others(heard, lambda word: espeak.phonemes(speaking.as_text(word)), plan.others)
    return found, [word for word in everyday if word not in found][: plan.others - len(found)]


def _speak(folder: Path, task: _Task, seed: int, plan: Plan) -> list[tuple[str, str, str, str]]:
    """Record everything that one voice says; returns its lines of the manifest."""
    voice, scratch = task.voice, folder / _SCRATCH
    if isinstance(voice, piper.Voice):
        speaker = voice.speaker
        say = speaking.external(Path(plan.voices or ""), voice, scratch, seed)
    elif voice == _NEURAL:
        speaker, say = voice, speaking.neural()
    else:
        speaker = "espeak-" + re.sub(r"\W", "_", voice.lower())
        say = speaking.espeak(voice, scratch)
    rng = np.random.default_rng([seed, zlib.crc32(speaker.encode())])
    rows = []
    for word, count in task.words:
        for number in range(count):
            texts = plan.said.get(word, (speaking.as_text(word),))
            text = texts[rng.integers(len(texts))] if len(texts) > 1 else texts[0]
            # What is no wanted word stays none when its end is missing.
            spoken = speaking.utter(text, say, rng, plan.length - speaking.AIR, cut=word not in task.wanted)
            name = f"{word}/{speaker}_nohash_{number}.flac"
            audio.write_flac(folder / name, speaking.record(spoken, rng, plan.length))
            rows.append((name, word, speaker, task.split))
    return rows


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
