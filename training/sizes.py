"""What a search varies: the width and depth of a recipe's model, and the step of its front end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from cicada.training.architectures import resolve
from cicada.training.recipe import KeywordRecipe, Recipe

_LEAST = 4  # channels
_STEPS = (10, 20)  # of the audio front end, ms


def steps(recipe: Recipe) -> tuple[int, ...]:
    """Steps of the front end, ms, that a recipe can have; none where it has no such thing."""
    return _STEPS if isinstance(recipe, KeywordRecipe) else ()


def resized(recipe: Recipe, width: float, depth: int, step_ms: int | None = None) -> Recipe:
    """A recipe with another size of model.

    Args:
        recipe: what to begin with.
        width: factor of the numbers of channels; these become multiples of 4, where they are channels.
        depth: blocks more, or fewer.
        step_ms: the audio front end's step; the window stays as long, and inferences as frequent.

    Raises:
        ValueError: the model would have no blocks left or is otherwise none, or is not of a kind that has a
            width and a depth.
    """
    _, options = resolve(recipe.model, recipe)
    name = recipe.model["architecture"]
    if name not in _CHANGES:
        raise ValueError(f"the size of '{name}' cannot be varied, only that of {', '.join(sorted(_CHANGES))}")
    changed = recipe
    if width != 1 or depth:
        table = msgspec.to_builtins(options)
        table |= _CHANGES[name](table, width, depth)
        changed = msgspec.structs.replace(recipe, model={"architecture": name, **table})
    if step_ms is not None and step_ms != changed.frontend.step_ms:
        factor = changed.frontend.step_ms / step_ms
        frontend, decide = changed.frontend, changed.decide
        changed = msgspec.structs.replace(
            changed,
            frontend=msgspec.structs.replace(
                frontend, step_ms=step_ms, frames=round(frontend.frames * factor)
            ),
            decide=msgspec.structs.replace(decide, hop_frames=max(1, round(decide.hop_frames * factor))),
        )
    # `replace` checks nothing: frames have their bounds, and options of one table must fit each other.
    try:
        changed = msgspec.convert(msgspec.to_builtins(changed), type(recipe))
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    resolve(changed.model, changed)
    return changed


def _channels(count: int, width: float) -> int:
    return max(_LEAST, round(count * width / _LEAST) * _LEAST)


def _blocks(blocks: list[Any], depth: int, least: int = 1) -> list[Any]:
    """A list with more of its last entry, or without some of its last ones."""
    if len(blocks) + depth < least:
        raise ValueError(f"{len(blocks)} blocks cannot become {len(blocks) + depth}")
    return blocks[: len(blocks) + depth] + blocks[-1:] * max(0, depth)


def _small_cnn(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    blocks = _blocks(table["blocks"], depth, max(table["strided"], default=0) + 1)
    return {
        "first": _channels(table["first"], width),
        "blocks": [_channels(count, width) for count in blocks],
    }


def _ds_cnn(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    if table["blocks"] + depth < 1:
        raise ValueError(f"{table['blocks']} blocks cannot become {table['blocks'] + depth}")
    return {"channels": _channels(table["channels"], width), "blocks": table["blocks"] + depth}


def _bc_resnet(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    # In the paper, too, the later half of the stages is the deeper one.
    return {
        "width": max(2, round(table["width"] * width)),
        "blocks": [*table["blocks"][:2], *(max(1, count + depth) for count in table["blocks"][2:])],
    }


def _mixednet(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    return {
        "first": _channels(table["first"], width),
        "blocks": [_channels(count, width) for count in _blocks(table["blocks"], depth)],
        "kernels": _blocks(table["kernels"], depth),
    }


def _vibration_cnn(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    return {
        "channels": [_channels(count, width) for count in _blocks(table["channels"], depth)],
        "hidden": _channels(table["hidden"], width),
    }


def _person(table: dict[str, Any], width: float, depth: int) -> dict[str, Any]:
    if table["repeats"] + depth < 0:
        raise ValueError(f"{table['repeats']} repeats cannot become {table['repeats'] + depth}")
    return {"width": min(1.0, table["width"] * width), "repeats": table["repeats"] + depth}


_CHANGES: dict[str, Callable[[dict[str, Any], float, int], dict[str, Any]]] = {
    "small_cnn": _small_cnn,
    "ds_cnn": _ds_cnn,
    "bc_resnet": _bc_resnet,
    "mixednet": _mixednet,
    "vibration_cnn": _vibration_cnn,
    "person": _person,
}
