"""``cicada train``: run a recipe, say what it would do, or search for a better one."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from cicada.tools.errors import UserError
from cicada.tools.paths import BUILD

if TYPE_CHECKING:
    from cicada.training.recipe import Recipe


def add_parser(commands: Any) -> None:
    """Add ``train``."""
    # A list of all options would not leave room on a screen for what they do.
    parser = commands.add_parser(
        "train", help="a recipe -> INT8 model, C array, report", usage="cicada train [RECIPE] [OPTION ...]"
    )
    parser.add_argument(
        "recipe",
        nargs="?",
        default="demo",
        metavar="RECIPE",
        help=f"a .toml file, or one of {', '.join(_shipped())} (default: demo)",
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="recordings; before the recipe's own")
    parser.add_argument("--words", metavar="A,B", help="other words than the recipe's")
    parser.add_argument("--seed", type=int, metavar="N", help="another seed than the recipe's")
    parser.add_argument(
        "--engine", choices=["packed", "tflm"], metavar="NAME", help="what runs the model: packed or tflm"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value, as in TOML: train.epochs=10",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the artefacts (default: build/NAME)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--dry-run", action="store_true", help="say how long, and how large a model")
    instead.add_argument(
        "--search",
        type=_count,
        metavar="N",
        help="try N sizes of the model, trained for a quarter of the epochs",
    )
    instead.add_argument(
        "--compare",
        nargs="?",
        const="compression",
        choices=["compression", "augmentation"],
        metavar="WHAT",
        help="what each way of compression (or augmentation) buys; for words",
    )
    parser.add_argument("--tiny", action="store_true", help="cut down to seconds, to see that it works")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.set_defaults(run=train)

    table = commands.add_parser("results")  # not listed: it is for those who work on Cicada
    table.add_argument("folder", type=Path, metavar="FOLDER", help="of recordings, see docs/results.md")
    table.add_argument("--seeds", type=int, default=3, metavar="N", help="1 to N (default: 3)")
    table.add_argument("--only", metavar="A,B", default="", help="these recipes alone")
    table.add_argument("--write", action="store_true", help="put the table into docs/results.md")
    table.add_argument("--tiny", action="store_true", help="cut the recipes down, to see that it works")
    table.set_defaults(run=_results)


def _shipped() -> list[str]:
    # Reading recipes takes a package that those who only flash boards do not have.
    return sorted(path.stem for path in (Path(__file__).parent / "recipes").glob("*.toml"))


def train(options: argparse.Namespace) -> int:
    """Do what the command line says."""
    _check_packages()
    recipe = chosen(options)
    task = task_of(recipe)
    if options.tiny:
        recipe = task.tiny(recipe)
    out = options.out or BUILD / recipe.name
    if options.dry_run:
        _dry_run(options, recipe, task)
        return 0
    if options.search is not None:
        _search(options, recipe, out)
        return 0
    if options.compare:
        _compare(options, recipe, out)
        return 0
    from cicada.training import trials

    metrics = task.run(recipe, options.data, out)
    trials.into_report(recipe, out)
    if options.json:
        print(json.dumps(metrics, indent=1, sort_keys=True))
    else:
        Console(highlight=False).print(_summary(recipe, metrics, out))
    return 0


def _count(text: str) -> int:
    """A number of things, 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _dry_run(options: argparse.Namespace, recipe: Recipe, task: ModuleType) -> None:
    plan = task.plan(recipe, options.data)
    from cicada.training import duration  # after the plan: TensorFlow takes seconds, bad recordings do not

    minutes = duration.estimate(recipe, options.data, plan)
    if options.json:
        print(json.dumps({**plan, "minutes": minutes}, indent=1))
    else:
        print(_plan_text(recipe, {**plan, "minutes": duration.text(minutes)}))


def _search(options: argparse.Namespace, recipe: Recipe, out: Path) -> None:
    from cicada.training import trials

    content = trials.find(recipe, options.search, options.data, out / "search")
    if options.json:
        print(json.dumps(content, indent=1, sort_keys=True))
        return
    console = Console(highlight=False)
    console.print(trials.front(recipe, content))
    console.print(f"all sizes, their model tables and a picture: {_short(out / 'search')}", soft_wrap=True)


