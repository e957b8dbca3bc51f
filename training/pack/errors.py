"""How the compiler says no to a model."""

from __future__ import annotations

from cicada.tools.errors import UserError
from cicada.training.pack.graph import Operator, Tensor

_LONGEST = 80  # characters of a name in a message


def short(name: str) -> str:
    """A name as messages show it: converters join the names of all that they fuse."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 3]}..."


class PackError(UserError):
    """A model that cannot be packed, as one sentence: which operator, which tensor, and why.

    Args:
        why: what is wrong, and what would be right where that is not plain.
        operator: the one it is about, if any.
        tensor: likewise.
    """

    def __init__(self, why: str, operator: Operator | None = None, tensor: Tensor | None = None) -> None:
        where = []
        if operator is not None:
            number = f" {operator.index}" if operator.index >= 0 else ""
            where.append(f"operator{number} ({operator.kind})")
        if tensor is not None:
            where.append(f"tensor '{short(tensor.name)}'")
        super().__init__(f"{', '.join(where)}: {why}" if where else why)
        self.why = why
        self.operator = operator
        self.tensor = tensor
