"""Operators that move nothing: their outputs are their input's bytes, seen in another order or in part."""

from __future__ import annotations

from cicada.training.pack.graph import Graph, Operator, Tensor
from cicada.training.pack.views import Layout

#: All bytes in their order, under another shape.
RESHAPES = frozenset({"RESHAPE", "EXPAND_DIMS", "SQUEEZE"})
#: And those that choose or reorder.
ALIASES = RESHAPES | {"SPLIT", "SPLIT_V", "STRIDED_SLICE", "TRANSPOSE"}


def outputs(operator: Operator, layout: Layout) -> list[Layout] | None:
    """Where the outputs of an operator of ``ALIASES`` lie if its input lies in ``layout``.

    Returns:
        One layout an output, or None if the input's layout has no steps along the input's dimensions.
    """
    source = operator.inputs[0]
    assert source is not None
    attributes = operator.attributes
    found: list[Layout | None]
    if operator.kind in RESHAPES:
        found = [layout]
    elif operator.kind == "TRANSPOSE":
        found = [layout.transposed(source.shape, attributes["perm"])]
    elif operator.kind == "STRIDED_SLICE":
        found = [layout.sliced(source.shape, attributes["begin"], attributes["size"], attributes["strides"])]
    else:
        found, first = [], 0
        for count in attributes["sizes"]:
            found.append(layout.part(source.shape, attributes["axis"], first, count))
            first += count
    known = [each for each in found if each is not None]
    return known if len(known) == len(found) else None


def producers(graph: Graph) -> dict[Tensor, Operator]:
    """Which operator writes each tensor."""
    return {tensor: operator for operator in graph.operators for tensor in operator.outputs}


def root(tensor: Tensor, made_by: dict[Tensor, Operator]) -> Tensor:
    """The tensor whose bytes these are, all of them in their order."""
    while tensor in made_by and made_by[tensor].kind in RESHAPES:
        source = made_by[tensor].inputs[0]
        assert source is not None
        tensor = source
    return tensor
