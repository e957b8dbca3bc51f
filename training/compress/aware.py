"""Quantisation-aware training: the model learns with the rounding that the device will do.

Follows B. Jacob et al. (arXiv:1712.05877) and the INT8 rules of TensorFlow Lite
(https://ai.google.dev/edge/litert/models/quantization_spec): weights per output channel and symmetric,
activations per tensor, batch normalisation folded before rounding, one scale for what is moved or pooled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cicada.tools.errors import UserError
from cicada.training import backend
from cicada.training.compress.graph import MOVES, Graph, Step, again

if TYPE_CHECKING:
    import keras

_RELUS = ("relu", "relu6")
#: Outputs with a range that TFLite prescribes.
_PRESCRIBED = {"softmax": (0.0, 255 / 256), "sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
_INPUT = (-1.0, 127 / 128)
_BATCH = 64
_SAMPLES = 1 << 16  # values of an activation that its range is chosen on


def aware(model: keras.Model, x: np.ndarray) -> keras.Model:
    """A model with the same weights that computes as the INT8 model will, to be trained further.

    Ranges of activations begin where they cost least on the examples and are trained with the weights; a mean
    and variance of batch normalisation stays as it is. Train it as the model itself
    (:func:`cicada.training.fit.fit`) at a lower rate, then :func:`plain` or :func:`convert` it.

    Args:
        model: trained, of layers that are each used once; it stays as it is. Several outputs are fine.
        x: calibration examples as the model takes them, ``float32[n, ...]``.

    Raises:
        UserError: a layer with weights that is not known here, or is used twice.
    """
    backend.tensorflow()
    import keras

    made = _Maker(Graph(model))
    result = made.graph.rebuild(made.step, made.enter)
    probes = [tensor for grid, tensor in made.rounded if not grid.fixed]
    probe = keras.Model(result.input, probes)
    for grid, _ in made.rounded:
        grid.bypass = True
    seen = _seen(probe, x, len(probes))
    for grid, _ in made.rounded:
        grid.bypass = False
    values: dict[int, list[np.ndarray]] = {}
    grids = [grid for grid, _ in made.rounded if not grid.fixed]
    for grid, found in zip(grids, seen, strict=True):
        values.setdefault(id(grid), []).append(found)
    for grid in {id(grid): grid for grid in grids}.values():
        grid.span(*best_range(np.concatenate(values[id(grid)])))
    return result


def plain(model: keras.Model) -> keras.Model:
    """A trained :func:`aware` model with ordinary layers: weights are on their steps, ranges are fixed.

    It computes the same. The converter makes the INT8 model of it without calibration.
    """
    backend.tensorflow()
    from cicada.training.compress import fake

    def step(step: Step, args: Any, kwargs: Any) -> Any:
        layer = step.layer
        if isinstance(layer, fake.Grid):
            return fake.Steps(*layer.range())(args[0])
        if not isinstance(layer, fake.Weighted):
            return again(step, args, kwargs)
        settings = layer.settings | {"use_bias": True, "activation": layer.activation}
        twin = fake.KERNELS[layer.kind].from_config(settings)
        outputs = twin(args[0])
        twin.set_weights(layer.weights_now())
        return outputs

    return Graph(model).rebuild(step)


def convert(model: keras.Model) -> bytes:
    """The INT8 ``.tflite`` of a trained :func:`aware` model, with the ranges that it has learned.

    Of several outputs only the first is kept.

    Raises:
        UserError: an operator that the device lacks.
        RuntimeError: the result does not keep what the device relies on (a defect, not a user's error).
    """
    from cicada.training import quantise

    return quantise.convert_ranged(plain(model))


def best_range(values: np.ndarray) -> tuple[float, float]:
    """Least and largest value of the range, zero included, whose 256 steps have the least squared error."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if low == high:
        return low, high

    def error(low: float, high: float) -> float:
        scale = (high - low) / 255
        zero = np.round(-low / scale)
        nearest = (np.clip(np.round(values / scale) + zero, 0, 255) - zero) * scale
        return float(np.square(nearest - values).mean())

    shares = np.linspace(0.3, 1.0, 36)
    high = min((high * share for share in shares), key=lambda end: error(low, end)) if high > 0 else high
    low = min((low * share for share in shares), key=lambda end: error(end, high)) if low < 0 else low
    return low, high


def _seen(probe: keras.Model, x: np.ndarray, count: int) -> list[np.ndarray]:
    """Values of each output of ``probe``: as many as ranges are chosen on, its extremes always among them."""
    parts: list[list[np.ndarray]] = [[] for _ in range(count)]
    share = _SAMPLES * _BATCH // max(len(x), _BATCH)
    for at in range(0, len(x), _BATCH):
        outputs = probe(x[at : at + _BATCH], training=False)
        for part, output in zip(parts, outputs if count > 1 else [outputs], strict=True):
            flat = np.asarray(output).ravel()
            part.append(flat[:: max(1, len(flat) // share)])
            part.append(np.array([flat.min(), flat.max()]))
    return [np.concatenate(part) for part in parts]


class _Maker:
    """Puts the layers of :mod:`cicada.training.compress.fake` in the place of a model's own."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        #: Each use of a grid, with the tensor that is rounded there.
        self.rounded: list[tuple[Any, Any]] = []
        #: By the step with the kernel: normalisation and activation that become part of it.
        self._norms: dict[Step, Any] = {}
        self._relus: dict[Step, str] = {}
        self._folded: set[Step] = set()
        self._fused: set[Step] = set()  # their ReLU follows, and only what it makes is rounded
        self._grids: dict[int, Any] = {}
        self._parents: dict[int, int] = {}
        for step in graph.steps:
            self._fold(step)
        self._refuse()
        for step in graph.steps:
            if step.kind in MOVES or step in self._folded:
                for tensor in step.inputs:
                    self._parents[self._root(tensor)] = self._root(step.outputs[0])

    def enter(self, given: Any, tensor: Any) -> Any:
        """The device's features are whole multiples of 1/128."""
        from cicada.training.compress import fake

        grid = self._grids[self._root(given)] = fake.Grid(_INPUT, name=f"grid{len(self._grids)}")
        return self._round(tensor, grid)

    def step(self, step: Step, args: Any, kwargs: Any) -> Any:
        """What stands for a step in the new model."""
        from cicada.training.compress import fake

        if step in self._folded:
            return args[0]
        if step in self._relus:
            import keras

            kernel = self._kernel(step)
            norm = self._norms.get(step)
            tensor = fake.Weighted(kernel, norm, self._relus[step], name=step.layer.name)(args[0])
            activation = _activation(step)
            if activation == "linear" or activation in _RELUS:
                return self._round(tensor, self._grid(step.outputs[0]))
            tensor = self._round(tensor, fake.Grid(name=f"grid_{step.layer.name}"))
            return self._prescribed(step, keras.layers.Activation(activation)(tensor), activation)
        tensor = again(step, args, kwargs)
        if step in self._fused or (step.kind in MOVES and not step.kind.startswith("AveragePooling")):
            return tensor
        return self._prescribed(step, tensor, _activation(step))

    def _prescribed(self, step: Step, tensor: Any, activation: str) -> Any:
        """Round what an activation gives, unless the model gives it out: a loss needs its small values."""
        from cicada.training.compress import fake

        if activation not in _PRESCRIBED:
            return self._round(tensor, self._grid(step.outputs[0]))
        if any(step.outputs[0] is output for output in self.graph.outputs):
            return tensor
        root = self._root(step.outputs[0])
        if root not in self._grids:
            self._grids[root] = fake.Grid(_PRESCRIBED[activation], name=f"grid{len(self._grids)}")
        return self._round(tensor, self._grids[root])

    def _round(self, tensor: Any, grid: Any) -> Any:
        self.rounded.append((grid, tensor))
        return grid(tensor)

    def _grid(self, tensor: Any) -> Any:
        from cicada.training.compress import fake

        root = self._root(tensor)
        if root not in self._grids:
            self._grids[root] = fake.Grid(name=f"grid{len(self._grids)}")
        return self._grids[root]

    def _root(self, tensor: Any) -> int:
        at = id(tensor)
        while at in self._parents and self._parents[at] != at:
            at = self._parents[at]
        return at

    def _fold(self, step: Step) -> None:
        """Find what becomes part of a step."""
        if step in self._folded or step.kind in MOVES:
            return
        weighted = step.kind in _kernels() or step.kind == "BatchNormalization"
        last, own = step, _activation(step)
        if step.kind in _kernels() and own == "linear":
            after = self.graph.only_user(step)
            if after is not None and after.kind == "BatchNormalization":
                self._norms[step], last = after.layer, after
                self._folded.add(after)
        after = self.graph.only_user(last)
        if own == "linear" and after is not None and after.kind in ("ReLU", "Activation"):
            if _activation(after) in _RELUS:
                own = _activation(after)
                (self._folded if weighted else self._fused).add(after if weighted else step)
        if weighted:
            self._relus[step] = own if own in _RELUS else "linear"

    def _kernel(self, step: Step) -> Any:
        """The step's layer; normalisation that stands alone is a depthwise convolution of one tap."""
        import keras

        if step.kind != "BatchNormalization":
            return step.layer
        layer = keras.layers.DepthwiseConv2D(1, use_bias=False)
        layer.build(step.inputs[0].shape)
        layer.set_weights([np.ones((1, 1, step.inputs[0].shape[-1], 1), np.float32)])
        self._norms[step] = step.layer
        return layer

    def _refuse(self) -> None:
        what, instead = "quantisation-aware training", "set `quantise.aware_epochs` to 0"
        self.graph.check((*_kernels(), "BatchNormalization"), what, instead)
        for step in self.graph.steps:
            alone = step.kind == "BatchNormalization" and step not in self._folded
            if alone and len(step.inputs[0].shape) != 4:
                raise UserError(
                    f"{what} cannot take layer '{step.layer.name}': normalisation of other than pictures must"
                    f" follow a convolution or dense layer without activation; {instead}"
                )


def _kernels() -> dict[str, Any]:
    from cicada.training.compress import fake

    return fake.KERNELS


def _activation(step: Step) -> str:
    """Name of the activation that a layer ends with, or is."""
    layer = step.layer
    if step.kind == "ReLU":
        plain = not layer.negative_slope and not layer.threshold
        return {None: "relu", 6.0: "relu6"}.get(layer.max_value, "other") if plain else "other"
    if step.kind == "Softmax":
        return "softmax"
    activation = getattr(layer, "activation", None)
    return "linear" if activation is None else activation.__name__
