"""What the bench needs to know of a packed model's bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cicada.training.pack import format as cpm

#: Kinds of operators of the portable engine, in the order of their numbers; ``cpm_kernel_<kind>`` runs them.
KINDS = tuple(kind for kind in cpm.RECORDS if not kind.startswith("plain_"))


@dataclass(frozen=True)
class About:
    """Of a packed model: bytes of arena, input and output; MACs; rings; each operator's kind and MACs."""

    arena: int
    input_bytes: int
    output_bytes: int
    macs: int
    rings: int
    kinds: tuple[str, ...]
    operator_macs: tuple[int, ...]

    @property
    def kernels(self) -> list[str]:
        """The kinds of operators that the model has, each once."""
        return [kind for kind in KINDS if kind in self.kinds]


def about(blob: bytes) -> About:
    """Read a packed model.

    Raises:
        ValueError: it is none.
    """
    found = cpm.unpack(blob)
    sizes = (found.header[io]["size"] for io in ("input", "output"))
    kinds, macs = zip(*((kind, _macs(kind, record)) for kind, record in found.ops), strict=True)
    return About(found.header["arena"], *sizes, found.header["macs"], len(found.rings), kinds, macs)


def _macs(kind: str, record: Mapping[str, Any]) -> int:
    if kind not in ("conv", "dense", "depthwise", "column"):
        return 0
    source, target = record["in"], record["out"]
    outputs = target["h"] * target["w"] * target["c"]
    if kind == "dense":
        return outputs * source["h"] * source["w"] * source["c"]
    taps = record["window"]["kernel_h"] * record["window"]["kernel_w"]
    return outputs * taps * (source["c"] if kind == "conv" else 1)
