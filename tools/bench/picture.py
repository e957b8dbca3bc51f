"""The models' instructions and memory beside TensorFlow Lite Micro's, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cicada.tools.bench.suite import Suite
from cicada.training.figures import figure

_TFLM, _ESPNN, _OURS = "#c8c8c8", "#8a8a8a", "#0072B2"


def draw(suite: Suite, path: Path) -> None:
    """Draw the reference models of ``suite``; nothing if there is none.

    Raises:
        OSError: the file cannot be written.
    """
    models = [model for model in suite.models if model.reference]
    if not models:
        return
    at = np.arange(len(models))
    with figure(path, (9.5, 0.55 * len(models) + 1.2), ncols=2) as (_, axes):
        macs = np.array([model.cost.macs for model in models])
        rows = (
            ("TFLM, reference kernels", _TFLM, [model.reference.tflm for model in models] / macs),
            ("TFLM, ESP-NN's C kernels", _ESPNN, [model.reference.espnn for model in models] / macs),
            ("Cicada, packed", _OURS, [model.cost.instructions for model in models] / macs),
        )
        for number, (label, colour, values) in enumerate(rows):
            bars = axes[0].barh(at + 0.27 * (number - 1), values, 0.25, color=colour, label=label)
            axes[0].bar_label(bars, fmt="{:.1f}", padding=2, fontsize=7)
        axes[0].set_title("Instructions a multiply-accumulate (RV32IMC)")
        rows = (
            (_ESPNN, [model.reference.arena for model in models]),
            (_OURS, [model.cost.arena_bytes + model.cost.model_bytes for model in models]),
        )
        for number, (colour, values) in enumerate(rows):
            kilobytes = np.array(values) / 1000
            bars = axes[1].barh(at + 0.3 * (number - 0.5), kilobytes, 0.28, color=colour)
            axes[1].bar_label(bars, fmt="{:.1f}", padding=2, fontsize=7)
        axes[1].set_title("RAM, kB")
        axes[1].legend(*axes[0].get_legend_handles_labels(), loc="upper right", fontsize=8)
        for axis in axes:
            axis.set_yticks(at, [model.name for model in models])
            axis.invert_yaxis()
            axis.margins(x=0.12)
        axes[1].set_yticklabels([])
