"""The table of targets: shipped recipes with several seeds on real recordings, for docs/results.md."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from cicada.tools import stages
from cicada.tools.audio import RATE
from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD, ROOT
from cicada.tools.stages import write_atomic
from cicada.training import recipe as recipes
from cicada.training.commands import task_of
from cicada.training.evaluation.intervals import over_seeds
from cicada.training.evaluation.strangers import hear
from cicada.training.result import encoded
from cicada.training.tasks.making import code
from cicada.training.windows import CONTEXT, TAIL, Window

DOCUMENT = ROOT / "docs" / "results.md"
_BEGIN, _END = "<!-- targets: begin -->", "<!-- targets: end -->"
#: Folders of a collection of recordings, by what a recipe's corpus is.
FOLDERS = {"folder": "speech_commands", "cwru": "bearings_cwru", "adi": "bearings_adi", "fan": "fan_esp32"}


#: Recipes with other words, trained on synthesis alone and tried on real people who say them. They have no
#: targets, and one seed is enough to show by how much people differ from synthetic voices.
VARIANTS = {f"wake_{word}": ("wake_word", word) for word in ("yes", "marvin")}
_NOISE = "esc10"
_HOURS = 4.0  # of real sound: no false accept in them still allows 0.9 an hour (95 %)


@dataclass(frozen=True)
class Target:
    """One figure that a recipe is to reach.

    Attributes:
        recipe: its name.
        what: in words.
        figure: from ``metrics.json``.
        least, most: what it is to be; one of them.
        scale: of the figure as shown.
        unit: as shown.
    """

    recipe: str
    what: str
    figure: Callable[[dict[str, Any]], float]
    least: float | None = None
    most: float | None = None
    scale: float = 100.0
    unit: str = " %"

    def met(self, value: float) -> bool:
        """Whether a figure is what it is to be."""
        return value >= self.least if self.least is not None else value <= self.most

    def wanted(self) -> str:
        """What it is to be, in words."""
        if self.least is not None:
            return f"at least {self.least * self.scale:g}{self.unit}"
        return f"at most {self.most * self.scale:g}{self.unit}"


def _accuracy(form: str) -> Callable[[dict[str, Any]], float]:
    return lambda metrics: metrics["test"][form]["accuracy"]


def _apart(one: str, other: str) -> Callable[[dict[str, Any]], float]:
    return lambda metrics: abs(metrics["test"][one]["accuracy"] - metrics["test"][other]["accuracy"])


def _accepts(metrics: dict[str, Any]) -> float:
    return metrics["strangers"]["false_accepts_per_hour"]


def _missed_strangers(metrics: dict[str, Any]) -> float:
    found = metrics["strangers"]
    return found["missed"] / found["wanted"]


def _missed(metrics: dict[str, Any]) -> float:
    test = metrics["listening"]["test"]
    return test["missed"] / test["wanted"]


def _faults(metrics: dict[str, Any]) -> float:
    return metrics["test"]["macro_f1"]


def _judged(metrics: dict[str, Any]) -> float:
    return metrics["test"]["spans"]["4"]


def _leaky(metrics: dict[str, Any]) -> float:
    return metrics["test"]["leaky"]


def _onsets(metrics: dict[str, Any]) -> dict[str, Any]:
    delay = metrics["test"]["delay"]
    return delay.get("recorded", delay)


def _reported(metrics: dict[str, Any]) -> float:
    found = _onsets(metrics)
    return found["found"] / found["streams"]


def _delay(metrics: dict[str, Any]) -> float:
    found = _onsets(metrics)["median_s"]
    return math.inf if found is None else found


def _onset(recipe: str) -> tuple[Target, Target]:
    """Figures on recordings in which a fault begins, by the node's own decision."""
    return (
        Target(recipe, "onsets of faults that are reported", _reported),
        Target(recipe, "delay after the onset, median", _delay, scale=1, unit=" s"),
    )


def _model(name: str) -> Callable[[dict[str, Any]], float]:
    return lambda metrics: metrics["model"][name]


def _count(recipe: str, name: str, most: float, unit: str) -> Target:
    return Target(recipe, f"model, {name}", _model(name), most=most, scale=1, unit=unit)


