"""A model's two forms, what they cost, and the files that a run leaves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cicada.tools.errors import UserError
from cicada.tools.tflm import Interpreter
from cicada.training import container, export, selftest
from cicada.training.flatbuffer import Description, describe
from cicada.training.pack import pack
from cicada.training.recipe import Budget

#: Names of the engines in manifests, by those in recipes.
ENGINES = {"packed": "packed", "tflm": "TFLM"}
_LIMITS = {
    "bytes": "bytes packed",
    "macs": "multiply-accumulates an inference",
    "macs_per_s": "multiply-accumulates a second",
    "arena": "bytes of arena",
}


@dataclass(frozen=True)
class Forms:
    """One INT8 model as ``.tflite``, and packed."""

    tflite: bytes

    @cached_property
    def packed(self) -> Any:
        """What :func:`cicada.training.pack.pack` makes of it: ``blob``, ``plan``, ``instructions``."""
        return pack(self.tflite)

    @cached_property
    def interpreter(self) -> Interpreter:
        """It under TensorFlow Lite Micro."""
        return Interpreter(self.tflite)

    @cached_property
    def found(self) -> Description:
        """Its shapes, quantisation, operators and MACs."""
        return describe(self.tflite)

    def chosen(self, engine: str) -> bytes:
        """The form for an engine, "packed" or "TFLM"."""
        return self.tflite if engine == "TFLM" else self.packed.blob

    def figures(self, engine: str, per_s: float | None = None) -> dict[str, Any]:
        """What it costs.

        Args:
            engine: "packed" or "TFLM": whose bytes and arena stand first; both are under ``forms``.
            per_s: inferences a second on the device, if that is known.

        Returns:
            ``engine``, ``bytes``, ``arena``, ``macs``, ``instructions`` (RV32IMC, packed) and, with
            ``per_s``, ``macs_per_s``.
        """
        forms = {
            "packed": {
                "bytes": len(self.packed.blob),
                "arena": self.packed.plan.arena,
                "instructions": self.packed.instructions,
            },
            "TFLM": {"bytes": len(self.tflite), "arena": self.interpreter.arena},
        }
        figures = {
            "engine": engine,
            "bytes": forms[engine]["bytes"],
            "arena": forms[engine]["arena"],
            "macs": self.found.macs,
            "instructions": self.packed.instructions,
            "forms": forms,
        }
        return figures | ({"macs_per_s": round(self.found.macs * per_s)} if per_s else {})


def check_budget(budget: Budget, figures: dict[str, Any], where: str) -> None:
    """Refuse a model that the device cannot afford.

    Raises:
        UserError: it needs more than the recipe's ``budget`` has; the message says of what, and how much.
    """
    for name, text in _LIMITS.items():
        limit, needed = getattr(budget, name), figures.get(name)
        if limit is not None and needed is not None and needed > limit:
            raise UserError(
                f"{where}: the model needs {needed:,} {text}, and `budget.{name}` is {limit:,}: make it"
                " smaller in `model`, or raise the budget"
            )


def write(folder: Path, name: str, forms: Forms, engine: str, manifest: dict[str, Any]) -> None:
    """Write a model's files: both forms, the container of the chosen one, and that as C source.

    The container's manifest gains its self-test here.
    """
    about = {**manifest, "selftest": selftest.vector(forms.interpreter)}
    model = forms.chosen(engine)
    header, source = export.c_sources(model, about, f"{name}_model")
    (folder / f"{name}.tflite").write_bytes(forms.tflite)
    (folder / f"{name}.cpm").write_bytes(forms.packed.blob)
    (folder / f"{name}.cmod").write_bytes(container.pack(about, model))
    (folder / f"{name}_model.h").write_text(header, encoding="ascii")
    (folder / f"{name}_model.c").write_text(source, encoding="ascii")


def files(name: str) -> tuple[str, ...]:
    """Names of the files that :func:`write` makes."""
    return (f"{name}.tflite", f"{name}.cpm", f"{name}.cmod", f"{name}_model.c", f"{name}_model.h")
