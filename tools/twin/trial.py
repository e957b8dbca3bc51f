"""Will a new model do better than the one that runs now? Both hear the same, on host and twin."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from rich.console import Console

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD
from cicada.tools.runtimes import open_model
from cicada.tools.stages import write_atomic
from cicada.tools.twin import trial_measure as measure
from cicada.tools.twin.image import flash_image
from cicada.tools.twin.power import battery_hours
from cicada.tools.twin.trial_measure import Contender, Heard
from cicada.tools.twin.trial_result import RULES, WORSE, Count, Difference, Figures, Measured, Trial, judge
from cicada.tools.twin.trial_table import table
from cicada.training import progress
from cicada.training.corpora import Corpus, open_corpus
from cicada.training.streaming import Stream
from cicada.training.windows import SILENCE, UNKNOWN

_MINUTES = (0.5, 60.0)  # an hour of sound takes a gigabyte of memory


def try_model(
    candidate: Path,
    data: Path | None,
    against: Path | None = None,
    words: Sequence[str] | None = None,
    seed: int = 1,
    board: str = "twin",
    minutes: float = 10.0,
    json_file: Path | None = None,
) -> int:
    """``cicada twin try``: :func:`trial`, printed and, with ``json_file``, written; returns the exit code."""
    made = trial(candidate, data, against, words, seed, board, minutes)
    print_trial(made)
    if json_file:
        write_atomic(json_file, (json.dumps(made.as_json(), indent=1, sort_keys=True) + "\n").encode())
    return made.code


def trial(
    candidate: Path,
    data: Path | None,
    against: Path | None = None,
    words: Sequence[str] | None = None,
    seed: int = 1,
    board: str = "twin",
    minutes: float = 10.0,
) -> Trial:
    """Compare a model with the one that runs now.

    Args:
        candidate: its container.
        data: recordings, Speech Commands layout; None for the synthesised corpus.
        against: container of the running model (default ``build/kws/kws.cmod``).
        words: what to test (default: all words that both know).
        seed: of everything random; the same seed gives the same result.
        board: name of a folder in ``boards/``.
        minutes: of virtual time for which each model listens in the twin.

    Raises:
        UserError: containers or recordings that cannot be used, no word in common, or a running model that
            does not run.
    """
    if not _MINUTES[0] <= minutes <= _MINUTES[1]:
        raise UserError(
            f"{minutes:g} minutes cannot be tried: choose from {_MINUTES[0]:g} to {_MINUTES[1]:g}"
        )
    against = against or BUILD / "kws" / "kws.cmod"
    new, old = measure.read_model(candidate), measure.read_model(against)
    common = _common(new, old, words)
    described = load_board(board)
    corpus, left_out = _corpus(data, common, new, old, seed)
    images, refusals = zip(*(_image(board, described, one) for one in (new, old)), strict=True)
    if refusals[1]:
        raise UserError(
            f"the device refuses the running model {against} ({refusals[1]}): name another with --against"
        )
    first, second = _figures(new, refusals[0], None), _figures(old, "", None)
    limit = described.ARENA
    notes = _notes(corpus, new, old, left_out)
    if refusals[0]:
        reason = [f"the device refuses it: {refusals[0]}"]
        return Trial(first, second, [], WORSE, reason, common, limit, notes)
    (mine, theirs), differences = _measure(new, old, images, corpus, described, seed, minutes)
    first, second = replace(first, measured=mine), replace(second, measured=theirs)
    verdict, reasons = judge(first, second, differences, limit)
    return Trial(first, second, differences, verdict, reasons, common, limit, notes)


def print_trial(made: Trial, console: Console | None = None) -> None:
    """Print table, notes, rules and verdict."""
    console = console or Console(highlight=False)
    console.print(table(made))
    for line in [*made.notes, RULES]:
        console.print(f"- {line}", soft_wrap=True)
    console.print(f"[bold]{made.verdict}[/]: {'; '.join(made.reasons)}", soft_wrap=True)


def _common(new: Contender, old: Contender, asked: Sequence[str] | None) -> list[str]:
    common = [word for word in new.words if word in old.words]
    if not common:
        raise UserError(
            f"{new.path} knows {', '.join(new.words)}, {old.path} {', '.join(old.words)}: they have no word"
            " in common, so there is nothing to compare"
        )
    strange = [word for word in asked or () if word not in common]
    if strange:
        raise UserError(f"not both models know '{strange[0]}': choose words from {', '.join(common)}")
    return list(asked or common)


def _corpus(
    data: Path | None, common: Sequence[str], new: Contender, old: Contender, seed: int
) -> tuple[Corpus, list[str]]:
    """The recordings without words that are a wanted word to one model and an unknown one to the other."""
    whole = open_corpus(data, common, seed=seed)
    known = (set(new.words) | set(old.words)) - set(common)
    clips = [clip for clip in whole.clips if clip.word not in known]
    if not any(clip.split == "test" and clip.word not in common for clip in clips):
        raise UserError(
            f"{whole.source}: no test recordings of words that neither model knows are left, and without them"
            " false accepts cannot be counted; add recordings of other words"
        )
    return replace(whole, clips=clips), sorted({clip.word for clip in whole.clips} & known)


def _image(name: str, board: ModuleType, one: Contender) -> tuple[bytes, str]:
    """Flash image with the model, and why the device would not run it."""
    try:
        image = flash_image(name, {"kws": one.blob}, importlib.metadata.version("cicada"))
    except UserError as error:
        return b"", str(error)
    return image, measure.refusal(image, board)


def _figures(one: Contender, refused: str, measured: Measured | None) -> Figures:
    about = one.manifest
    try:
        arena = open_model(one.model).arena
    except ValueError:
        arena = None
    name, version = str(about.get("name", "?")), str(about.get("version", "?"))
    return Figures(one.path, name, version, one.labels, len(one.model), arena, refused, measured)


def _measure(
    new: Contender,
    old: Contender,
    images: Sequence[bytes],
    corpus: Corpus,
    board: ModuleType,
    seed: int,
    minutes: float,
) -> tuple[list[Measured], list[Difference]]:
    chosen = measure.examples(corpus, seed)
    with progress.bar("Clips", len(chosen)) as advance:
        said = measure.answers([new, old], chosen, corpus.backgrounds["test"], advance)
    right = [[a == label for a, (label, _) in zip(one, chosen, strict=True)] for one in said]
    sounds = measure.streams(corpus, seed, minutes)
    total = 2 * sum(map(measure.whole_seconds, sounds))
    with progress.bar("Listening on the twin", total) as advance:
        heard = [
            [measure.listen(image, board, sound, corpus.words, seed, advance) for sound in sounds]
            for image in images
        ]
    truth = [label for label, _ in chosen]
    labels = [SILENCE, UNKNOWN, *corpus.words]
    made = [
        _summary({name: _count(name, truth, r) for name in labels}, h, sounds, board)
        for r, h in zip(right, heard, strict=True)
    ]
    hits = [[hit for part in parts for hit in part.hits] for parts in heard]
    differences = [
        _paired("clips", *right),
        _paired("words", *hits),
        Difference("false accepts", made[1].false_accepts, made[0].false_accepts),
    ]
    return made, differences


def _count(name: str, truth: Sequence[str], right: Sequence[bool]) -> Count:
    of = [r for label, r in zip(truth, right, strict=True) if label == name]
    return Count(sum(of), len(of))


def _paired(what: str, mine: Sequence[bool], theirs: Sequence[bool]) -> Difference:
    pairs = list(zip(mine, theirs, strict=True))
    return Difference(what, sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs))


def _summary(
    clips: dict[str, Count], heard: Sequence[Heard], sounds: Sequence[Stream], board: ModuleType
) -> Measured:
    hits = [hit for part in heard for hit in part.hits]
    latencies = [ms for part in heard for ms in part.latencies_ms]
    average = sum(part.mah for part in heard) / (sum(part.seconds for part in heard) / 3600)
    inference_us = max(part.inference_us for part in heard)
    return Measured(
        clips=clips,
        words=Count(sum(hits), len(hits)),
        asleep=sum(part.asleep for part in heard),
        false_accepts=sum(part.false for part in heard),
        hours=sum(sound.hours for sound in sounds),
        latency_ms=sum(latencies) / len(latencies) if latencies else None,
        inference_ms=inference_us / 1000,
        inference_mj=measure.energy_mj(board, inference_us),
        average_ma=average,
        battery_hours=battery_hours(board.BATTERY, average),
        crashes=sum(part.crashes for part in heard),
        lost_samples=sum(part.lost for part in heard),
    )


def _notes(corpus: Corpus, new: Contender, old: Contender, left_out: Sequence[str]) -> list[str]:
    notes = [
        f"Tested on {', '.join(corpus.words)}, test speakers of {corpus.source}; intervals are 95 % and take"
        " every clip and every minute for independent of the others.",
        "Not run on hardware: time, energy, current and battery life are by the board's figures, for the"
        " sound played here (dense speech, then other words and noise); arena bytes are those of a 64-bit"
        " host.",
    ]
    for one, other in ((new, old), (old, new)):
        alone = [word for word in one.words if word not in other.words]
        if alone:
            notes.append(f"Only {one.path} knows {', '.join(alone)}: not compared.")
    if left_out:
        notes.append(f"Recordings of {', '.join(left_out)} were left out.")
    if new.manifest["frontend"] != old.manifest["frontend"]:
        notes.append("The models have different front ends; each heard the same sound through its own.")
    return notes
