"""``cicada train --search`` and ``--compare``: one recipe in several sizes, or compressed in several ways."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.stages import write_atomic
from cicada.training import evaluate, search
from cicada.training.recipe import Budget, KeywordRecipe, Recipe, task

if TYPE_CHECKING:
    from cicada.training.compress.compare import Row

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


def compared(recipe: Recipe, data: Path | None, out: Path, cache: Path | None = None) -> list[Row]:
    """Make a model of words in every way of compression; write a table of them to ``out/compression.md``.

    Raises:
        UserError: the recipe is for something else, or as :func:`cicada.training.compress.compare.compare`.
    """
    if not isinstance(recipe, KeywordRecipe):
        raise UserError(
            f"--compare is for recipes of words, and '{recipe.name}' is for {task(recipe)}: leave it out"
        )
    from cicada.training.compress import compare

    rows = compare.compare(recipe, data, cache)
    head = f"# Compression of {recipe.name}, seed {recipe.seed}\n\nAccuracy in percent."
    write_atomic(out / "compression.md", f"{head}\n\n{compare.table(rows)}".encode())
    return rows
