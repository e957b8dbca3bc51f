"""DS-CNN: the keyword model of the MLPerf Tiny benchmark (arXiv:2106.07597).

A first convolution, then depthwise-separable blocks of one width (Zhang et al., "Hello Edge",
arXiv:1711.07128). With the defaults, an input of 49 x 10 and 12 classes it is layer by layer the benchmark's
``kws_ref_model``: 2,656,768 MACs and, after batch normalisation is folded, 22,604 weights. Cicada's front end
has 40 channels instead of 10 cepstral coefficients; a wider ``kernel`` and ``stride`` along them keeps the
MACs down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cicada.training.recipe import Count, Section

if TYPE_CHECKING:
    import keras

NAME = "ds_cnn"
TASKS = frozenset({"keyword"})


class Options(Section, kw_only=True):
    """Width, depth and the first convolution.

    Attributes:
        channels: of every convolution.
        blocks: depthwise-separable blocks, 3 x 3.
        kernel: frames and channels that the first convolution sees.
        stride: its steps along both.
        dropout: before the head, in training.
    """

    channels: Count = 64
    blocks: Count = 4
    kernel: tuple[Count, Count] = (10, 4)
    stride: tuple[Count, Count] = (2, 2)
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, rows, columns, 1]`` to ``[batch, channels]``."""
    from keras import layers

    def normalised(tensor, name):
        # Short names: the converter strings them together in the file, and flash is dear.
        tensor = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(tensor)
        return layers.ReLU(name=f"r{name}")(tensor)

    first = layers.Conv2D(
        options.channels, options.kernel, options.stride, padding="same", use_bias=False, name="c"
    )
    x = normalised(first(inputs), "c")
    for number in range(options.blocks):
        d, p = f"d{number}", f"p{number}"
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=d)(x)
        x = normalised(x, d)
        x = layers.Conv2D(options.channels, 1, padding="same", use_bias=False, name=p)(x)
        x = normalised(x, p)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Flatten()(x)
    return layers.Dropout(options.dropout)(x)
