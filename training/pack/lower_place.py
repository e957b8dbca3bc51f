"""Decides before lowering where tensors shall be written, so that a concatenation finds its parts in place.

From the last operator to the first: the model's output goes into its own buffer, the parts of a concatenation
into the concatenation's memory, and the parts of those likewise. New state goes over the old. What more than
one place asks for is written to one of them and copied to the others.
"""

from __future__ import annotations

from cicada.training.pack import lower_alias
from cicada.training.pack.graph import Graph, Operator, Tensor, Variable
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.program import Buffer
from cicada.training.pack.streaming import Stream
from cicada.training.pack.views import Layout

_PADS = frozenset({"PAD", "PADV2"})
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
        self._place = {operator: number for number, operator in enumerate(graph.operators)}
        self._ask(graph.output, Layout.dense(output, graph.output.elements))
        rings = {stream.concat: stream for stream in streams}
        for operator in reversed(graph.operators):
            if operator in rings:
                self._stream(operator, rings[operator])
            elif operator.kind == "CONCATENATION":
                self._concatenation(operator)
            elif operator.kind in _PADS:
                self._pad(operator)
        for variable in graph.variables:
            if variable not in [stream.variable for stream in streams]:
                self._state(graph, variable)

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

    def _state(self, graph: Graph, variable: Variable) -> None:
        """New state is written over the old one where its maker does not need that, and nobody after it."""
        place = self._place
        uses = [operator for operator in graph.operators if operator.attributes.get("variable") is variable]
        assigns = [operator for operator in uses if operator.kind == "ASSIGN_VARIABLE"]
        if len(assigns) != 1 or assigns[0].inputs[0] is None:
            return
        source = lower_alias.root(assigns[0].inputs[0], self._made_by)
        maker = self._made_by.get(source)
        if maker is None or maker.kind in _PADS | {"CONCATENATION"}:
            return  # parts are written earlier
        made = place[maker]
        old: set[Tensor | None] = set()
        for operator in graph.operators[: place[assigns[0]]]:
            if operator in uses:
                old.update(operator.outputs)
            if (operator in uses or old.intersection(operator.inputs)) and place[operator] >= made:
                return
            if len(operator.inputs) == 1 and operator.inputs[0] in old:
                # The same bytes, or a function of them that becomes one with a later function.
                old.update(operator.outputs)
        later = {tensor for operator in graph.operators[place[assigns[0]] :] for tensor in operator.inputs}
        if not old & later and graph.output not in old:
            self._ask(source, self._memory.state(variable))

    def _ask_all(self, operator: Operator) -> None:
        for tensor, part in zip(operator.inputs, self.parts[operator], strict=True):
            if part is not None:
                self._ask(tensor, part)
