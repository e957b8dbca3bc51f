"""Structured pruning: whole channels go, and with them the weights, the work and the bytes of the file.

What a channel is worth is a first-order guess at what its loss would cost, P. Molchanov et al., "Importance
estimation for neural network pruning" (arXiv:1906.10771): the square of the sum of ``activation * gradient``
over all places where it is used, mean over examples. The channels that are worth least for the work that they
make go first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.training import backend
from cicada.training.compress.channels import FILTERS, MAKERS, Channels
from cicada.training.compress.graph import Graph, Step, again

if TYPE_CHECKING:
    import keras

_BATCH = 64
#: Share of a layer's channels that stays at least: a layer with none cuts the network in two.
LEAST = 1 / 8
# Channels that go before the work that each of the rest makes is counted anew, as a share of all.
_AT_ONCE = 0.01


def prune(model: keras.Model, keep: float, x: np.ndarray, y: np.ndarray) -> keras.Model:
    """A smaller model with the weights of the channels that are worth most; train it further.

    Args:
        model: trained, from features to probabilities; it stays as it is. Of several outputs the first
            decides what a channel is worth.
        keep: share of the multiply-accumulates that may stay, 0 to 1.
        x: examples as the model takes them, ``float32[n, ...]``.
        y: their classes ``int64[n]``.

    Raises:
        UserError: a layer that cannot be pruned, or a ``keep`` that would take all channels of a layer.
    """
    backend.tensorflow()
    graph = Graph(model)
    channels = Channels(graph)
    worth = importance(graph, channels, x, y)
    alive = select(channels, worth, keep)
    return _shrink(graph, channels, alive)


def importance(graph: Graph, channels: Channels, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """What each channel is worth, ``float64[numbers of channels]``."""
    tf = backend.tensorflow()
    import keras

    class Gate(keras.layers.Layer):
        """Passes what it gets, times one for each example and channel; the gradient by that is the answer."""

        def __init__(self, count: int, rank: int) -> None:
            super().__init__()
            self.one = self.add_weight(
                (_BATCH, *([1] * (rank - 2)), count), initializer="ones", trainable=True
            )

        def call(self, inputs: Any) -> Any:
            return inputs * self.one

    gates: list[tuple[Any, np.ndarray]] = []

    def gated(step: Step, args: Any, kwargs: Any) -> Any:
        if step.kind not in MAKERS:
            return again(step, args, kwargs)
        tensor = step.inputs[0]
        gates.append((Gate(tensor.shape[-1], len(tensor.shape)), channels.of(tensor)))
        return again(step, (gates[-1][0](args[0]),), kwargs)

    probe = graph.rebuild(gated)
    ones = [gate.one for gate, _ in gates]

    @tf.function
    def gradients(inputs, labels):
        with tf.GradientTape() as tape:
            outputs = probe(inputs, training=False)
            scores = outputs[0] if isinstance(outputs, list | tuple) else outputs
            loss = tf.reduce_sum(keras.losses.sparse_categorical_crossentropy(labels, scores))
        return tape.gradient(loss, ones)

    worth = np.zeros(len(channels.fixed))
    # Batches have one size; the examples go round until the last is full.
    rows = np.resize(np.arange(len(x)), -(-len(x) // _BATCH) * _BATCH).reshape(-1, _BATCH)
    for part in rows:
        each = np.zeros((_BATCH, len(worth)))
        made = gradients(tf.constant(x[part]), tf.constant(y[part]))
        for (_, numbers), found in zip(gates, made, strict=True):
            if found is not None:  # layers of another output have no part in the first
                np.add.at(each, (slice(None), numbers), np.asarray(found).reshape(_BATCH, -1))
        worth += np.square(each).sum(axis=0)
    return worth / rows.size


def select(channels: Channels, worth: np.ndarray, keep: float) -> np.ndarray:
    """The channels that stay, ``bool[numbers]``.

    Raises:
        UserError: not so much work can be saved.
    """
    alive = np.ones(len(worth), bool)
    before = channels.macs(alive)
    least = [max(1, int(np.ceil(LEAST * len(np.unique(numbers))))) for numbers in channels.makers()]
    step = max(1, round(_AT_ONCE * len(worth)))
    while channels.macs(alive) > keep * before:
        blocked = channels.fixed | ~alive
        for numbers, few in zip(channels.makers(), least, strict=True):
            if alive[np.unique(numbers)].sum() <= few:
                blocked[numbers] = True
        cost = channels.saved(alive)
        open_ = np.flatnonzero(~blocked & (cost > 0))
        if not len(open_):
            share = channels.macs(alive) / before
            raise UserError(
                f"the model cannot be pruned to {keep:.0%} of its work, at most to {share:.0%}: raise"
                " `prune.keep`, or choose a smaller model"
            )
        order = open_[np.argsort(worth[open_] / cost[open_], kind="stable")]
        for number in order[:step]:
            alive[number] = False
            if any(alive[np.unique(n)].sum() < few for n, few in zip(channels.makers(), least, strict=True)):
                alive[number] = True
            elif channels.macs(alive) <= keep * before:
                break
    return alive


def _shrink(graph: Graph, channels: Channels, alive: np.ndarray) -> keras.Model:
    """The model without the channels that are not alive."""

    def smaller(step: Step, args: Any, kwargs: Any) -> Any:
        inputs = [alive[channels.of(tensor)] for tensor in step.inputs]
        made = alive[channels.of(step.outputs[0])]
        settings = step.layer.get_config() if hasattr(step.layer, "get_config") else {}
        if step.kind == "Part":
            numbers = np.flatnonzero(inputs[0])
            settings["first"] = int((numbers < step.layer.first).sum())
            settings["last"] = int((numbers < step.layer.last).sum())
        elif step.kind in MAKERS:
            settings["units" if step.kind == "Dense" else "filters"] = int(made.sum())
        elif step.kind not in FILTERS:
            return again(step, args, kwargs)
        layer = step.layer.__class__.from_config(settings)
        outputs = layer(*args, **kwargs)
        layer.set_weights([_cut(step, w, inputs[0], made) for w in step.layer.get_weights()])
        return outputs

    return graph.rebuild(smaller)


def _cut(step: Step, weight: np.ndarray, inputs: np.ndarray, made: np.ndarray) -> np.ndarray:
    """A weight without the channels that went."""
    if weight.ndim == 1:
        return weight[made]
    if step.kind == "DepthwiseConv2D":
        return weight[:, :, inputs]
    return weight[..., inputs, :][..., made]