TARGETS = (
    Target("kws12", "accuracy, twelve classes", _accuracy("packed"), least=0.91),
    Target("kws12", "INT8 and float apart", _apart("packed", "float"), most=0.005),
    Target("kws12", "streaming and whole windows apart", _apart("streaming", "packed"), most=0.005),
    _count("kws12", "bytes", 65536, " bytes"),
    _count("kws12", "macs_per_s", 6e6, " MACs/s"),
    Target(
        "kws12",
        "features, times real time a core",
        lambda m: m["features_rate"],
        least=400,
        scale=1,
        unit="",
    ),
    Target("yes_no", "accuracy, four classes", _accuracy("packed"), least=0.96),
    Target("yes_no", "INT8 and float apart", _apart("packed", "float"), most=0.005),
    Target("wake_word", "false accepts an hour, real sound", _accepts, most=1.0, scale=1, unit=""),
    Target("wake_word", "misses, synthetic voices held out", _missed, most=0.15),
    Target("wake_yes", "misses, real people", _missed_strangers),
    Target("wake_yes", "false accepts an hour, real sound", _accepts, scale=1, unit=""),
    Target("wake_marvin", "misses, real people", _missed_strangers),
    Target("wake_marvin", "false accepts an hour, real sound", _accepts, scale=1, unit=""),
    Target("bearing_faults", "macro F1 of windows", _faults, least=0.95, scale=1, unit=""),
    Target("bearing_faults", "macro F1 as the node judges, 4 windows", _judged, least=0.95, scale=1, unit=""),
    Target("bearing_faults", "the leaky split, windows: a warning", _leaky, scale=1, unit=""),
    _count("bearing_faults", "bytes", 20480, " bytes"),
    *_onset("bearing_faults"),
    Target("fan_anomaly", "AUROC", lambda m: m["test"]["auroc"], least=0.98, scale=1, unit=""),
    _count("fan_anomaly", "bytes", 20480, " bytes"),
    *_onset("fan_anomaly"),
    Target("machine_anomaly", "AUROC", lambda m: m["test"]["auroc"], scale=1, unit=""),
    _count("machine_anomaly", "bytes", 20480, " bytes"),
    *_onset("machine_anomaly"),
)


def results(folder: Path, seeds: int, only: Sequence[str], write: bool, tiny: bool) -> int:
    """Run the recipes and show the table.

    Args:
        folder: has the folders of :data:`FOLDERS`.
        seeds: 1 to so many.
        only: names of recipes; all that have targets if empty.
        write: put the table into docs/results.md.
        tiny: cut the recipes down; the figures are worth nothing, and are not written.

    Raises:
        UserError: a folder is missing, or a recipe has no targets.
    """
    names = list(dict.fromkeys(target.recipe for target in TARGETS))
    strange = [name for name in only if name not in names]
    if strange:
        raise UserError(f"no targets for {', '.join(strange)}: choose from {', '.join(names)}")
    if tiny and write:
        raise UserError("figures of tiny recipes are worth nothing: leave out --write or --tiny")
    chosen = [name for name in names if not only or name in only]
    # All folders are looked for before hours of work begin.
    places = {name: _place(name, folder) for name in chosen}
    found = {
        name: [
            _one(name, seed, folder, places[name], tiny)
            for seed in range(1, (1 if name in VARIANTS else seeds) + 1)
        ]
        for name in chosen
    }
    table = _table(found)
    print(table)
    if write:
        _write(table, seeds, only)
    return 0


def _recipe(name: str) -> recipes.Recipe:
    """A shipped recipe, or a variant of one."""
    shipped, word = VARIANTS.get(name, (name, None))
    recipe = recipes.load(recipes.find(shipped))
    if word is None:
        return recipe
    corpus = msgspec.structs.replace(recipe.corpus, words=(word,), said={})
    return msgspec.structs.replace(recipe, name=name, corpus=corpus)


def _place(name: str, folder: Path) -> Path | None:
    """What a recipe is trained on; synthesis is only tried on recordings."""
    kind = _recipe(name).corpus.kind
    needed = [FOLDERS[kind]] if kind in FOLDERS else [FOLDERS["folder"], _NOISE]
    for place in (folder / one for one in needed):
        if not place.is_dir():
            raise UserError(f"there is no folder {place}, which recipe '{name}' needs: see docs/data.md")
    return folder / needed[0] if kind in FOLDERS else None


def _one(name: str, seed: int, folder: Path, place: Path | None, tiny: bool) -> dict[str, Any]:
    """Metrics of one run, and the minutes that its stages took when they were made."""
    recipe = msgspec.structs.replace(_recipe(name), seed=seed)
    task = task_of(recipe)
    if tiny:
        recipe = task.tiny(recipe)
    out = BUILD / "results" / f"{name}-{seed}{'-tiny' if tiny else ''}"
    print(f"{name}, seed {seed}", flush=True)
    with stages.watched() as used:
        metrics = task.run(recipe, place, out)
    metrics = {**metrics, "minutes": stages.seconds(used) / 60}
    if isinstance(recipe, recipes.KeywordRecipe):
        window = Window(recipe.frontend.step_ms, recipe.frontend.frames)
        metrics["features_rate"] = _features_rate(used, window)
    if place is None:
        blob = (out / f"{recipe.name}.cmod").read_bytes()
        metrics["strangers"] = _strangers(blob, folder, 0.01 if tiny else _HOURS, seed)
    return metrics


