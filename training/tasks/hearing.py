"""What a keyword model hears: accuracy on clips under every engine, decisions on streams; its artefacts."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.packed import PackedModel
from cicada.tools.runtimes import Runtime
from cicada.tools.stages import key
from cicada.training import artefacts, decision, evaluate, progress
from cicada.training.evaluation import compare, listening, noise
from cicada.training.manifest import manifest
from cicada.training.recipe import digest
from cicada.training.report import hearing as report
from cicada.training.result import encoded

if TYPE_CHECKING:
    from cicada.training.tasks.keyword import Run

SMOOTHER = decision.SMOOTHER


def measure(run: Run, folder: Path, inputs: dict[str, Any]) -> None:
    """Measure a quantised model, choose the decision's settings on validation, write all artefacts.

    Args:
        run: the recipe's run.
        folder: to fill: the model's files, ``metrics.json`` and the pictures.
        inputs: everything that the result depends on.
    """
    recipe = run.recipe
    whole, device = run.forms()
    test = run.windows("test")
    outputs = {
        "tflm": evaluate.tflm_outputs(whole.interpreter, test.x, "Test under TFLM"),
        "packed": evaluate.tflm_outputs(PackedModel(whole.packed.blob), test.x, "Test, packed"),
        "tflite": np.load(run.quantised / "int8.npy"),
        "float": np.load(run.quantised / "float.npy"),
    }
    if run.streams:
        outputs["streaming"] = streamed_outputs(PackedModel(device.packed.blob), test.x)
    reports = {
        name: evaluate.report(test.y, values, run.labels, recipe.seed, test.speaker)
        for name, values in outputs.items()
    }
    decide = recipe.decide
    packed = PackedModel(device.packed.blob)
    chosen, heard = listening.measure(
        run.corpus, packed, run.pace, recipe.seed, decide.hours, decide.clips, decide.accepts_per_hour
    )
    engine = artefacts.ENGINES[recipe.engine]
    digested = key(inputs)
    cost = device.figures(engine, 1000 / run.pace.hop_ms)
    metrics = {
        "recipe": recipe.name,
        "hash": digest(recipe),
        "task": "keyword",
        "seed": recipe.seed,
        "labels": run.labels,
        "data": run.corpus.source,
        "model": cost,
        "test": reports,
        "compared": compare.compare(outputs, test.y, test.speaker),
        "listening": heard,
    }
    if decide.snrs_db:
        metrics["noise"] = _in_noise(run, packed)
    metrics["summary"] = _summary(metrics)
    about = manifest(
        device.found,
        name=recipe.name,
        window=run.window,
        version=f"{importlib.metadata.version('cicada')}+{digested[:8]}",
        labels=run.labels,
        engine=engine,
        arena=cost["arena"],
        decision=chosen,
        data=run.corpus.source,
        inputs=digested,
        recipe=digest(recipe),
    )
    artefacts.write(folder, recipe.name, device, engine, about)
    (folder / "metrics.json").write_bytes(encoded(metrics))
    history = json.loads((run.trained / "history.json").read_text())
    report.write(run, folder, metrics, history, outputs["packed"])


def streamed_outputs(model: Runtime, x: np.ndarray) -> np.ndarray:
    """Last outputs ``int8[n, classes]`` of a streaming model that hears each window from its beginning.

    Args:
        model: takes ``stride`` frames a call.
        x: ``int8[n, frames, 40]``; the frames before the first whole step are skipped.
    """
    shape = model.input["shape"]
    stride = shape[1]
    outputs = []
    with progress.bar("Test, streaming", len(x)) as advance:
        for window in x:
            model.reset()
            for at in range(len(window) % stride, len(window), stride):
                output = model.invoke(window[at : at + stride])
            outputs.append(output)
            advance()
    return np.stack(outputs)


def _in_noise(run: Run, model: PackedModel) -> list[dict[str, Any]]:
    corpus = run.corpus
    clips = [clip for clip in corpus.clips if clip.split == "test"]
    sounds = corpus.backgrounds["test"]
    levels = (None, *run.recipe.decide.snrs_db)
    return noise.by_snr(
        clips, corpus.words, sounds, sounds, model, run.pace, run.window, run.recipe.seed, levels
    )


def _summary(metrics: dict[str, Any]) -> dict[str, str]:
    """What the command line shows of it."""
    shown = {}
    for name, figures in metrics["test"].items():
        interval = figures["interval"]
        shown[f"test, {name}"] = (
            f"{figures['accuracy']:.1%} ({interval['low']:.1%} to {interval['high']:.1%})"
        )
    test = metrics["listening"]["test"]
    shown["listening"] = (
        f"{test['detected']} of {test['wanted']} words heard, {test['false_accepts']} false in"
        f" {test['hours'] * 60:.0f} min of test speakers and noise"
    )
    return shown
