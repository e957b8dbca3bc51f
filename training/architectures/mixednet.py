"""A streaming network in the style of microWakeWord's MixedNet: a few new frames in, new scores out.

A first convolution takes ``stride`` frames at a time. Blocks of depthwise convolutions and pointwise ones
follow; the channels of a block are cut into groups whose kernels reach back differently far (MixConv, Tan and
Le, arXiv:1907.09595; the wake words of https://github.com/kahrendt/microWakeWord are built so). Other than
there, the first blocks may keep a frequency axis: weights that serve all bands are few, and a stream has
arithmetic to spare.

Nothing is padded over time, so that every output depends on the frames before it and on nothing else. The
network is trained on whole windows; :mod:`cicada.training.stream_export` makes of it the form that a device
runs, which computes for each new step only what is new.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from cicada.training.recipe import Count, Natural, Section

if TYPE_CHECKING:
    import keras

NAME = "mixednet"
TASKS = frozenset({"keyword"})
STREAMING = True

_BANDS = 5  # that the first convolution sees at once, if there are blocks with a frequency axis
_SKIP = 2  # bands from one place to the next
_TALL = 3  # places that a depthwise convolution sees


class Options(Section, kw_only=True):
    """Widths, kernels, depth.

    Attributes:
        stride: new frames a call; as many lie between two inferences.
        first: channels of the first convolution.
        first_kernel: frames that it sees, at least ``stride``.
        blocks: channels of the blocks.
        kernels: for each of them the kernels of its groups of channels, in steps of ``stride`` frames.
        spectral: number of blocks, from the first, that keep a frequency axis. The first convolution then
            sees 5 bands at every other place, 18 of them; a block leaves every other place if its channels
            are not as many as those before it. 0: the first convolution sees all bands at once.
        residual: add to a block's output what went into it, where the channels are as many.
        head: what the scores are computed from: the ``mean`` of the outputs of all steps of the window, or
            all of them (``flat``), which takes a weight for each.
        dropout: before the head, in training.
    """

    stride: Annotated[int, Meta(ge=1, le=10)] = 2
    first: Count = 32
    first_kernel: Annotated[int, Meta(ge=1, le=20)] = 5
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (64, 64, 96, 96, 96, 96)
    kernels: tuple[Annotated[tuple[Count, ...], Meta(min_length=1)], ...] = (
        *((3,), (3,), (3,)),
        *((3, 5), (3, 5), (5,)),
    )
    spectral: Natural = 5
    residual: bool = True
    head: Literal["mean", "flat"] = "mean"
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.1

    def __post_init__(self) -> None:
        """Check what belongs together.

        Raises:
            ValueError: it does not; msgspec makes a ``ValidationError`` of it.
        """
        if len(self.kernels) != len(self.blocks):
            raise ValueError(f"`kernels` has {len(self.kernels)} entries and `blocks` {len(self.blocks)}")
        if self.spectral > len(self.blocks):
            raise ValueError(f"`spectral` is {self.spectral}, and there are {len(self.blocks)} `blocks`")
        if self.first_kernel < self.stride:
            raise ValueError(f"`first_kernel` {self.first_kernel} skips frames with `stride` {self.stride}")
        for channels, kernels in zip((self.first, *self.blocks), self.kernels, strict=False):
            if len(kernels) > channels:
                raise ValueError(f"`kernels` has {len(kernels)} groups for {channels} channels")


def stride(options: Options) -> int:
    """Frames that the streaming form takes at a call."""
    return options.stride


def reach(options: Options) -> int:
    """Frames that one output before the head depends on; a window must have at least as many."""
    steps = sum(max(kernels) - 1 for kernels in options.kernels)
    return options.first_kernel + options.stride * steps


def streaming(options: Options, model: bytes) -> bytes:
    """The form that a device runs, of a ``.tflite`` of the form that was trained; see ``stream_export``."""
    from cicada.training import stream_export

    return stream_export.streaming(model, options.stride)


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, frames, bands, 1]`` to ``[batch, dims]``.

    Raises:
        ValueError: the window has fewer frames than the kernels see.
    """
    from keras import layers

    _, frames, bands, _ = inputs.shape
    if frames < reach(options):
        raise ValueError(f"the kernels see {reach(options)} frames, more than the {frames} of a window")
    x = inputs
    spare = (frames - options.first_kernel) % options.stride
    if spare:  # so that the last step ends with the last frame, as it does in a stream
        x = layers.Cropping2D(((spare, 0), (0, 0)), name="crop")(x)
    if options.spectral:
        x = _convolved(x, options.first, (options.first_kernel, _BANDS), (options.stride, _SKIP), "c")
    else:
        x = layers.Reshape((frames - spare, 1, bands), name="rows")(x)
        x = _convolved(x, options.first, (options.first_kernel, 1), (options.stride, 1), "c")
    for number, (channels, kernels) in enumerate(zip(options.blocks, options.kernels, strict=True)):
        if number == options.spectral > 0:
            x = _depthwise(x, (1, x.shape[2]), "w")
        x = _block(x, channels, kernels, options.residual, number)
    if options.head == "mean":
        x = layers.AveragePooling2D(x.shape[1:3], name="mean")(x)
    x = layers.Flatten(name="flat")(x)
    return layers.Dropout(options.dropout)(x)


