"""A small depthwise CNN for pictures: MobileNet (A. G. Howard et al., arXiv:1704.04861), thin and short.

For one channel of gray and microcontrollers; a quarter of its width and 96 x 96 pixels is the size at which
people have it tell whether somebody is there (A. Chowdhery et al., "Visual wake words", arXiv:1906.05721).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cicada.training.recipe import Natural, Section

if TYPE_CHECKING:
    import keras

NAME = "person"
TASKS = frozenset({"image"})
_FIRST = 32  # channels of the first convolution, which halves both axes
# Depthwise-separable blocks of MobileNet, table 1: channels and stride; then ``repeats`` of 512, then 1024.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
_REPEATED, _LAST = (512, 1), ((1024, 2), (1024, 1))
_LEAST = 4  # channels, however thin


class Options(Section, kw_only=True):
    """Width and depth.

    Attributes:
        width: share of MobileNet's channels.
        repeats: of the block in its middle; MobileNet has 5.
        top: whether the last two blocks are there. They hold most of the weights.
        dropout: before the head, in training.
    """

    width: Annotated[float, Meta(gt=0, le=1)] = 0.25
    repeats: Natural = 1
    top: bool = False
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from pictures ``[batch, rows, columns, 1]`` to ``[batch, channels of the last block]``."""
    from keras import layers

    def normalised(tensor, name):
        # Short names: the converter strings them together in the file, and flash is dear.
        tensor = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(tensor)
        return layers.ReLU(name=f"r{name}")(tensor)

    def channels(count: int) -> int:
        return max(_LEAST, round(count * options.width))

    x = layers.Conv2D(channels(_FIRST), 3, 2, padding="same", use_bias=False, name="c")(inputs)
    x = normalised(x, "c")
    blocks = [*_BLOCKS, *[_REPEATED] * options.repeats, *(_LAST if options.top else ())]
    for number, (count, stride) in enumerate(blocks):
        d, p = f"d{number}", f"p{number}"
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=d)(x)
        x = normalised(x, d)
        x = layers.Conv2D(channels(count), 1, padding="same", use_bias=False, name=p)(x)
        x = normalised(x, p)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Flatten()(x)
    return layers.Dropout(options.dropout)(x)
