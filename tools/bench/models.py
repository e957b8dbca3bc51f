"""A model as large as an update may have to carry, where nobody has trained one.

Blocks of a trained model, each a depthwise convolution and a pointwise one, are repeated with their weights
in another order. So weights, biases and scales are as those of a trained network: they compress as badly, and
engines run the model. What it says means nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cicada.training.pack import pack
from cicada.training.selftest import with_selftest

_BLOCK = 2  # operators: depthwise and pointwise convolution
_WEIGHTS, _BIAS = 1, 2  # among an operator's inputs


def larger(model: bytes, blocks: Sequence[int]) -> bytes:
    """A ``.tflite`` with more blocks.

    Args:
        model: a ``.tflite`` of depthwise-separable blocks.
        blocks: which blocks to repeat, counted from 0; one that is named twice comes twice more.

    Raises:
        ValueError: if ``model`` has no such block, or one that changes the shape of what it gets.
    """
    tree = _read(model)
    rng = np.random.default_rng(1)
    for block in sorted(blocks, reverse=True):  # so that the numbers of those before it stay
        _repeat(tree, block, rng)
    return _written(tree)


def contained(about: Mapping[str, Any], model: bytes, version: str) -> bytes:
    """A container around a ``.tflite`` of :func:`larger`, packed.

    Args:
        about: manifest of the model it was made of.
        model: the ``.tflite``.
        version: of the new model.
    """
    made = pack(model)
    data = "none: the blocks of a trained model, some of them repeated in disorder"
    return with_selftest(made.contained({**about, "version": version, "macs": made.macs, "data": data}))


def _read(model: bytes) -> Any:
    from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(model, 0))


def _written(tree: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _repeat(tree: Any, number: int, rng: np.random.Generator) -> None:
    """Put a copy of a depthwise-separable block behind it."""
    graph = tree.subgraphs[0]
    starts = [n for n, one in enumerate(graph.operators[:-_BLOCK]) if _is_block(graph, n)]
    if not 0 <= number < len(starts):
        raise ValueError(f"the model has {len(starts)} blocks, and no block {number}")
    after = starts[number] + _BLOCK
    block = graph.operators[after - _BLOCK : after]
    source = block[-1].outputs[0]
    if list(graph.tensors[block[0].inputs[0]].shape) != list(graph.tensors[source].shape):
        raise ValueError(f"block {number} changes the shape of what it gets")
    new = []
    for operator in block:
        layer = copy.copy(operator)
        weights, bias = (graph.tensors[operator.inputs[n]] for n in (_WEIGHTS, _BIAS))
        output = graph.tensors[operator.outputs[0]]
        numbers = [_add(tree, weights, rng), _add(tree, bias, None), _add(tree, output, None)]
        layer.inputs, layer.outputs = [source, *numbers[:2]], numbers[2:]
        # A bias counts in steps of input scale times weight scale (TensorFlow Lite's quantisation spec).
        scale = np.float32(graph.tensors[source].quantization.scale[0])
        graph.tensors[numbers[1]].quantization.scale = scale * weights.quantization.scale
        source = numbers[2]
        new.append(layer)
    graph.operators[after:after] = new
    following = graph.operators[after + _BLOCK]
    following.inputs = [source, *following.inputs[1:]]


def _is_block(graph: Any, at: int) -> bool:
    """Whether operator ``at`` is a 3 by 3 convolution, and a 1 by 1 convolution comes after it."""
    kernels = []
    for operator in graph.operators[at : at + _BLOCK]:
        shape = graph.tensors[operator.inputs[_WEIGHTS]].shape if len(operator.inputs) > _WEIGHTS else ()
        kernels.append([int(n) for n in shape[1:3]])
    return kernels == [[3, 3], [1, 1]]


def _add(tree: Any, like: Any, rng: np.random.Generator | None) -> int:
    """Add a tensor like another one, its data in a new order if ``rng`` is given; returns its number."""
    graph = tree.subgraphs[0]
    tensor, buffer = copy.deepcopy(like), copy.copy(tree.buffers[like.buffer])
    if rng is not None:
        buffer.data = rng.permutation(np.asarray(buffer.data, np.uint8))
    tensor.name = b"t%d" % len(graph.tensors)
    tensor.buffer = len(tree.buffers)
    tree.buffers.append(buffer)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1
