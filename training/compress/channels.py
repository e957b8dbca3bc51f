"""Which channels of a network must come and go together.

What is added is one channel, whoever makes its parts; a depthwise convolution, normalisation and pooling hand
on the channels that they get; what is joined stands side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cicada.training.compress.graph import MOVES, Graph, Step

if TYPE_CHECKING:
    import keras

#: Layers that make new channels, and those that only filter the ones they get.
MAKERS = ("Conv1D", "Conv2D", "Dense")
FILTERS = ("DepthwiseConv2D", "BatchNormalization")
_SUMS = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
_HAND_ON = MOVES - {"Flatten", "Reshape", "Permute", "Transpose", "GetItem", "Concatenate", "Part"} | {
    *("ReLU", "ReLU6", "LeakyReLU", "Activation", "GlobalAveragePooling2D", "GlobalAveragePooling1D"),
}


@dataclass(frozen=True)
class Work:
    """Multiply-accumulates of one layer, as :func:`cicada.training.flatbuffer.macs` counts them.

    Attributes:
        taps: positions of the output times positions of the kernel.
        inputs: channels that each output channel is summed over; None for a depthwise convolution.
        outputs: channels it makes.
    """

    taps: int
    inputs: np.ndarray | None
    outputs: np.ndarray


class Channels:
    """The channels of every tensor of a graph, as numbers; what must go together has one number.

    Attributes:
        fixed: ``bool[numbers]``, those that must stay: features, scores, and what cannot be followed.
        work: of each layer that multiplies.
    """

    def __init__(self, graph: Graph) -> None:
        """Follow the channels from the inputs on.

        Raises:
            UserError: a layer has weights that are not known here, or is used twice.
        """
        self._parents: list[int] = []
        self._of: dict[int, np.ndarray] = {}
        must_stay: list[np.ndarray] = []
        for tensor in graph.inputs:
            self._of[id(tensor)] = self._new(tensor.shape[-1])
            must_stay.append(self._of[id(tensor)])
        graph.check((*MAKERS, *FILTERS), "pruning", "leave out `prune`, or choose another architecture")
        for step in graph.steps:
            made = self._follow(step)
            if made is None:
                must_stay += [self._of[id(tensor)] for tensor in step.inputs]
                for tensor in step.outputs:
                    self._of[id(tensor)] = self._new(tensor.shape[-1])
                    must_stay.append(self._of[id(tensor)])
            else:
                self._of[id(step.outputs[0])] = made
        must_stay += [self._of[id(tensor)] for tensor in graph.outputs]
        roots = np.array([self._root(number) for number in range(len(self._parents))])
        self._of = {key: roots[numbers] for key, numbers in self._of.items()}
        self.fixed = np.zeros(len(roots), bool)
        self.fixed[roots[np.concatenate(must_stay)]] = True
        self.work = [work for step in graph.steps if (work := self._work(step)) is not None]

    def of(self, tensor: keras.KerasTensor) -> np.ndarray:
        """Numbers of a tensor's channels, ``int64[channels]``."""
        return self._of[id(tensor)]

    def makers(self) -> list[np.ndarray]:
        """Channels of each layer that makes some."""
        return [work.outputs for work in self.work if work.inputs is not None]

    def macs(self, alive: np.ndarray) -> int:
        """Multiply-accumulates with only the channels that ``alive`` (``bool[numbers]``) has."""
        return sum(
            work.taps
            * int(alive[work.outputs].sum())
            * (1 if work.inputs is None else int(alive[work.inputs].sum()))
            for work in self.work
        )

    def saved(self, alive: np.ndarray) -> np.ndarray:
        """Multiply-accumulates that each channel costs, ``float64[numbers]``, if the others stay."""
        cost = np.zeros(len(alive))
        for work in self.work:
            inputs = 1 if work.inputs is None else alive[work.inputs].sum()
            np.add.at(cost, work.outputs, work.taps * inputs)
            if work.inputs is not None:
                np.add.at(cost, work.inputs, work.taps * alive[work.outputs].sum())
        return cost

    def _new(self, count: int) -> np.ndarray:
        first = len(self._parents)
        self._parents += range(first, first + count)
        return np.arange(first, first + count)

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def _join(self, one: np.ndarray, other: np.ndarray) -> None:
        for a, b in zip(one.tolist(), other.tolist(), strict=True):
            self._parents[self._root(a)] = self._root(b)

    def _follow(self, step: Step) -> np.ndarray | None:
        """Channels that a step makes; None if that is not known."""
        inputs = [self._of[id(tensor)] for tensor in step.inputs]
        shape = step.outputs[0].shape
        if step.kind in MAKERS:
            return None if getattr(step.layer, "groups", 1) > 1 else self._new(shape[-1])
        if step.kind == "DepthwiseConv2D":
            return np.repeat(inputs[0], step.layer.depth_multiplier)
        if step.kind == "BatchNormalization" and step.layer.axis not in (-1, len(shape) - 1):
            return None
        if step.kind in _HAND_ON or step.kind == "BatchNormalization":
            softmax = getattr(getattr(step.layer, "activation", None), "__name__", "") == "softmax"
            return None if softmax else inputs[0]
        if step.kind == "Flatten":
            return np.tile(inputs[0], shape[-1] // len(inputs[0]))
        if step.kind == "Part":
            return inputs[0][step.layer.first : step.layer.last]
        if step.kind == "Concatenate" and step.layer.axis in (-1, len(shape) - 1):
            return np.concatenate(inputs)
        if step.kind in _SUMS or step.kind == "Concatenate":
            if any(len(numbers) != shape[-1] for numbers in inputs):
                return None
            for numbers in inputs[1:]:
                self._join(numbers, inputs[0])
            return inputs[0]
        return None

    def _work(self, step: Step) -> Work | None:
        if step.kind not in (*MAKERS, "DepthwiseConv2D"):
            return None
        shape, outputs = step.outputs[0].shape, self.of(step.outputs[0])
        taps = int(np.prod(shape[1:-1]))
        if step.kind != "Dense":
            taps *= int(np.prod(step.layer.kernel_size))
        return Work(taps, None if step.kind == "DepthwiseConv2D" else self.of(step.inputs[0]), outputs)
