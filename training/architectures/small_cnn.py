"""A small depthwise-separable CNN, as in Zhang et al., "Hello Edge" (arXiv:1711.07128), cut for the demo.

Only operators that every TFLM build has: convolutions, average pooling, fully connected, softmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cicada.training.recipe import Count, Section

if TYPE_CHECKING:
    import keras

NAME = "small_cnn"
TASKS = frozenset({"keyword", "image"})
_KERNEL, _STRIDE = (5, 5), (2, 2)


class Options(Section, kw_only=True):
    """Widths and depth.

    Attributes:
        first: channels of the first convolution, 5 x 5 with stride 2. The stride keeps the largest
            activation, and with it the arena, small.
        blocks: channels of the depthwise-separable blocks.
        strided: the blocks, counted from 0, that halve both axes.
        dropout: before the head, in training.
    """

    first: Count = 24
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (40, 40, 64, 64, 64)
    strided: tuple[int, ...] = (0, 2)
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, rows, columns, 1]`` to ``[batch, blocks[-1]]``."""
    from keras import layers

    def normalised(tensor, name):
        # Short names: the converter strings them together in the file, and flash is dear.
        tensor = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(tensor)
        return layers.ReLU(name=f"r{name}")(tensor)

    x = layers.Conv2D(options.first, _KERNEL, _STRIDE, padding="same", use_bias=False, name="c")(inputs)
    x = normalised(x, "c")
    for number, channels in enumerate(options.blocks):
        stride = (2, 2) if number in options.strided else (1, 1)
        d, p = f"d{number}", f"p{number}"
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=d)(x)
        x = normalised(x, d)
        x = layers.Conv2D(channels, 1, padding="same", use_bias=False, name=p)(x)
        x = normalised(x, p)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Flatten()(x)
    return layers.Dropout(options.dropout)(x)