def _compare(options: argparse.Namespace, recipe: Recipe, out: Path) -> None:
    from cicada.training import trials

    rows = trials.compared(options.compare, recipe, options.data, out)
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print((out / f"{options.compare}.md").read_text(encoding="utf-8"), end="")


def _check_packages() -> None:
    """Say in one line that training is not installed; those who only flash boards do not have it."""
    for name in ("msgspec", "numpy", "scipy", "sklearn", "jinja2", "matplotlib", "tensorflow"):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"the package {name} is missing: install what training needs with pip install -e '.[train]'"
            )


def _results(options: argparse.Namespace) -> int:
    _check_packages()
    from cicada.training.results import results

    only = [name for name in options.only.split(",") if name]
    return results(options.folder, max(options.seeds, 1), only, options.write, options.tiny)


def chosen(options: argparse.Namespace) -> Recipe:
    """The recipe that the command line names, with what it changes.

    Raises:
        UserError: no such recipe, or a change that it does not allow.
    """
    from cicada.training import recipe as recipes

    path = recipes.find(options.recipe)
    content = recipes.as_json(recipes.load(path))
    for change in options.set:
        _set(content, change)
    for name in ("seed", "engine"):
        if getattr(options, name) is not None:
            content[name] = getattr(options, name)
    if options.words is not None:
        if content["task"] != "keyword":
            raise UserError(
                f"--words is for recipes of words, and '{options.recipe}' is for {content['task']}"
            )
        content["corpus"]["words"] = [word.strip() for word in options.words.split(",") if word.strip()]
    if options.data and content["task"] == "keyword" and path == recipes.SHIPPED / "demo.toml":
        content["corpus"]["kind"] = "folder"
    return recipes.parse(content, str(path) if not options.set else f"{path} with --set")


def task_of(recipe: Recipe) -> ModuleType:
    """The module of :mod:`cicada.training.tasks` that runs a recipe."""
    return importlib.import_module(f"cicada.training.tasks.{type(recipe).__struct_config__.tag}")


def _set(content: dict[str, Any], change: str) -> None:
    key, sign, text = change.partition("=")
    if not sign:
        raise UserError(f"--set {change}: write KEY=VALUE, e.g. train.epochs=10")
    from cicada.training.recipe import tomllib

    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        raise UserError(f'--set {change}: {text} is no TOML value ({error}); texts need "quotes"') from error
    *path, last = key.strip().split(".")
    table = content
    for name in path:
        if table.get(name) is None:
            table[name] = {}
        table = table[name]
        if not isinstance(table, dict):
            raise UserError(f"--set {change}: `{name}` is no table")
    table[last] = value


def _plan_text(recipe: Recipe, plan: dict[str, Any]) -> str:
    lines = [f"{recipe.name}: {recipe.about}" if recipe.about else recipe.name]
    for name, value in plan.items():
        if isinstance(value, dict):
            inner = (f"{k} {v:,}" for k, v in value.items() if isinstance(v, int | float))
            value = ", ".join(inner)
        elif isinstance(value, int):
            value = f"{value:,}"
        lines.append(f"  {name:<10} {value}")
    return "\n".join(lines)


def _summary(recipe: Recipe, metrics: dict[str, Any], out: Path) -> Table:
    table = Table(title=recipe.name, show_header=False, min_width=60)
    for name, value in metrics.get("summary", {}).items():
        table.add_row(name, value)
    model = metrics["model"]
    table.add_row(
        "model", f"{model['bytes']:,} bytes, {model['macs']:,} MACs, arena {model['arena']:,} bytes"
    )
    table.add_row("seed, recipe", f"{metrics['seed']}, {metrics['hash'][:12]}")
    table.add_row("artefacts", _short(out))
    if (out / "report.html").is_file():
        table.add_row("report", _short(out / "report.html"))
    return table


def _short(path: Path) -> str:
    """Path as one would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