def _strangers(blob: bytes, folder: Path, hours: float, seed: int) -> dict[str, Any]:
    """What a model makes of real people and noise; kept, for it takes minutes."""
    speech, sounds = folder / FOLDERS["folder"], folder / _NOISE

    def make(work: Path) -> None:
        (work / "heard.json").write_bytes(encoded(hear(blob, speech, [sounds], hours, seed)))

    inputs = {
        "model": hashlib.sha256(blob).hexdigest(),
        "recordings": stages.hash_files([speech, sounds]),
        "hours": hours,
        "seed": seed,
        "code": code("decision", "streaming", "scenes", "augment", "corpora/speech_commands", "evaluation"),
    }
    return json.loads((stages.stage("strangers", inputs, make) / "heard.json").read_text(encoding="utf-8"))


def _features_rate(used: Sequence[Path], window: Window) -> float:
    """Seconds of sound that became training features in a second of one core.

    A little more than shown, for those of validation and test came along.
    """
    (folder,) = {one for one in used if one.name.startswith("features-")}
    with np.load(folder / "train.npz") as arrays:
        samples = len(arrays["x"]) * (CONTEXT + window.samples + TAIL)
    return samples / RATE / stages.seconds([folder]) / (os.cpu_count() or 1)


def _table(found: dict[str, list[dict[str, Any]]]) -> str:
    """The targets as a table in Markdown."""
    rows = [
        "| recipe | figure | target | mean of seeds | 95 % interval | each seed | met |",
        "|---|---|---|---:|---:|---|---|",
    ]
    for target in TARGETS:
        if target.recipe not in found:
            continue
        values = [target.figure(metrics) for metrics in found[target.recipe]]
        rows.append(_row(target, values))
    for name, metrics in found.items():
        minutes = [one["minutes"] for one in metrics]
        shown = ", ".join(f"{value:.1f}" for value in minutes)
        # Others may have run beside other work, and nothing makes a run faster than it is.
        limit = Target(
            name,
            "minutes, end to end; the fastest counts",
            lambda m: m["minutes"],
            most=30,
            scale=1,
            unit=" min",
        )
        wanted, met = (limit.wanted(), _yes(min(minutes) <= 30)) if name == "kws12" else ("", "")
        mean = sum(minutes) / len(minutes)
        rows.append(f"| {name} | {limit.what} | {wanted} | {mean:.1f} | | {shown} | {met} |")
    return "\n".join(rows)


def _row(target: Target, values: list[float]) -> str:
    scale = target.scale
    digits = 0 if abs(values[0] * scale) >= 1000 else (1 if scale == 100 else 3)
    if not all(map(math.isfinite, values)):
        return f"| {target.recipe} | {target.what} | | none found | | | |"
    interval = over_seeds(values)

    def text(value: float) -> str:
        return f"{value * scale:,.{digits}f}"

    if interval.low is None or interval.low == interval.high:
        between = ""
    else:
        between = f"{text(interval.low)} to {text(interval.high)}"
    goal = target.least is not None or target.most is not None
    mean = sum(values) / len(values)
    cells = (
        target.recipe,
        target.what,
        target.wanted() if goal else "",
        f"{text(mean)}{target.unit}",
        between,
        ", ".join(dict.fromkeys(text(value) for value in values)),
        _yes(target.met(mean)) if goal else "",
    )
    return "| " + " | ".join(cells) + " |"


def _yes(met: bool) -> str:
    return "yes" if met else "**no**"


def _write(table: str, seeds: int, only: Sequence[str]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    if _BEGIN not in text or _END not in text:
        raise UserError(f"{DOCUMENT} has no place for the table: it must have the lines {_BEGIN} and {_END}")
    before, rest = text.split(_BEGIN, 1)
    after = rest.split(_END, 1)[1]
    asked = f" --only {','.join(only)}" if only else ""
    command = f"`cicada results FOLDER --seeds {seeds}{asked} --write` made this table."
    write_atomic(DOCUMENT, f"{before}{_BEGIN}\n{command}\n\n{table}\n{_END}{after}".encode())
