"""Measure one model container on clips and, inside the twin, on continuous sound."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cicada.tools import engine
from cicada.tools.audio import RATE
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.runtimes import open_model
from cicada.tools.twin.chip import DEEPSLEEP_RESET, PWRON_RESET
from cicada.tools.twin.power import DEEP_SLEEP
from cicada.tools.twin.sound import Played, Sound
from cicada.tools.twin.twin import Twin
from cicada.training import container, scenes, streaming
from cicada.training.corpora import Clip, Corpus
from cicada.training.decision import LATE_S
from cicada.training.streaming import Stream
from cicada.training.windows import CONTEXT, SILENCE, UNKNOWN

_STARTING_S = 3.0  # from power-on until the application listens or has said why not
_CLIP_S = 1.6  # of a stream, for each clip in it: the clip, as a rule 1 s, and the pause before it
_VOLTS = 3.3
# How a file that is no container begins, and what it is then.
_FOUND = {
    b"RIFF": "a WAV recording",
    b"fLaC": "a FLAC recording",
    b"OggS": "an Ogg recording",
    b"\x89PNG": "a picture",
    b"\x7fELF": "a program",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
}


@dataclass(frozen=True)
class Contender:
    """A keyword model in its container, checked: ``blob`` is the file, ``model`` the model in it."""

    path: Path
    blob: bytes
    manifest: Mapping[str, Any]
    model: bytes

    @property
    def labels(self) -> list[str]:
        """Class names; whatever the manifest calls the first two, the application never reports them."""
        return [SILENCE, UNKNOWN, *self.manifest["labels"][2:]]

    @property
    def words(self) -> list[str]:
        """The words it knows."""
        return self.labels[2:]


@dataclass(frozen=True)
class Heard:
    """What the application made of one stream.

    Attributes:
        hits: for each wanted word of the stream, whether it was detected.
        latencies_ms: from the end of each detected word to its event.
        false: detections that belong to no utterance of their word.
        asleep: wanted words that were spoken while the node slept.
        seconds, mah: virtual time and charge.
        inference_us: of the last inference.
        crashes: resets that were neither power-on nor the end of a deep sleep.
        lost: samples that were overwritten before the program read them.
    """

    hits: list[bool]
    latencies_ms: list[float]
    false: int
    asleep: int
    seconds: float
    mah: float
    inference_us: int
    crashes: int
    lost: int


def read_model(path: Path) -> Contender:
    """Read and check a container of a keyword model.

    Raises:
        UserError: there is no such file, it is something else (the error says what), it is damaged, or its
            front end is not one that this firmware has.
    """
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading model container {path}") from error
    if blob[:4] != container.MAGIC:
        raise UserError(
            f"{path} is {_what(blob)}, not a model container: name a .cmod file as 'make train' writes"
        )
    try:
        manifest, model = container.unpack(blob)
    except ValueError as error:
        raise UserError(f"{path} is not a usable container ({error}): copy or make it again") from error
    if manifest["type"] != "kws":
        raise UserError(
            f"{path} holds a model of type '{manifest['type']}': only keyword models ('kws') can be tried"
        )
    problem = _problem(manifest)
    if problem:
        raise UserError(f"the manifest in {path} {problem}: make the model again with 'make train'")
    return Contender(path, blob, manifest, bytes(model))


def refusal(image: bytes, board: ModuleType) -> str:
    """Boot the twin with a flash image: why the application would not listen, or nothing if it does."""
    twin = Twin(image, board, Sound([], 1))
    try:
        twin.run(board.BOOT_MS / 1000 + _STARTING_S)
    except UserError as error:
        return str(error)
    if "node: listening" in twin.text:
        return ""
    said = re.findall(r"^\w*(?:Error|Exception): (.+)$", twin.text, re.MULTILINE)
    return (said or [line for line in twin.text.splitlines() if line.strip()])[0]


def examples(corpus: Corpus, seed: int) -> list[tuple[str, Clip | np.ndarray]]:
    """Test clips of every wanted word, and about as many of other words and of silence as of the largest.

    Returns:
        Pairs of the true label and a clip, or ``int16[n]`` where nobody speaks.
    """
    rng = np.random.default_rng([seed, 4])
    clips = sorted((c for c in corpus.clips if c.split == "test"), key=lambda c: c.path)
    chosen: list[tuple[str, Clip | np.ndarray]] = [(c.word, c) for c in clips if c.word in corpus.words]
    most = max(sum(label == word for label, _ in chosen) for word in corpus.words)
    others = [c for c in clips if c.word not in corpus.words]
    chosen += [(UNKNOWN, others[n]) for n in sorted(rng.permutation(len(others))[:most])]
    # Each stretch of noise is used once: its first two seconds settle the front end.
    step, length = RATE, CONTEXT + RATE
    silent = [
        pcm[at : at + length]
        for pcm in corpus.backgrounds["test"]
        for at in range(0, len(pcm) - length + 1, step)
    ]
    if not silent:
        silent = [np.resize(pcm, length) for pcm in corpus.backgrounds["test"]]
    chosen += [(SILENCE, silent[n]) for n in sorted(rng.permutation(len(silent))[:most])]
    return chosen


def answers(
    contenders: Sequence[Contender],
    chosen: Sequence[tuple[str, Clip | np.ndarray]],
    noise: Sequence[np.ndarray],
    advance: Callable[[], None],
) -> list[list[str]]:
    """What each model answers to each example, with the front end its manifest asks for.

    Args:
        contenders: the models.
        chosen: of :func:`examples`.
        noise: what is heard before a clip.
        advance: called after each example.

    Returns:
        For each contender the labels.
    """
    running = [open_model(one.model) for one in contenders]
    said: list[list[str]] = [[] for _ in contenders]
    for _, what in chosen:
        pcm = what if isinstance(what, np.ndarray) else scenes.evaluation(what, noise)
        for one, interpreter, found in zip(contenders, running, said, strict=True):
            front = one.manifest["frontend"]
            frames = engine.features(pcm, front["step_ms"])[-front["frames"] :]
            interpreter.reset()
            found.append(one.labels[int(interpreter.invoke(frames).argmax())])
        advance()
    return said


def streams(corpus: Corpus, seed: int, minutes: float) -> list[Stream]:
    """Sound to listen to: one stream of wanted words among others, one of other words and noise alone.

    The first is half of the time, or less where the test split has too few clips: none is played twice. The
    second is the rest, about half of it speech where there is enough.
    """
    total = minutes * 60
    wanted = len(corpus.words)
    spoken = streaming.make(corpus, "test", seed, max(1, round(total / 2 / _CLIP_S / 3 / wanted)), 1.0)
    left = total - len(spoken.pcm) / RATE
    negative = [c for c in corpus.clips if c.split == "test" and c.word not in corpus.words]
    names = tuple(sorted({c.word for c in negative}))
    each = max(1, round(left / 2 / _CLIP_S / len(names)))
    others = replace(corpus, words=names, clips=negative)
    speech = streaming.make(others, "test", seed, each, 1.0)
    noise_s = 1.0 + max(0.0, left - len(speech.pcm) / RATE) / 2  # before the words and after them
    return [spoken, streaming.make(others, "test", seed, each, noise_s)]


def listen(
    image: bytes,
    board: ModuleType,
    stream: Stream,
    words: Sequence[str],
    seed: int,
    advance: Callable[[], None],
) -> Heard:
    """Play a stream to the application in the twin.

    Args:
        image: flash image with the application and the model.
        board: the board.
        stream: the sound.
        words: the wanted words.
        seed: of the room's hiss and of the chip's random numbers.
        advance: called after each virtual second.
    """
    seconds, told = whole_seconds(stream), 0
    twin = Twin(image, board, Sound([Played(0.0, stream.pcm)], seconds, seed=seed), seed=seed)

    def tell() -> bool:
        nonlocal told
        while told < min(int(twin.now), seconds):
            told += 1
            advance()
        return False

    twin.power_on()
    try:
        twin.run_until(tell, seconds)
        tell()
    finally:
        twin.power_off()
    spoken = [one for one in stream.spoken if one.word in words]
    left = [(at, event["word"]) for at, event in twin.events if event["event"] == "keyword"]
    found = list(_matches(spoken, left))
    naps = [(s.start / 1e6, s.end / 1e6) for s in twin.chip.meter.stretches if s.state == DEEP_SLEEP]
    return Heard(
        hits=[at is not None for at in found],
        latencies_ms=[(at - one.end) * 1000 for one, at in zip(spoken, found, strict=True) if at is not None],
        false=len(left),
        asleep=sum(any(a < one.end and one.start < b for a, b in naps) for one in spoken),
        seconds=twin.now,
        mah=twin.chip.meter.charge_mah(),
        inference_us=twin.chip.parts["neural"].inference_us,
        crashes=sum(cause not in (PWRON_RESET, DEEPSLEEP_RESET) for _, cause in twin.resets),
        lost=twin.chip.parts["i2s"].overruns,
    )


def whole_seconds(stream: Stream) -> int:
    """Length of a stream, rounded up: how often :func:`listen` calls ``advance``."""
    return -(-len(stream.pcm) // RATE)


def energy_mj(board: ModuleType, us: float) -> float:
    """Energy the busy chip alone takes in ``us`` microseconds, mJ: ``POWER["cpu_busy"]`` mA at 3.3 V."""
    return _VOLTS * board.POWER["cpu_busy"] * us / 1e6


def _matches(spoken: Sequence[streaming.Spoken], left: list[tuple[float, str]]) -> Iterator[float | None]:
    """For each word the moment of its detection or None, by the rule of training's ``decision.score``.

    What is matched is taken out of ``left``.
    """
    for one in spoken:
        fits = (d for d in left if d[1] == one.word and one.start <= d[0] <= one.end + LATE_S)
        found = next(fits, None)
        if found:
            left.remove(found)
        yield found[0] if found else None


def _what(blob: bytes) -> str:
    if not blob:
        return "empty"
    if blob[4:8] == b"TFL3":
        return "a bare TensorFlow Lite model"
    known = next((name for magic, name in _FOUND.items() if blob.startswith(magic)), None)
    return known or f"a file that begins with {blob[:4]!r}"


def _problem(manifest: Mapping[str, Any]) -> str:
    """What of a manifest this firmware cannot work with, or nothing."""
    labels, front = manifest.get("labels"), manifest.get("frontend")
    if not isinstance(labels, list) or len(labels) < 3 or not all(isinstance(name, str) for name in labels):
        return "names no words"
    if len(set(labels)) < len(labels):
        return "names a label twice"
    if not isinstance(front, dict) or not isinstance(manifest.get("decision"), dict):
        return "lacks 'frontend' or 'decision'"
    if (front.get("rate"), front.get("window_ms"), front.get("channels")) != (RATE, 30, engine.CHANNELS):
        return f"asks for a front end other than {RATE} Hz, 30 ms, {engine.CHANNELS} channels"
    frames, longest = front.get("frames"), (CONTEXT + RATE) * 1000 // RATE
    if front.get("step_ms") not in (10, 20) or not isinstance(frames, int):
        return "asks for a step that is neither 10 nor 20 ms, or for no number of frames"
    if not 1 <= frames or frames * front["step_ms"] + 10 > longest:
        return f"asks for {frames} frames: from 1 to what fits into {longest} ms can be tried"
    return ""