def _block(
    x: keras.KerasTensor, channels: int, kernels: tuple[int, ...], residual: bool, number: int
) -> keras.KerasTensor:
    """Each group of channels under its own kernel, then a pointwise convolution over all."""
    from keras import layers

    rows, places, width = x.shape[1:]
    longest, tall, parts, source = max(kernels), 1, [], x
    if places > 1:
        tall, margin = _TALL, _TALL // 2
        source = layers.ZeroPadding2D(((0, 0), (margin, margin)), name=f"z{number}")(x)
    for group, kernel in enumerate(kernels):
        first, last = width * group // len(kernels), width * (group + 1) // len(kernels)
        # A shorter kernel sees the newer rows, so that all groups are as late.
        part = _part(source, rows - (longest - kernel), first, last, f"k{number}{group}")
        parts.append(_depthwise(part, (kernel, tall), f"d{number}{group}"))
    y = layers.Concatenate(name=f"m{number}")(parts) if len(parts) > 1 else parts[0]
    same = channels == width
    around = residual and same
    # TensorFlow's depthwise convolution has one stride for both axes, so the pointwise one skips places.
    y = _convolved(y, channels, (1, 1), (1, 1 if same else min(_SKIP, places)), f"p{number}", not around)
    if not around:
        return y
    x = _part(x, rows - longest + 1, 0, width, f"v{number}")
    return layers.ReLU(name=f"ra{number}")(layers.Add(name=f"a{number}")([x, y]))


def _convolved(
    x: keras.KerasTensor,
    channels: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    name: str,
    active: bool = True,
) -> keras.KerasTensor:
    """Convolution without padding, normalised; the short names are kept in the file, and flash is dear."""
    from keras import layers

    return _normalised(layers.Conv2D(channels, kernel, strides, use_bias=False, name=name)(x), name, active)


def _depthwise(x: keras.KerasTensor, kernel: tuple[int, int], name: str) -> keras.KerasTensor:
    """Depthwise convolution without padding, normalised."""
    from keras import layers

    return _normalised(layers.DepthwiseConv2D(kernel, use_bias=False, name=name)(x), name, True)


def _normalised(x: keras.KerasTensor, name: str, active: bool) -> keras.KerasTensor:
    from keras import layers

    x = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(x)
    return layers.ReLU(name=f"r{name}")(x) if active else x


def _part(x: keras.KerasTensor, rows: int, first: int, last: int, name: str) -> keras.KerasTensor:
    """The last ``rows`` rows of channels ``first`` to ``last``."""
    if (rows, first, last) == (x.shape[1], 0, x.shape[3]):
        return x
    return _part_layer()(rows, first, last, name=name)(x)


def own_layers() -> dict[str, Any]:
    """Classes of layers that Keras lacks, by name, for loading a saved model."""
    return {"Part": _part_layer()}


@lru_cache(maxsize=1)
def _part_layer() -> Any:
    """The class of a layer that Keras lacks; made late, because importing Keras takes seconds."""
    import keras

    class Part(keras.layers.Layer):
        """The last ``rows`` rows of channels ``first`` to ``last``: one STRIDED_SLICE on the device."""

        def __init__(self, rows: int, first: int, last: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.rows, self.first, self.last = rows, first, last

        def call(self, inputs: Any) -> Any:
            begin = inputs.shape[1] - self.rows
            return inputs[:, begin:, :, self.first : self.last]

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "rows": self.rows, "first": self.first, "last": self.last}

    return Part
