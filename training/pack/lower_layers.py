"""Convolutions and fully connected layers as machine operators."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack import esp_nn, quantise
from cicada.training.pack.errors import PackError
from cicada.training.pack.format import extent
from cicada.training.pack.graph import Operator, Tensor
from cicada.training.pack.lower_memory import Memory
from cicada.training.pack.program import Column, Conv, Dense, Depthwise, Op, Ring, View, Window
from cicada.training.pack.views import LIMIT, Layout, flat_shape

Shape = tuple[int, int, int]


def conv(memory: Memory, operator: Operator) -> None:
    """CONV_2D: Dense if it has one output pixel and sees whole rows, else Conv."""
    weights = _constant(operator)
    _conv(memory, operator, weights)


def depthwise(memory: Memory, operator: Operator) -> None:
    """DEPTHWISE_CONV_2D: Conv of a single channel, Column if it can, else Depthwise."""
    source, output = _ends(operator)
    weights = _constant(operator)[0]
    if source.shape[3] == 1:
        _conv(memory, operator, weights.transpose(2, 0, 1)[:, :, :, None])
        return
    window, inside, outside = _window(operator), _image(source), _image(output)
    multiplier = operator.attributes["multiplier"]
    if inside[0] == 1 and outside[0] == 1 and window.kernel[0] == 1 and window.pad[0] == 0:
        window, inside, outside = _turned(window), _turn(inside), _turn(outside)
        weights = weights.transpose(1, 0, 2)
    requant = quantise.conv_requant(operator)
    macs = output.elements * weights.shape[0] * weights.shape[1]
    if multiplier == 1 and inside[1] == window.kernel[1] == 1 and _no_padding(window, inside, outside):
        memory.add(
            Column(
                output.name,
                macs,
                input=memory.view(source, *inside),
                output=memory.out(output, *outside),
                window=window,
                weights=np.ascontiguousarray(weights[:, 0]),
                requant=requant,
            ),
            output,
        )
        return
    op = Depthwise(
        output.name,
        macs,
        input=memory.view(source, *inside),
        output=memory.out(output, *outside),
        window=window,
        weights=np.ascontiguousarray(weights),
        requant=requant,
        multiplier=multiplier,
    )
    memory.add(_chosen(memory, op), output)


def fully_connected(memory: Memory, operator: Operator) -> None:
    """FULLY_CONNECTED: Dense if it has one row, else Conv of a 1 x 1 kernel."""
    source, output = _ends(operator)
    weights = _constant(operator)
    n, taps = weights.shape
    rows = source.elements // taps
    if rows == 1:
        memory.add(_dense(memory, operator, _rows(memory, source), weights), output)
        return
    layout = memory.layout(source)
    upright = isinstance(layout.memory, Ring) and layout.view(rows, 1, taps) is not None
    inside, outside = ((rows, 1, taps), (rows, 1, n)) if upright else ((1, rows, taps), (1, rows, n))
    memory.add(
        Conv(
            output.name,
            weights.size * rows,
            input=memory.view(source, *inside),
            output=memory.out(output, *outside),
            window=Window((1, 1)),
            weights=weights[:, None, None, :],
            requant=quantise.conv_requant(operator),
        ),
        output,
    )


def _conv(memory: Memory, operator: Operator, weights: NDArray[np.int8]) -> None:
    """A convolution with weights [n, kernel_h, kernel_w, c]."""
    source, output = _ends(operator)
    window, inside, outside = _window(operator), _image(source), _image(output)
    if outside[:2] == (1, 1) and _no_padding(window, inside, outside):
        view = _field(memory.layout(source), window, inside)
        if view is None and _field(memory.unplaced(source), window, inside) is not None:
            view = _field(memory.dense(source), window, inside)
        if view is not None:
            dense = _dense(memory, operator, view, weights.reshape(len(weights), -1))
            memory.add(_chosen(memory, dense), output)
            return
    layout = memory.layout(source)
    if (
        isinstance(layout.memory, Ring)
        and layout.view(*inside) is None
        and inside[0] == outside[0] == window.kernel[0] == 1
        and window.pad[0] == 0
    ):
        # The ring's rows are the columns here.
        window, inside, outside = _turned(window), _turn(inside), _turn(outside)
        weights = weights.transpose(0, 2, 1, 3)
    op = Conv(
        output.name,
        output.elements * (weights.size // len(weights)),
        input=memory.view(source, *inside),
        output=memory.out(output, *outside),
        window=window,
        weights=np.ascontiguousarray(weights),
        requant=quantise.conv_requant(operator),
    )
    memory.add(_chosen(memory, op), output)


def _dense(memory: Memory, operator: Operator, view: View, weights: NDArray[np.int8]) -> Dense:
    output = operator.outputs[0]
    return Dense(
        output.name,
        weights.size,
        input=view,
        output=memory.out(output, 1, 1, len(weights)),
        weights=np.ascontiguousarray(weights),
        requant=quantise.conv_requant(operator),
    )


def _chosen(memory: Memory, op: Conv | Dense | Depthwise) -> Op:
    """The operator, or its plain record if convolutions are for accelerated kernels that take it."""
    return (esp_nn.plain(op) if memory.plain else None) or op


def _field(layout: Layout, window: Window, inside: Shape) -> View | None:
    """What a kernel without padding sees from the first pixel on, as rows of contiguous bytes."""
    seen = layout.sliced(inside, (0, 0, 0), (*window.kernel, inside[2]), (*window.dilation, 1))
    return None if seen is None else _contiguous_rows(seen)


def _rows(memory: Memory, tensor: Tensor) -> View:
    """All of a tensor as rows of contiguous bytes; copied if it does not lie so."""
    view = _contiguous_rows(memory.layout(tensor)) or _contiguous_rows(memory.dense(tensor))
    if view is None:
        raise PackError(
            f"{tensor.elements} values cannot be cut into rows of at most {LIMIT}", memory.operator, tensor
        )
    return view


def _contiguous_rows(layout: Layout) -> View | None:
    dims = layout.dims or ((1, 1),)
    if len(dims) == 1 and dims[0][1] != 1:
        dims = (*dims, (1, 1))
    if len(dims) == 1:
        shape = flat_shape(dims[0][0])
        return None if shape is None else layout.view(*shape)
    if len(dims) == 2 and dims[1][1] == 1:
        return layout.view(dims[0][0], 1, dims[1][0])
    return None


def _no_padding(window: Window, inside: Shape, outside: Shape) -> bool:
    return window.pad == (0, 0) and all(
        (outs - 1) * stride + extent(1, 1, taps, spread) <= length
        for outs, stride, taps, spread, length in zip(
            outside, window.stride, window.kernel, window.dilation, inside, strict=False
        )
    )


def _window(operator: Operator) -> Window:
    attributes = operator.attributes
    return Window(
        tuple(attributes["kernel"]),
        tuple(attributes["stride"]),
        tuple(attributes["dilation"]),
        tuple(attributes["pad"]),
    )


def _turned(window: Window) -> Window:
    return Window(window.kernel[::-1], window.stride[::-1], window.dilation[::-1], window.pad[::-1])


def _turn(shape: Shape) -> Shape:
    return shape[1], shape[0], shape[2]


def _image(tensor: Tensor) -> Shape:
    _, h, w, c = tensor.shape
    return h, w, c


def _ends(operator: Operator) -> tuple[Tensor, Tensor]:
    source = operator.inputs[0]
    assert source is not None
    return source, operator.outputs[0]


def _constant(operator: Operator) -> NDArray[np.int8]:
    weights = operator.inputs[1]
    assert weights is not None and weights.data is not None
    return weights.data
