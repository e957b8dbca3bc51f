"""Compiler of INT8 TFLite models into packed models (``.cpm``), executed by devices where they lie in flash.

    from cicada.training.pack import pack
    made = pack(Path("model.tflite").read_bytes())
    Path("model.cpm").write_bytes(made.blob)

The stages are :mod:`reader` (flatbuffer to graph), :mod:`simplify`, :mod:`lower` (graph to machine
operators), :mod:`plan` (places in the arena) and :mod:`emit` (the blob). docs/packed.md describes the format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cicada.training import container

if TYPE_CHECKING:
    from cicada.training.pack.plan import Plan
    from cicada.training.pack.program import Program


@dataclass(frozen=True)
class Packed:
    """A packed model and how it came about.

    Attributes:
        blob: the ``.cpm``.
        program: its operators and memory.
        plan: where that memory lies: ``plan.arena`` bytes; no plan can need less than ``plan.bound``.
        instructions: RV32IMC instructions of one inference, predicted.
        macs: multiply-accumulates of one inference, as TFLite's shapes say.
    """

    blob: bytes
    program: Program
    plan: Plan
    instructions: int
    macs: int

    def contained(self, about: Mapping[str, Any]) -> bytes:
        """A container (``.cmod``) around it.

        Args:
            about: the manifest; engine and arena in it become those of the packed model.

        Raises:
            ValueError: as :func:`cicada.training.container.pack`.
        """
        return container.pack({**about, "engine": "packed", "arena": self.plan.arena}, self.blob)


def pack(model: bytes, plain: bool = False) -> Packed:
    """Compile a model.

    The blob carries a self-test: inputs from a generator and the CRC-32 of what TensorFlow Lite Micro's
    reference kernels make of them. Before it is returned it has passed that test on this machine.

    Args:
        model: a ``.tflite`` flatbuffer with one input and one output; damaged or hostile bytes are refused.
        plain: leave convolutions to accelerated kernels (ESP-NN's on an ESP32-S3), where these take them.
            Images without such kernels refuse the model, and it needs more memory.

    Raises:
        PackError: it is no such model, or has an operator, type or size that packed models have not; the text
            names operator and tensor and says why.
    """
    # Here, because the runtime's wrapper, which selftest needs, itself begins with a module of this package.
    from cicada.training.pack import cost, emit, lower, plan, reader, selftest, simplify, verify

    program = lower.lower(simplify.simplify(reader.read(model)), plain)
    places = plan.plan(program)
    verify.verify(program, places)
    instructions = sum(cost.instructions(op) for op in program.ops)
    blob = emit.emit(program, places, instructions=instructions, selftest=selftest.vector(model, program))
    selftest.check(blob)
    return Packed(blob, program, places, instructions, program.macs)
