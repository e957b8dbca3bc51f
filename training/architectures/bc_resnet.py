"""BC-ResNet: B. Kim et al., "Broadcasted residual learning for efficient keyword spotting", arXiv:2106.04140.

Most of the work is done along time alone, on the mean over the bands of frequency; its result is added to
every band ("broadcast"). ``width=8`` with the other defaults is the paper's BC-ResNet-1, ``width=16``
BC-ResNet-2, and so on. What differs, so that INT8 kernels of microcontrollers can do it:

- batch normalisation, which folds into the convolutions, instead of sub-spectral normalisation;
- ReLU instead of swish;
- where the bands are halved, a mean over two of them before the 1 x 1 convolution, instead of a depthwise
  convolution whose strides differ, which TensorFlow cannot train;
- the last depthwise convolution is not padded along time either, which saves a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cicada.training.recipe import Count, Section

if TYPE_CHECKING:
    import keras

NAME = "bc_resnet"
TASKS = frozenset({"keyword"})
_STAGES = 4
#: Channels of the first convolution, of the four stages, and of the last one, in units of ``width``.
_FIRST, _WIDTHS, _LAST = 2.0, (1.0, 1.5, 2.0, 2.5), 4.0
_HALVED = (1, 2)  # stages, counted from 0, that halve the bands
_REACH = 5  # frames that the last depthwise convolution sees


class Options(Section, kw_only=True):
    """Width, depth and resolution along time.

    Attributes:
        width: the paper's scale times 8.
        blocks: of each stage.
        stride: of the first convolution along time. The paper has 1, at 100 frames a second.
        dilation: of each stage's convolutions along time.
        dropout: of whole channels in the blocks, in training.
    """

    width: Annotated[int, Meta(ge=2, le=128)] = 8
    blocks: tuple[Count, Count, Count, Count] = (2, 2, 4, 4)
    stride: Annotated[int, Meta(ge=1, le=4)] = 1
    dilation: tuple[Count, Count, Count, Count] = (1, 2, 4, 8)
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, rows, columns, 1]`` to ``[batch, 4 * width]``."""
    from keras import layers

    def channels(factor: float) -> int:
        return round(factor * options.width)

    def convolution(count, kernel, stride, name):
        return layers.Conv2D(count, kernel, stride, padding="same", use_bias=False, name=name)

    x = convolution(channels(_FIRST), 5, (options.stride, 2), "c")(inputs)
    x = _normalised(x, "c")
    for stage in range(_STAGES):
        for number in range(options.blocks[stage]):
            name = f"{stage}{number}"
            shortcut = None
            if number == 0:  # a transition: the number of channels changes, so nothing is carried over
                if stage in _HALVED:
                    x = layers.AveragePooling2D((1, 2))(x)
                x = convolution(channels(_WIDTHS[stage]), 1, 1, f"t{name}")(x)
                x = _normalised(x, f"t{name}")
            else:
                shortcut = x
            x = _block(x, shortcut, options, options.dilation[stage], name)
    rows, columns = x.shape[1:3]
    x = layers.DepthwiseConv2D((min(_REACH, rows), columns), use_bias=False, name="d")(x)
    x = convolution(channels(_LAST), 1, 1, "p")(x)
    x = _normalised(x, "p")
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    return layers.Flatten()(x)


def _normalised(tensor: keras.KerasTensor, name: str, active: bool = True) -> keras.KerasTensor:
    from keras import layers

    # Short names: the converter strings them together in the file, and flash is dear.
    tensor = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(tensor)
    return layers.ReLU(name=f"r{name}")(tensor) if active else tensor


def _block(
    x: keras.KerasTensor, shortcut: keras.KerasTensor | None, options: Options, dilation: int, name: str
) -> keras.KerasTensor:
    """Along the bands, then the mean of them along time, the sum of both and of the shortcut."""
    from keras import layers

    f, t = f"f{name}", f"m{name}"
    x = layers.DepthwiseConv2D((1, 3), padding="same", use_bias=False, name=f)(x)
    x = _normalised(x, f, active=False)
    y = layers.AveragePooling2D((1, x.shape[2]))(x)
    y = layers.DepthwiseConv2D((3, 1), padding="same", dilation_rate=(dilation, 1), use_bias=False, name=t)(y)
    y = _normalised(y, t)
    y = layers.Conv2D(x.shape[3], 1, use_bias=False, name=f"w{name}")(y)
    y = layers.SpatialDropout2D(options.dropout)(y)
    x = layers.Add()([x, y] if shortcut is None else [layers.Add()([x, shortcut]), y])
    return layers.ReLU(name=f"r{name}")(x)
