"""The report of a keyword model: `report.html`, `report.json` and the pictures of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.audio import RATE
from cicada.training import figures, scenes
from cicada.training.evaluation import listening
from cicada.training.features import Windows
from cicada.training.report import budget, card, page, pictures
from cicada.training.report.page import Example, Page, Picture, Section, Table
from cicada.training.result import encoded
from cicada.training.windows import CONTEXT

if TYPE_CHECKING:
    from cicada.training.tasks.keyword import Run

_WRONG = 12  # clips to show
_HEARD = 6  # errors of the mixture to show
_BEFORE_S, _AFTER_S = 2.0, 0.5
_FORMS = {
    "float": "float, Keras",
    "tflite": "INT8, TensorFlow Lite",
    "tflm": "INT8, TensorFlow Lite Micro",
    "packed": "INT8, packed",
    "streaming": "INT8, packed, streaming",
}


def write(
    run: Run,
    folder: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    outputs: np.ndarray,
) -> None:
    """Write the report beside the artefacts.

    Args:
        run: the recipe's run.
        folder: of the artefacts.
        metrics: content of ``metrics.json``.
        history: of the training.
        outputs: what the INT8 model answered to the test clips, ``int8[n, classes]``.
    """
    test = run.windows("test")
    main = metrics["test"]["packed"]
    figures.curves(folder / "curves.png", history)
    title = "INT8, speakers never trained on"
    figures.confusion(folder / "confusion.png", np.array(main["confusion"]), run.labels, title)
    pictures.trade(folder / "listening.png", metrics["listening"])
    spent = _spent(run, metrics)
    sections = [
        _accuracy(folder, metrics, run.labels),
        _listening(folder, metrics),
        *([_noise(folder, metrics)] if "noise" in metrics else []),
        Section("Cost", tables=[budget.size(metrics["model"]), budget.table(spent)]),
        Section(
            "What it got wrong",
            "Clips of the test speakers, the surest mistakes first. Pictures show the features that the model"
            " sees: time to the right, pitch upwards.",
            examples=_wrong(run, test, outputs),
        ),
        Section(
            "What it heard that was not there, and what it missed",
            "From the test mixture, two seconds before and half a second after.",
            examples=_errors(run, metrics),
        ),
        Section("Training", pictures=[Picture((folder / "curves.png").read_bytes(), "Loss and accuracy")]),
        card.section(run.recipe, metrics),
    ]
    about = run.recipe.about or "A keyword model."
    made = Page(run.recipe.name, about, _facts(run, metrics), sections)
    (folder / "report.html").write_bytes(page.render(made))
    (folder / "report.json").write_bytes(encoded({**metrics, "boards": budget.as_json(spent)}))


def _facts(run: Run, metrics: dict[str, Any]) -> dict[str, str]:
    return {
        "words": ", ".join(run.corpus.words),
        "data": metrics["data"],
        **metrics["summary"],
        "model": f"{metrics['model']['bytes']:,} bytes, {metrics['model']['macs_per_s']:,} MACs a second",
        "recipe": f"{metrics['hash'][:16]}, seed {metrics['seed']}",
    }


def _accuracy(folder: Path, metrics: dict[str, Any], labels: Sequence[str]) -> Section:
    rows = []
    for name, report in metrics["test"].items():
        low, high = report["interval"]["low"], report["interval"]["high"]
        rows.append(
            [
                _FORMS[name],
                f"{report['accuracy']:.1%}",
                f"{low:.1%} to {high:.1%}",
                f"{report['balanced']:.1%}",
            ]
        )
    forms = Table(
        ["form", "accuracy", "95 % interval", "mean recall"],
        rows,
        "The same clips in every form",
        "Accuracy is on classes of about equal size; the interval is over speakers (bootstrap).",
    )
    words = metrics["test"]["packed"]["words"]
    recall = Table(
        ["word", "recall", "clips"],
        [[label, f"{words[label]['recall']:.1%}", str(words[label]["n"])] for label in labels],
        "By word",
    )
    shown = Picture((folder / "confusion.png").read_bytes(), "Who is taken for whom")
    return Section("Accuracy on clips", tables=[forms, recall], pictures=[shown])


def _listening(folder: Path, metrics: dict[str, Any]) -> Section:
    heard = metrics["listening"]
    rows = []
    for split in ("validation", "test"):
        found = heard[split]
        low, high = found["false_accepts_interval"]["low"], found["false_accepts_interval"]["high"]
        latency = "-" if found["latency_ms"] is None else f"{found['latency_ms']:.0f} ms"
        rows.append(
            [
                split,
                f"{found['hours']:.2f} h",
                f"{found['missed']} of {found['wanted']}",
                f"{found['false_accepts']}",
                f"{found['false_accepts_per_hour']:.1f} ({low:.1f} to {high:.1f})",
                latency,
            ]
        )
    columns = ["split", "length", "missed", "false accepts", "an hour", "latency, median"]
    chosen = heard["decision"]
    text = (
        "Hours of background, half of it with speech: wanted words among others, at random levels of noise."
        f" The settings, chosen on validation alone: threshold {chosen['threshold']:.2f} on the mean of"
        f" {chosen['window']} scores, an inference every {chosen['hop_frames']} frames."
    )
    picture = Picture((folder / "listening.png").read_bytes(), "False accepts against misses")
    return Section("Listening", text, [Table(columns, rows)], [picture])


def _noise(folder: Path, metrics: dict[str, Any]) -> Section:
    pictures.in_noise(folder / "noise.png", metrics["noise"])
    return Section(
        "Noise",
        "The test clips with noise of the test split laid under them.",
        pictures=[Picture((folder / "noise.png").read_bytes(), "Accuracy by speech over noise")],
    )


def _spent(run: Run, metrics: dict[str, Any]) -> list[budget.Cost]:
    cycles = budget.audio_cycles(run.window.step_ms)
    return budget.costs(metrics["model"]["instructions"], 1000 / run.pace.hop_ms, cycles, "microphone_on")


def _wrong(run: Run, test: Windows, outputs: np.ndarray) -> list[Example]:
    """The surest mistakes, with what was heard."""
    guess = outputs.argmax(axis=1)
    clips = [clip for clip in run.corpus.clips if clip.split == "test"]
    # Clips come first in the test set, in the corpus's order; silence follows.
    rows = np.flatnonzero(guess[: len(clips)] != test.y[: len(clips)])
    rows = rows[np.argsort(-outputs.max(axis=1)[rows], kind="stable")][:_WRONG]
    shown = []
    for row in rows:
        heard = scenes.evaluation(clips[row], run.corpus.backgrounds["test"], run.window)
        score = (int(outputs[row].max()) + 128) / 256
        shown.append(
            Example(
                f'"{clips[row].word}" taken for {run.labels[guess[row]]}',
                pictures.spectrogram(test.x[row]),
                page.wav(heard[CONTEXT:]),
                f"score {score:.2f}, speaker {clips[row].speaker}",
            )
        )
    return shown


def _errors(run: Run, metrics: dict[str, Any]) -> list[Example]:
    """False accepts and misses of the test mixture, with their sound."""
    decide, errors = run.recipe.decide, metrics["listening"]["errors"]
    sound = listening.mixture(run.corpus, "test", decide.hours, run.recipe.seed, decide.clips)
    moments = [
        (
            one["at"],
            f'heard "{one["word"]}"',
            f"while {one['during'] or 'nobody'} was said at {one['at']:.1f} s",
        )
        for one in errors["false_accepts"][:_HEARD]
    ]
    moments += [
        (one["end"], f'missed "{one["word"]}"', f"at {one['start']:.1f} s")
        for one in errors["missed"][:_HEARD]
    ]
    shown = []
    for at, title, note in moments:
        pcm = sound.sound(at - _BEFORE_S, at + _AFTER_S)
        shown.append(Example(title, pictures.sound(pcm, RATE), page.wav(pcm), note))
    return shown
