"""The model card: what a model is for, what it learnt from, and what it was not tried on."""

from __future__ import annotations

from typing import Any

from cicada.training.recipe import Recipe, task
from cicada.training.report.page import Section

_MACHINES = (
    "Other machines, mountings, speeds, loads and sensors than those of the recordings were not measured."
)
_USE = {
    "keyword": "Hearing the words it was trained for, on a device that listens all the time. Not for telling"
    " who speaks, and not for anything whose failure hurts somebody.",
    "vibration": "Naming the fault of a machine like those it was trained on. It is no substitute for the"
    " checks that the machine's maker asks for.",
    "anomaly": "Saying that a machine is not as it was when it was recorded. It does not say why.",
    "image": "Saying what is in a picture like those it was trained on. Not for telling who somebody is, and"
    " not for anything whose failure hurts somebody.",
}
_LIMITS = {
    "keyword": "Accents, ages, rooms and microphones that the recordings lack were not measured, nor were"
    " other languages.",
    "vibration": _MACHINES,
    "anomaly": _MACHINES,
    "image": "Other cameras, light and distances than those of the pictures were not measured.",
}


def section(recipe: Recipe, metrics: dict[str, Any]) -> Section:
    """The card as a part of a report.

    Args:
        recipe: what was run.
        metrics: content of ``metrics.json``.
    """
    kind = task(recipe)
    rows = (
        ["intended use", _USE[kind]],
        ["learnt from", metrics["data"]],
        ["classes", ", ".join(metrics["labels"])],
        ["not measured", _LIMITS[kind]],
        ["hardware", "Measured on a computer with the device's own code; not run on hardware."],
        ["recipe", f"{recipe.name}, hash {metrics['hash']}, seed {metrics['seed']}"],
        ["licence", "That of the recordings applies to what is learnt from them; see their source."],
    )
    text = "\n\n".join(f"{name.capitalize()}: {value}" for name, value in rows)
    return Section("Model card", text)
