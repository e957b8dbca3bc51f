"""From a graph to machine operators over memory without addresses.

What moves no values makes no operator: reshapes, slices, splits and transpositions only change where values
are found (:mod:`views`), the parts of a concatenation are written where they belong (:mod:`lower_place`), and
the state of streaming layers lives in rings (:mod:`streaming`). An operator that cannot take its input as it
lies gets a copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack import lower_alias, lower_layers, lower_moves, lower_values, streaming, tables
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Graph, Operator, Tensor
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.lower_place import Placement
from cicada.training.pack.program import Program
from cicada.training.pack.views import Layout

_DIRECT = {
    "CONV_2D": lower_layers.conv,
    "DEPTHWISE_CONV_2D": lower_layers.depthwise,
    "FULLY_CONNECTED": lower_layers.fully_connected,
    "AVERAGE_POOL_2D": lower_values.pool,
    "MAX_POOL_2D": lower_values.pool,
    "MEAN": lower_values.mean,
    "SOFTMAX": lower_values.softmax,
    "ADD": lower_values.binary,
    "SUB": lower_values.binary,
    "MUL": lower_values.binary,
}


def lower(graph: Graph, plain: bool = False) -> Program:
    """Machine operators that do what a graph does, byte for byte.

    Args:
        graph: as :func:`cicada.training.pack.simplify.simplify` returns it.
        plain: leave to accelerated kernels the convolutions that :mod:`esp_nn` takes.

    Raises:
        PackError: an operator or a shape that packed models do not have.
    """
    return _Lowering(graph, plain).program()


class _Lowering:
    """One graph on its way."""

    def __init__(self, graph: Graph, plain: bool) -> None:
        self._graph = graph
        self._memory = Memory(plain)
        self._last_use = {
            tensor: number
            for number, operator in enumerate(graph.operators)
            for tensor in operator.inputs
            if tensor is not None
        } | {graph.output: len(graph.operators)}
        self._users: dict[Tensor, list[Operator]] = {}
        for operator in graph.operators:
            for tensor in operator.inputs:
                if tensor is not None:
                    self._users.setdefault(tensor, []).append(operator)
        self._tables: dict[Tensor, tuple[Tensor, NDArray[np.uint8]]] = {}
        self._input = self._memory.buffer(graph.input.name, graph.input.elements)
        self._output = self._memory.buffer(graph.output.name, graph.output.elements)
        self._memory.layouts[graph.input] = Layout.dense(self._input, graph.input.elements)
        found = streaming.find(graph)
        self._streams = {stream.variable: stream for stream in found}
        self._by_concat = {stream.concat: stream for stream in found}
        for stream in found:
            self._memory.ring(stream.ring, stream.new)
        self._places = Placement(graph, self._memory, found, self._output)

    def program(self) -> Program:
        """The whole program."""
        graph, memory = self._graph, self._memory
        for number, operator in enumerate(graph.operators):
            memory.operator = operator
            self._lower(operator, number)
        memory.operator = None
        result = Layout.dense(self._output, graph.output.elements)
        if memory.layout(graph.output) != result:
            memory.copy(graph.output.name, memory.layout(graph.output), result)
        return Program(
            ops=memory.ops,
            input=self._input,
            output=self._output,
            input_shape=graph.input.shape,
            output_shape=graph.output.shape,
            input_scale=float(graph.input.scale[0]),
            input_zero=graph.input.zero,
            input_dtype=graph.input.dtype,
            output_scale=float(graph.output.scale[0]),
            output_zero=graph.output.zero,
            output_dtype=graph.output.dtype,
            buffers=memory.buffers,
            rings=memory.rings,
            macs=graph.macs,
        )

    def _lower(self, operator: Operator, number: int) -> None:
        memory, kind = self._memory, operator.kind
        if kind in _DIRECT:
            _DIRECT[kind](memory, operator)
        elif kind in lower_alias.ALIASES:
            self._alias(operator)
        elif operator in self._by_concat:
            lower_moves.stream(memory, operator, self._places, self._by_concat[operator])
        elif kind == "CONCATENATION":
            lower_moves.concatenation(memory, operator, self._places)
        elif kind in ("PAD", "PADV2"):
            lower_moves.pad(memory, operator, self._places)
        elif kind == "READ_VARIABLE":
            lower_moves.read(memory, operator, self._streams.get(operator.attributes["variable"]))
        elif kind == "ASSIGN_VARIABLE":
            if operator.attributes["variable"] not in self._streams:
                lower_moves.assign(memory, operator, self._last_use, number)
        else:
            self._unary(operator)

    def _alias(self, operator: Operator) -> None:
        source = operator.inputs[0]
        assert source is not None
        layouts = lower_alias.outputs(operator, self._memory.layout(source))
        if layouts is None:
            layouts = lower_alias.outputs(operator, self._memory.dense(source))
        assert layouts is not None
        self._memory.layouts.update(zip(operator.outputs, layouts, strict=True))

    def _unary(self, operator: Operator) -> None:
        """A function of one value; functions of functions become one table."""
        table = _table(operator)
        if table is None:
            raise PackError("this operator is not supported", operator)
        source, output = operator.inputs[0], operator.outputs[0]
        assert source is not None
        if source in self._tables:
            source, first = self._tables[source]
            table = tables.composed(first, table)
        users = self._users.get(output, [])
        if output is not self._graph.output and len(users) == 1 and _table(users[0]) is not None:
            self._tables[output] = source, table
            self._last_use[source] = max(self._last_use[source], self._last_use[output])
        else:
            lower_values.lut(self._memory, source, output, table)


def _table(operator: Operator) -> NDArray[np.uint8] | None:
    if len(operator.inputs) != 1:
        return None
    try:
        return tables.unary(operator)
    except ValueError as error:
        raise PackError(str(error), operator) from error
