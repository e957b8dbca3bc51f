"""``cicada train --search`` and ``--compare``: one recipe in several sizes, or compressed in several ways."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.stages import write_atomic
from cicada.training import evaluate, search
from cicada.training.recipe import Budget, KeywordRecipe, Recipe, digest, task
from cicada.training.report import page
from cicada.training.result import encoded

if TYPE_CHECKING:
    from cicada.training.compress.compare import Row as CompressionRow
    from cicada.training.evaluation.ablation import Row as AugmentationRow

# A trial's training: this share of the recipe's epochs, but no fewer than this unless the recipe has fewer.
_SHARE, _LEAST = 4, 4


def shortened(recipe: Recipe) -> Recipe:
    """The recipe with a quarter of its epochs, at least 4: enough to tell sizes apart, not to use them.

    Training, pruning and quantisation-aware training become shorter; a teacher, which all sizes share, does
    not.
    """
    replace = msgspec.structs.replace
    return replace(
        recipe,
        train=replace(recipe.train, epochs=_fewer(recipe.train.epochs)),
        quantise=replace(recipe.quantise, aware_epochs=_fewer(recipe.quantise.aware_epochs)),
        prune=recipe.prune and replace(recipe.prune, epochs=_fewer(recipe.prune.epochs)),
    )


def _fewer(epochs: int) -> int:
    return min(epochs, max(_LEAST, epochs // _SHARE))


def find(
    recipe: Recipe, trials: int, data: Path | None, folder: Path, cache: Path | None = None
) -> dict[str, Any]:
    """Search for sizes of a recipe's model within the recipe's budget.

    Accuracy is that of the INT8 model on validation, mean over the classes. What the test says is not looked
    at: it is for the one model that is chosen in the end, trained in full.

    Args:
        recipe: what to vary.
        trials: models to train, those of an interrupted search included.
        data: folder of recordings; comes before the recipe's.
        folder: for the search's files, see :func:`cicada.training.search.search`.
        cache: where stages are kept (default ``build/cache``).

    Returns:
        the content of ``search.json``.

    Raises:
        UserError: the recipe is for anomalies, its recordings are bad, or no size keeps its budget.
    """
    kind = task(recipe)
    if kind == "anomaly":
        raise UserError(
            f"recipe '{recipe.name}' is for anomalies, whose models have no sizes to search and whose faults"
            " are for the test alone: leave out --search"
        )
    module = importlib.import_module(f"cicada.training.tasks.{kind}")
    # Bad recordings are one line now, and later a failure of each size. The search checks the budget.
    module.plan(msgspec.structs.replace(recipe, budget=Budget()), data)

    def judge(candidate: Recipe) -> dict[str, float]:
        outputs, y = module.validated(shortened(candidate), data, cache)
        matrix = evaluate.confusion(y, outputs.argmax(axis=1), outputs.shape[1])
        return {"accuracy": evaluate.balanced(matrix), "examples": len(y)}

    return search.search(recipe, trials, recipe.budget, judge, folder)


def front(recipe: Recipe, content: Mapping[str, Any]) -> Table:
    """The sizes that no other beats, the most accurate first; from the content of ``search.json``."""
    rows = [row for row in content["trials"] if row["number"] in content["pareto"]]
    trained = sum(row["state"] == "trained" for row in content["trials"])
    epochs, own = shortened(recipe).train.epochs, recipe.train.epochs
    instead = f" instead of {own}" if epochs < own else ""
    table = Table(
        title=f"{recipe.name}: {len(rows)} of {trained} sizes, which no other beats",
        caption=f"trained for {epochs} epochs{instead}; accuracy of the INT8 model on validation, mean over"
        " the classes",
    )
    per_s = content["cost"] == "macs_per_s"
    stepped = any("step_ms" in row for row in rows)
    for name in ("trial", "accuracy", "MACs/s" if per_s else "MACs", "bytes", "arena", "width", "depth"):
        table.add_column(name, justify="right")
    if stepped:
        table.add_column("step", justify="right")
    for row in sorted(rows, key=lambda row: -row["result"]["accuracy"]):
        found = row["figures"]
        sizes = (f"{found[name]:,.0f}" for name in (content["cost"], "bytes", "arena"))
        shape = [f"x {row['width']:.2f}", f"{row['depth']:+d}" if row["depth"] else "0"]
        table.add_row(
            str(row["number"]),
            f"{row['result']['accuracy']:.1%}",
            *sizes,
            *shape,
            *([f"{row['step_ms']} ms"] if stepped else []),
        )
    return table


#: What ``--compare`` can compare, with the report's words on it.
COMPARISONS = {
    "compression": (
        "What compression buys",
        "One way at a time, the same seed and clips; accuracy in percent. The gain is that over the first row"
        " on the same test clips, with its 95 % interval over speakers. Choose by the validation column.",
    ),
    "augmentation": (
        "What varying the examples buys",
        "Trained without one way at a time, the same seed; accuracy of the INT8 model in percent, on clips of"
        " the validation speakers as recorded, with noise under them, and in simulated rooms. The gain is"
        " that over the first row on the same clips, with its 95 % interval over speakers.",
    ),
}


def compared(
    what: str, recipe: Recipe, data: Path | None, out: Path, cache: Path | None = None
) -> list[CompressionRow] | list[AugmentationRow]:
    """Train a model of words in several ways; write a table to ``out``, in Markdown and for the report.

    Args:
        what: of :data:`COMPARISONS`.
        recipe: to vary.
        data: folder of recordings; comes before the recipe's.
        out: for ``{what}.md`` and ``{what}.json``.
        cache: where stages are kept (default ``build/cache``).

    Raises:
        UserError: the recipe is for something else, or as the comparison's own.
    """
    if not isinstance(recipe, KeywordRecipe):
        raise UserError(
            f"--compare is for recipes of words, and '{recipe.name}' is for {task(recipe)}: leave it out"
        )
    if what == "compression":
        from cicada.training.compress import compare
    else:
        from cicada.training.evaluation import ablation as compare

    rows = compare.compare(recipe, data, cache)
    table = compare.table(rows)
    title, text = COMPARISONS[what]
    head = f"# {title}: {recipe.name}, seed {recipe.seed}\n\n{text}"
    kept = {"recipe": digest(recipe), "columns": table.columns, "rows": table.rows}
    write_atomic(out / f"{what}.json", encoded(kept))
    write_atomic(out / f"{what}.md", f"{head}\n\n{table.markdown()}".encode())
    return rows


def into_report(recipe: Recipe, out: Path) -> None:
    """Put what was compared for this very recipe into the report that was just made in ``out``."""
    for what, (title, text) in COMPARISONS.items():
        kept = _kept(out / f"{what}.json")
        if kept.get("recipe") == digest(recipe):
            section = page.Section(title, text, [page.Table(kept["columns"], kept["rows"])])
            write_atomic(out / "report.html", page.extended((out / "report.html").read_bytes(), section))


def _kept(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): remove it, or compare again") from error
