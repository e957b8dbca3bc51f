"""Decides before lowering where tensors shall be written, so that a concatenation finds its parts in place.

From the last operator to the first: the model's output goes into its own buffer, the parts of a concatenation
into the concatenation's memory, and the parts of those likewise. What more than one place asks for is written
to one of them and copied to the others.
"""

from __future__ import annotations

from cicada.training.pack import lower_alias
from cicada.training.pack.graph import Graph, Operator, Tensor
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.program import Buffer
from cicada.training.pack.streaming import Stream
from cicada.training.pack.views import Layout

#: Operators whose output is memory that exists already.
_ELSEWHERE = lower_alias.ALIASES | {"READ_VARIABLE"}


class Placement:
    """Where parts go.

    Attributes:
        whole: by CONCATENATION or PAD, where its output lies.
        parts: where each input of a CONCATENATION goes, None for the rows that a ring holds already; for PAD
            the inner part.
    """

    def __init__(self, graph: Graph, memory: Memory, streams: list[Stream], output: Buffer) -> None:
        self.whole: dict[Operator, Layout] = {}
        self.parts: dict[Operator, list[Layout | None]] = {}
        self._memory = memory
        self._made_by = lower_alias.producers(graph)
        self._ask(graph.output, Layout.dense(output, graph.output.elements))
        rings = {stream.concat: stream for stream in streams}
        for operator in reversed(graph.operators):
            if operator in rings:
                self._stream(operator, rings[operator])
            elif operator.kind == "CONCATENATION":
                self._concatenation(operator)
            elif operator.kind in ("PAD", "PADV2"):
                self._pad(operator)

    def _ask(self, tensor: Tensor | None, place: Layout | None) -> None:
        """Have a tensor written to a place, if an operator computes it and nobody else asked."""
        assert tensor is not None
        source = lower_alias.root(tensor, self._made_by)
        maker = self._made_by.get(source)
        if place is not None and maker is not None and maker.kind not in _ELSEWHERE:
            self._memory.targets.setdefault(source, place)

    def _stream(self, concat: Operator, stream: Stream) -> None:
        """New rows go where the ring's position is before it moves on."""
        whole = Layout.rows(stream.ring, 0, stream.new)
        state, *rest = concat.inputs
        rows = (stream.new, stream.ring.row)
        first = 0
        self.parts[concat] = [None]
        for tensor in rest:
            assert tensor is not None
            count = tensor.elements // stream.ring.row
            self.parts[concat].append(whole.part(rows, 0, first, count))
            first += count
        self._ask_all(concat)

    def _concatenation(self, concat: Operator) -> None:
        output, axis = concat.outputs[0], concat.attributes["axis"]
        for place in (self._memory.targets.get(output), None):
            whole = place if place is not None else self._memory.new(output)
            parts, first = [], 0
            for tensor in concat.inputs:
                assert tensor is not None
                parts.append(whole.part(output.shape, axis, first, tensor.shape[axis]))
                first += tensor.shape[axis]
            if None not in parts:
                break
        self.whole[concat], self.parts[concat] = whole, parts
        self._ask_all(concat)

    def _pad(self, pad: Operator) -> None:
        source, output = pad.inputs[0], pad.outputs[0]
        assert source is not None
        begin = [before for before, _ in pad.attributes["pads"]]
        for place in (self._memory.targets.get(output), None):
            whole = place if place is not None else self._memory.new(output)
            part = whole.sliced(output.shape, begin, source.shape, [1] * len(begin))
            if part is not None:
                break
        self.whole[pad], self.parts[pad] = whole, [part]
        self._ask_all(pad)

    def _ask_all(self, operator: Operator) -> None:
        for tensor, part in zip(operator.inputs, self.parts[operator], strict=True):
            if part is not None:
                self._ask(tensor, part)
