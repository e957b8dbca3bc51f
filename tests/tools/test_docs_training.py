"""What docs/training.md shows, beside the code: keys of recipes, shipped recipes, architectures, commands."""

from __future__ import annotations

import importlib
import json
import re
import shlex

import msgspec
import pytest

from cicada.tools import cli
from cicada.tools.board import load_board
from cicada.tools.node.device import check
from cicada.tools.paths import ROOT
from cicada.training import recipe
from cicada.training.architectures import NAMES
from cicada.training.recipe import tomllib

TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TASKS = {recipe.task(one): type(one) for one in map(recipe.load, recipe.SHIPPED.glob("*.toml"))}
#: Which keys each section has: the prefix in the table, and the classes that have them.
SECTIONS = {
    "### Every recipe": {"": (recipe.Common, *TASKS.values())},
    "### `[train]`": {"": (recipe.Train,)},
    "### `[quantise]`, `[prune]`, `[teacher]`, `[budget]`": {
        "quantise": (recipe.Quantise,),
        "prune": (recipe.Prune,),
        "teacher": (recipe.Teacher,),
        "budget": (recipe.Budget,),
    },
    "### Words: `[corpus]`, `[frontend]`, `[augment]`, `[decide]`": {
        "corpus": (recipe.Speech,),
        "frontend": (recipe.AudioFrontEnd,),
        "augment": (recipe.Augment,),
        "decide": (recipe.Decide,),
    },
    "### Machines: `labels`, `[corpus]`, `[frontend]`, `[decide]`": {
        "": (recipe.VibrationRecipe, recipe.AnomalyRecipe),
        "corpus": (recipe.Machines,),
        "frontend": (recipe.VibrationFrontEnd,),
        "decide": (recipe.DecideWindows,),
    },
    "### Pictures: `[corpus]`": {"corpus": (recipe.Pictures,)},
}
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
LINES = [
    shlex.split(line, comments=True)
    for kind, block in BLOCKS
    if kind == "sh"
    for line in block.splitlines()
    if line.strip()
]
#: Commands in the running text, without words that stand for what one types.
INLINE = [shlex.split(code) for code in re.findall(r"`((?:cicada|make) [^`]+)`", TEXT)]


def section(heading):
    """Text of a section, down to the next heading."""
    return re.split(r"\n#+ ", TEXT.split(f"\n{heading}\n", 1)[1], maxsplit=1)[0]


def documented(heading):
    """Keys in the first column of a section's table, and their defaults as TOML; None where there is none."""
    rows = [line.split(" | ")[0] for line in section(heading).splitlines() if line.startswith("| `")]
    found = {}
    for code in re.findall(r"`([^`]+)`", "\n".join(rows)):
        key, sign, default = code.partition(" = ")
        assert key not in found, key
        found[key] = tomllib.loads(f"value = {default}")["value"] if sign else None
    return found


def keys(heading):
    """Keys that recipes have, by the name in the table, and their defaults; None where a value is needed."""
    found = {}
    for prefix, classes in SECTIONS[heading].items():
        for one in classes:
            for name, default in defaults(one).items():
                found[f"{prefix}.{name}" if prefix else name] = default
    if heading == "### Every recipe":
        found["task"] = None
    return found


def defaults(kind):
    """Default of every key of a table; None where a value is needed, is none, or is a table of its own."""
    found = {}
    for one in msgspec.structs.fields(kind):
        value = one.default
        if one.default_factory is not msgspec.NODEFAULT:
            value = one.default_factory()
        plain = value is not msgspec.NODEFAULT and not isinstance(value, msgspec.Struct)
        found[one.name] = msgspec.to_builtins(value) if plain else None
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_keys_in_a_table_are_those_of_recipes_with_their_defaults(heading):
    written, real = documented(heading), keys(heading)
    if heading == "### Every recipe":  # what one task alone has is told where the task is
        own = {"labels", "normal", "without", "alarms"}
        real = {name: value for name, value in real.items() if name not in own}
    elif heading.startswith("### Machines"):  # what all tasks have is told before
        shared = {*defaults(recipe.Common), "corpus", "frontend", "decide"}
        real = {name: value for name, value in real.items() if name not in shared}
    assert {name: list(v) if isinstance(v, tuple) else v for name, v in real.items()} == written


def test_every_task_has_its_keys_on_the_page():
    assert set(TASKS) == {"keyword", "vibration", "anomaly", "image"}
    for one in TASKS:
        assert f'`"{one}"`' in section("### Every recipe")


def test_shipped_recipes_are_all_named_and_no_others():
    rows = re.findall(r"^\| `(\w+)` \|", section("## Recipes"), re.M)
    assert sorted(rows) == recipe.shipped()


def test_architectures_and_their_options_are_those_of_the_code():
    table = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| ([^|]+) \|", section("## Architectures"), re.M)
    assert [name for name, _ in table] and sorted(name for name, _ in table) == sorted(NAMES)
    for name, options in table:
        module = importlib.import_module(f"cicada.training.architectures.{name}")
        known = {one.name for one in msgspec.structs.fields(module.Options)}
        named = {code.partition(" = ")[0] for code in re.findall(r"`([^`]+)`", options)}
        assert named <= known, name
        for code in re.findall(r"`([^`]+ = [^`]+)`", options):
            msgspec.convert(tomllib.loads(code), module.Options)


def test_toml_on_the_page_is_part_of_a_recipe():
    blocks = [block for kind, block in BLOCKS if kind == "toml"]
    assert blocks
    for block in blocks:
        msgspec.convert({"kind": "synthesis", **tomllib.loads(block)}, recipe.Speech)


def test_a_configuration_on_the_page_is_taken_by_the_device():
    documents = [json.loads(block) for kind, block in BLOCKS if kind == "json"]
    assert documents
    for document in documents:
        assert check(document, load_board("esp32"))[1] == []


@pytest.mark.parametrize("line", [*LINES, *INLINE], ids=" ".join)
def test_a_command_on_the_page_can_be_typed(line):
    program, *arguments = line
    if program == "make":
        target, *variables = arguments
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M), target
        for variable in variables:
            name = variable.partition("=")[0]
            assert re.search(rf"\$\([^)]*\b{name}\b", MAKEFILE), f"{target} takes no {name}"
    else:
        assert program == "cicada"
        options = cli._parser().parse_args(arguments)
        if options.command == "train" and options.recipe not in ("RECIPE", "FILE"):
            recipe.find(options.recipe)


def test_keys_that_commands_set_are_keys_of_their_recipes():
    from cicada.training.commands import chosen

    seen = 0
    for _, *arguments in (line for line in LINES if line[:2] == ["cicada", "train"]):
        options = cli._parser().parse_args(arguments)
        chosen(options)
        seen += len(options.set)
    assert seen >= 3


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
    anchors = {
        re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^#+ (.+)$", TEXT, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors


def test_the_page_names_no_code_that_is_not_there():
    for name in re.findall(r"`((?:evaluation|tests|training)/[\w/]+\.py)`", TEXT):
        assert (ROOT / name).is_file() or (ROOT / "training" / name).is_file(), name
