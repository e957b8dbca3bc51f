"""Layers that compute in float what the device computes in INT8, with gradients that ignore the rounding.

"Fake quantisation" as in B. Jacob et al. (arXiv:1712.05877): values are rounded to the 256 steps that they
will have, and the gradient passes as if they were not ("straight through"). TensorFlow's operators for it are
the ones that its converter understands, so the file has the same steps.

Imports Keras; the rest of the package imports this module when it is needed.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: Layers with a kernel that are known here, by class.
KERNELS = {
    "Conv1D": keras.layers.Conv1D,
    "Conv2D": keras.layers.Conv2D,
    "DepthwiseConv2D": keras.layers.DepthwiseConv2D,
    "Dense": keras.layers.Dense,
}
# A range or a channel of only zeros has no scale; this is far below every other one.
_SMALLEST = 1e-6


class Grid(keras.layers.Layer):
    """The 256 steps of one or more activations that have one scale and zero point on the device.

    Training may widen and narrow the range: each end is its first value times ``exp(reach)``, so that a step
    of the optimiser means the same for large and small ranges. Zero is always one of the steps.

    Attributes:
        bypass: values pass as they are, to find out what range they have.
    """

    def __init__(self, ends: tuple[float, float] | None = None, **options: Any) -> None:
        """Steps of an activation.

        Args:
            ends: least and largest value of a range that is fixed by the device; None for one that
                :meth:`span` sets and that training may change.
        """
        super().__init__(**options)
        self.fixed, self.bypass = ends is not None, False
        first = np.float32(ends or (-1.0, 1.0))
        self.ends = self.add_weight(
            shape=(2,), trainable=False, initializer=lambda *_, **__: first, name="ends"
        )
        self.reach = self.add_weight(shape=(2,), trainable=ends is None, initializer="zeros", name="reach")

    def span(self, low: float, high: float) -> None:
        """Begin with this range; it is widened to contain zero."""
        self.ends.assign([min(low, 0.0), max(high, 0.0, _SMALLEST)])
        self.reach.assign([0.0, 0.0])

    def range(self) -> tuple[float, float]:
        """Least and largest step, moved as TensorFlow moves them so that zero is exactly a step."""
        low, high = np.asarray(self.ends, np.float64) * np.exp(np.asarray(self.reach, np.float64))
        scale = (high - low) / 255
        zero = np.round(-low / scale)
        return float(-zero * scale), float((255 - zero) * scale)

    def call(self, x: Any) -> Any:
        """The nearest step of each value."""
        if self.bypass:
            return x
        low, high = tf.unstack(self.ends * tf.exp(self.reach))
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high)


class Steps(keras.layers.Layer):
    """A :class:`Grid` that does not change any more; the converter reads its range."""

    def __init__(self, low: float, high: float, **options: Any) -> None:
        """The range as :meth:`Grid.range` gives it."""
        super().__init__(**options)
        self.low, self.high = low, high

    def call(self, x: Any) -> Any:
        """The nearest step of each value."""
        return tf.quantization.fake_quant_with_min_max_args(x, self.low, self.high)


class Weighted(keras.layers.Layer):
    """A convolution or dense layer with INT8 weights, a scale for each output channel, and what follows it.

    Batch normalisation is part of the weights, as in the file: its mean and variance stay as the float
    training left them, its factor and offset go on learning.
    """

    def __init__(
        self,
        layer: keras.Layer,
        norm: keras.layers.BatchNormalization | None,
        activation: str,
        **options: Any,
    ) -> None:
        """Take weights over.

        Args:
            layer: of a class in :data:`KERNELS`, built; its own activation does not count.
            norm: batch normalisation behind it, if any.
            activation: of the output: ``linear``, ``relu`` or ``relu6``.
        """
        super().__init__(**options)
        self.kind = next(name for name, kind in KERNELS.items() if type(layer) is kind)
        self.settings, self.activation = layer.get_config(), activation
        kernel = np.asarray(layer.kernel)
        channels = int(np.prod(kernel.shape[-2:])) if self.kind == "DepthwiseConv2D" else kernel.shape[-1]
        offset = np.asarray(layer.bias) if layer.use_bias else np.zeros(channels, np.float32)
        self.kernel = self._weight("kernel", kernel)
        self.factor = None
        if norm is not None:
            deviation = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
            self.factor = self._weight("factor", norm.gamma if norm.scale else np.ones(channels))
            self.deviation = self._weight("deviation", deviation, trainable=False)
            self.mean = self._weight("mean", np.asarray(norm.moving_mean) - offset, trainable=False)
            offset = norm.beta if norm.center else np.zeros(channels)
        self.offset = self._weight("offset", offset)

    def weights_now(self) -> tuple[np.ndarray, np.ndarray]:
        """Kernel, on its steps, and bias of the plain layer that this one has become."""
        return np.asarray(self._rounded()), np.asarray(self._bias())

    def call(self, x: Any) -> Any:
        """The layer's output before it is rounded itself."""
        kernel, settings = self._rounded(), self.settings
        if self.kind == "Dense":
            y = keras.ops.matmul(x, kernel)
        else:
            convolve = keras.ops.depthwise_conv if self.kind == "DepthwiseConv2D" else keras.ops.conv
            y = convolve(
                x,
                kernel,
                strides=tuple(settings["strides"]),
                padding=settings["padding"],
                data_format="channels_last",
                dilation_rate=tuple(settings["dilation_rate"]),
            )
        return keras.activations.get(self.activation)(y + self._bias())

    def _weight(self, name: str, value: np.ndarray, trainable: bool = True) -> Any:
        value = np.asarray(value, np.float32)
        return self.add_weight(
            shape=value.shape, initializer=lambda *_, **__: value, trainable=trainable, name=name
        )

    def _rounded(self) -> Any:
        kernel = tf.convert_to_tensor(self.kernel)
        shape, channels = kernel.shape, self.offset.shape[0]
        # A depthwise kernel's two last axes are its channels; for the others the last is.
        flat = tf.reshape(kernel, (-1, channels))
        if self.factor is not None:
            flat = flat * (self.factor / self.deviation)
        most = tf.maximum(tf.stop_gradient(tf.reduce_max(tf.abs(flat), axis=0)), _SMALLEST)
        flat = tf.quantization.fake_quant_with_min_max_vars_per_channel(flat, -most, most, narrow_range=True)
        return tf.reshape(flat, shape)

    def _bias(self) -> Any:
        if self.factor is None:
            return tf.convert_to_tensor(self.offset)
        return self.offset - self.mean * self.factor / self.deviation
