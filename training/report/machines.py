"""The report of a model that watches a machine: `report.html`, `report.json` and the pictures of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cicada.tools import vibration
from cicada.training import evaluate, figures
from cicada.training.evaluation import faults
from cicada.training.evaluation.intervals import Interval, bootstrap
from cicada.training.recipe import AnomalyRecipe, VibrationFrontEnd, VibrationRecipe
from cicada.training.report import budget, card, mistakes, page, pictures
from cicada.training.report.mistakes import Judged
from cicada.training.report.page import Example, Page, Picture, Section, Table
from cicada.training.result import encoded

_DRAWS = 200  # of an interval

Onsets = Mapping[str, Sequence[tuple[np.ndarray, float]]]
_ONSETS = {
    "recorded": "windows of the sound machine, then those of a recorded fault, put together",
    "generated": "recordings of the physical generator, in which a fault begins and grows",
}


def write_faults(
    recipe: VibrationRecipe,
    folder: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    folds: Sequence[Judged],
    onsets: Onsets,
) -> None:
    """Write the report of a model that names faults, beside its artefacts.

    Args:
        recipe: what was run.
        folder: of the artefacts.
        metrics: content of ``metrics.json``.
        history: of the training of the model that is kept.
        folds: tests of all folds, each by its own model.
        onsets: INT8 scores of streams and the second at which the fault begins, as
            :func:`cicada.training.evaluation.faults.delays` takes them, by ``recorded`` or ``generated``.
    """
    labels, test = recipe.labels, metrics["test"]
    parts = [(one, one.examples.y(labels)) for one in folds]
    windows = sum(evaluate.confusion(y, one.scores.argmax(axis=1), len(labels)) for one, y in parts)
    whole = sum(_of_recordings(one, y, len(labels)) for one, y in parts)
    shown = [
        _confused(folder / "confusion.png", windows, labels, "Windows"),
        _confused(folder / "recordings.png", whole, labels, "Recordings, by their mean score"),
    ]
    text = (
        f"Tested on what was not trained on, by {recipe.corpus.split}, in {len(folds)} folds; the model that"
        " is kept is that of the first. Figures are macro F1; intervals are over bearings (bootstrap), and"
        " too narrow where there are fewer than about ten."
    )
    if test["by_time"]:
        text += (
            f"\n\nOf {', '.join(test['by_time'])} there is one bearing only, so it was cut by time: its test"
            f" is easier, and the same in every fold. Without it: {test['split_f1']:.3f} a window."
        )
    leak = (
        "Another split, which lets windows of one recording both train and test, gives"
        f" {test['leaky']:.3f} where the split above gives {test['float_macro_f1']:.3f} (both in float,"
        " by window). "
    )
    if test["leaky"] > test["float_macro_f1"]:
        leak += "What lies between is the recording known again rather than its fault. "
    leak += "Do not believe figures of such splits, here or elsewhere."
    sections = [
        Section("Accuracy", text, [_of_folds(test), _by_bearing(folds, labels)], shown),
        Section("Warning: the leaky split", leak, [_honest(test)]),
        *_around(folder, test["delay"], recipe.frontend, onsets),
    ]
    _finish(
        recipe,
        folder,
        metrics,
        history,
        sections,
        [mistakes.worst(one, y, one.scores.argmax(axis=1), labels, recipe.frontend) for one, y in parts],
        {"confusion": {"windows": windows.tolist(), "recordings": whole.tolist()}},
    )


def write_anomalies(
    recipe: AnomalyRecipe,
    folder: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    judged: Judged,
    onsets: Onsets,
) -> None:
    """Write the report of a model that tells how far from normal a machine is.

    Args:
        recipe: what was run.
        folder: of the artefacts.
        metrics: content of ``metrics.json``.
        history: of the training; empty for a model that is calculated rather than trained.
        judged: the test.
        onsets: as for :func:`write_faults`.
    """
    labels, test, examples = metrics["labels"], metrics["test"], judged.examples
    sick = np.array([one.label not in recipe.normal for one in examples.recordings])
    y, score = sick[examples.recording].astype(np.int64), judged.scores[:, 1]
    guess = (score >= faults.THRESHOLD).astype(np.int64)
    means, owner = faults.averaged(score[:, None], examples.recording, len(score))
    windows = evaluate.confusion(y, guess, 2)
    whole = evaluate.confusion(
        sick[owner].astype(np.int64), (means[:, 0] >= faults.THRESHOLD).astype(np.int64), 2
    )
    kinds = {"normal": score[y == 0], "faulty": score[y == 1]}
    pictures.histogram(folder / "scores.png", kinds, faults.THRESHOLD)
    pictures.roc(folder / "roc.png", score, y == 1, faults.THRESHOLD, faults.MAX_FPR)
    shown = [
        _picture(folder / "scores.png", "Scores", "windows of the test"),
        _picture(folder / "roc.png", "Detections against false alarms", "windows of the test"),
        _confused(folder / "confusion.png", windows, labels, "Windows, at the threshold"),
        _confused(folder / "recordings.png", whole, labels, "Recordings, by their mean score"),
    ]
    trusted = _intervals(examples.recording, y == 1, score)
    text = (
        "Neither weights nor threshold have seen a fault. Normal recordings are split by"
        f" {recipe.corpus.split}; {test['windows']['normal']:,} normal windows and"
        f" {test['windows']['faulty']:,} faulty ones are the test. Intervals are over recordings (bootstrap),"
        " and too narrow where there are fewer than about ten."
    )
    alarms = metrics["validation"]["false_alarms"]
    sections = [
        Section("Detection", text, [_detection(test, trusted, alarms), _by_kind(test)], shown),
        *_around(folder, {"recorded": test["delay"]}, recipe.frontend, onsets),
    ]
    extra = {
        "confusion": {"windows": windows.tolist(), "recordings": whole.tolist()},
        "intervals": {name: one.as_json() for name, one in trusted.items()},
    }
    wrong = mistakes.worst(judged, y, guess, labels, recipe.frontend)
    _finish(recipe, folder, metrics, history, sections, [wrong], extra)


def _finish(
    recipe: VibrationRecipe | AnomalyRecipe,
    folder: Path,
    metrics: dict[str, Any],
    history: Sequence[Mapping[str, float]],
    sections: list[Section],
    wrong: Sequence[list[tuple[float, Example]]],
    extra: Mapping[str, Any],
) -> None:
    """Add what all these reports have, and write them."""
    front, model = recipe.frontend, metrics["model"]
    per_s = front.rate_hz / front.samples
    each = vibration.instructions(front.samples, front.bands, front.axes, front.envelope)
    spent = budget.costs(model["instructions"], per_s, budget.instructed_cycles(each * per_s))
    note = (
        f"{per_s:.2f} windows a second: the front end takes {each:,} instructions each, the model"
        f" {model['instructions']:,}. Current and energy are the chip's alone, without the accelerometer."
    )
    best = sorted((pair for one in wrong for pair in one), key=lambda pair: -pair[0])[: mistakes.COUNT]
    if best:
        text = (
            "Windows of the test, the surest mistakes first. Features are in steps of the front end, bands"
            " from low to high, beside the test's means of the classes."
        )
    else:
        text = "No window of the test."
    sections += [
        Section("Cost", tables=[budget.size(model), budget.table(spent, note)]),
        Section("What it got wrong", text, examples=[example for _, example in best]),
    ]
    if history:
        pictures.training(folder / "curves.png", history)
        sections.append(Section("Training", pictures=[_picture(folder / "curves.png", "By epoch")]))
    sections.append(card.section(recipe, metrics))
    facts = {
        "data": metrics["data"],
        **metrics["summary"],
        "model": f"{model['bytes']:,} bytes, {model['macs']:,} MACs a window",
        "recipe": f"{metrics['hash'][:16]}, seed {metrics['seed']}",
    }
    made = Page(recipe.name, recipe.about or "A model that watches a machine.", facts, sections)
    (folder / "report.html").write_bytes(page.render(made))
    (folder / "report.json").write_bytes(encoded({**metrics, **extra, "boards": budget.as_json(spent)}))


def _of_recordings(judged: Judged, y: np.ndarray, classes: int) -> np.ndarray:
    """Confusion of recordings, each judged by the mean of its windows."""
    recording = judged.examples.recording
    means, owner = faults.averaged(judged.scores, recording, len(recording))
    truth = np.array([y[recording == number][0] for number in owner])
    return evaluate.confusion(truth, means.argmax(axis=1), classes)


def _of_folds(test: Mapping[str, Any]) -> Table:
    rows = []
    for number, one in enumerate(test["folds"], 1):
        found = one["int8"]
        rows.append(
            [
                f"fold {number}",
                _text(Interval(**found["interval"])),
                *(f"{found['spans'][span]:.3f}" for span in ("4", "16")),
                f"{found['recordings']['macro_f1']:.3f}",
                f"{one['float']['macro_f1']:.3f}",
            ]
        )
    spans = test["spans"]
    mean = [test["macro_f1"], spans["4"], spans["16"], test["recordings"], test["float_macro_f1"]]
    rows.append(["mean", *(f"{value:.3f}" for value in mean)])
    columns = ["INT8", "a window, 95 % interval", "over 4", "over 16", "a recording", "in float, a window"]
    return Table(columns, rows, "By fold")


def _by_bearing(folds: Sequence[Judged], labels: Sequence[str]) -> Table:
    rows = []
    for number, one in enumerate(folds, 1):
        y, guess = one.examples.y(labels), one.scores.argmax(axis=1)
        owners = np.array([recording.bearing for recording in one.examples.recordings])
        owners = owners[one.examples.recording]
        for name in sorted(set(owners)):
            own = owners == name
            label = ", ".join(labels[n] for n in np.unique(y[own]))
            rows.append([name, label, f"{number}", f"{own.sum():,}", f"{(guess == y)[own].mean():.1%}"])
    return Table(["bearing", "what it has", "fold", "windows", "recall"], rows, "By bearing")


def _honest(test: Mapping[str, Any]) -> Table:
    rows = [
        ["bearings or recordings apart", f"{test['float_macro_f1']:.3f}", "yes"],
        ["windows at random", f"{test['leaky']:.3f}", "no"],
    ]
    return Table(["split", "macro F1 a window, float", "to be believed"], rows)


def _intervals(recording: np.ndarray, faulty: np.ndarray, score: np.ndarray) -> dict[str, Interval]:
    """95 % intervals over recordings of what :func:`_detection` shows."""

    def area(name: str, rows: np.ndarray) -> float:
        own = faulty[rows]
        return np.nan if own.all() or not own.any() else faults.areas(score[rows], own)[name]

    def share(of: bool, rows: np.ndarray) -> float:
        own = score[rows][faulty[rows] == of]
        return float((own >= faults.THRESHOLD).mean()) if len(own) else np.nan

    wanted = {
        "auroc": lambda rows: area("auroc", rows),
        "pauc": lambda rows: area("pauc", rows),
        "false_alarms": lambda rows: share(False, rows),
        "detected": lambda rows: share(True, rows),
    }
    return {name: bootstrap(recording, one, draws=_DRAWS) for name, one in wanted.items()}


def _detection(test: Mapping[str, Any], trusted: Mapping[str, Interval], alarms: float) -> Table:
    names = {
        "auroc": "AUROC, a window",
        "pauc": f"pAUC up to {faults.MAX_FPR:.0%} false alarms",
        "false_alarms": f"false alarms, share of windows at {faults.THRESHOLD:g}",
        "detected": f"detected, share of windows at {faults.THRESHOLD:g}",
    }
    rows = [
        [text, f"{test[name]:.3f}", _ends(trusted[name]), f"{test['float'][name]:.3f}"]
        for name, text in names.items()
    ]
    for span in ("4", "16"):
        areas = (test["spans"][span], test["float"]["spans"][span])
        rows.append([f"AUROC, over {span} windows", f"{areas[0]:.3f}", "-", f"{areas[1]:.3f}"])
    areas = (test["recordings"]["auroc"], test["float"]["recordings"]["auroc"])
    rows.append(["AUROC, a recording", f"{areas[0]:.3f}", "-", f"{areas[1]:.3f}"])
    note = f"The threshold was set by normal windows of the validation, of which {alarms:.1%} lie above it."
    return Table(["figure", "INT8", "95 % interval", "in float"], rows, "Figures", note)


def _by_kind(test: Mapping[str, Any]) -> Table:
    rows = [
        [kind, f"{area:.3f}", f"{test['float']['kinds'][kind]:.3f}"] for kind, area in test["kinds"].items()
    ]
    return Table(["kind of fault", "AUROC, INT8", "in float"], rows, "By kind")


def _around(
    folder: Path, delays: Mapping[str, Any], front: VibrationFrontEnd, onsets: Onsets
) -> list[Section]:
    """Scores around the beginning of faults, and how soon the device reports them; or nothing."""
    rows, shown = [], []
    for name, streams in onsets.items():
        delay = delays[name]
        late = [
            "-" if delay[figure] is None else f"{delay[figure]:.2f} s" for figure in ("median_s", "worst_s")
        ]
        rows.append([name, str(delay["streams"]), str(delay["found"]), str(delay["early"]), *late])
        scores = [(_running(one, delay["window"]), at) for one, at in streams]
        path = folder / f"onset_{name}.png"
        window_s = front.samples / front.rate_hz
        pictures.onset(path, scores, window_s, delay["threshold"], delay["clear"])
        shown.append(_picture(path, f"Faults that begin, {name}", _ONSETS[name]))
    if not rows:
        return []
    text = (
        "The device's own decision over the scores, with the settings of the manifest: it reports a"
        f" fault where a score, averaged over {delay['window']} windows, reaches {delay['threshold']:g} in"
        f" {delay['hold']} windows in a row. A delay counts from the beginning of the fault."
    )
    columns = ["streams", "there are", "found", "reported before", "delay, median", "worst"]
    return [Section("When a fault begins", text, [Table(columns, rows)], shown)]


def _running(outputs: np.ndarray, span: int) -> NDArray[np.float64]:
    """The score of the likeliest fault as the device has it: averaged, missing windows counting as 0."""
    scores = (outputs[:, 1:].astype(np.float64) + 128) / 255
    sums = np.cumsum(np.concatenate([np.zeros((span, scores.shape[1])), scores]), axis=0)
    return ((sums[span:] - sums[:-span]) / span).max(axis=1)


def _confused(path: Path, matrix: np.ndarray, labels: Sequence[str], title: str) -> Picture:
    figures.confusion(path, matrix, labels, title, "there")
    return _picture(path, title)


def _picture(path: Path, title: str, note: str = "") -> Picture:
    return Picture(path.read_bytes(), title, note)


def _text(interval: Interval) -> str:
    return f"{interval.estimate:.3f} ({_ends(interval)})"


def _ends(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return "none"
    return f"{interval.low:.3f} to {interval.high:.3f}"
