"""A streaming network in the style of microWakeWord's MixedNet: a few new frames in, new scores out.

A first convolution takes ``stride`` frames at a time. Blocks of depthwise convolutions over time and
pointwise ones follow; the channels of a block are cut into groups whose kernels have different lengths
(MixConv, Tan and Le, arXiv:1907.09595; the wake words of https://github.com/kahrendt/microWakeWord are built
so). Optionally the first layers keep a frequency axis: weights that serve all bands are few, and a stream has
arithmetic to spare.

Nothing is padded over time, so that every output depends on the frames before it and on nothing else. The
network is trained on whole windows; :mod:`cicada.training.stream_export` makes of it the form that a device
runs, which computes for each new step only what is new.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from cicada.training.recipe import Count, Section

if TYPE_CHECKING:
    import keras

NAME = "mixednet"
TASKS = frozenset({"keyword"})
STREAMING = True

_CHANNELS = 40  # of the front end
_BANDS = 5  # that the first convolution sees, if it keeps a frequency axis
_SPECTRAL = (3, 3)  # kernel of the depthwise convolutions that do: steps, bands
_SKIP = 2  # bands between two outputs of either


class Options(Section, kw_only=True):
    """Widths, kernels, depth.

    Attributes:
        stride: new frames a call; as many lie between two inferences.
        first: channels of the first convolution.
        first_kernel: frames that it sees, at least ``stride``.
        spectral: channels of blocks that keep a frequency axis. The first convolution then sees 5 bands at
            every other place, 18 of them. Each block sees 3 steps and 3 bands, which costs 2 places, and
            takes every other place if its channels are not as many as those before it. Empty: the first
            convolution sees all bands at once.
        blocks: channels of the mixed blocks.
        kernels: for each of them the kernels of its groups of channels, in steps of ``stride`` frames.
        residual: add to a block's output what went into it, where the channels are as many; of both kinds.
        head: what the scores are computed from: the ``mean`` of the outputs of all steps of the window, or
            all of them (``flat``), which takes a weight for each.
        dropout: before the head, in training.
    """

    stride: Annotated[int, Meta(ge=1, le=10)] = 2
    first: Count = 32
    first_kernel: Annotated[int, Meta(ge=1, le=20)] = 5
    spectral: tuple[Count, ...] = (32, 32, 48, 48)
    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)] = (128, 128, 128)
    kernels: tuple[Annotated[tuple[Count, ...], Meta(min_length=1)], ...] = ((3,), (3, 5), (5,))
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
        if self.first_kernel < self.stride:
            raise ValueError(
                f"a `first_kernel` of {self.first_kernel} skips frames with `stride` {self.stride}"
            )
        width = self.spectral[-1] if self.spectral else self.first
        for channels, kernels in zip((width, *self.blocks), self.kernels, strict=False):
            if len(kernels) > channels:
                raise ValueError(
                    f"{len(kernels)} groups of `kernels` are more than their {channels} channels"
                )
        bands, last = (_CHANNELS - _BANDS) // _SKIP + 1, self.first
        for channels in self.spectral:
            bands -= _SPECTRAL[1] - 1
            if bands < 1:
                raise ValueError(f"the bands do not suffice for {len(self.spectral)} blocks of `spectral`")
            bands, last = bands if channels == last else -(-bands // _SKIP), channels


def stride(options: Options) -> int:
    """Frames that the streaming form takes at a call."""
    return options.stride


def reach(options: Options) -> int:
    """Frames that one output before the head depends on; a window must have at least as many."""
    steps = sum(max(kernels) - 1 for kernels in options.kernels) + len(options.spectral) * (_SPECTRAL[0] - 1)
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
        for number, channels in enumerate(options.spectral):
            x = _spectral(x, channels, options.residual, number)
        x = _depthwise(x, (1, x.shape[2]), "w")
    else:
        x = layers.Reshape((frames - spare, 1, bands), name="rows")(x)
        x = _convolved(x, options.first, (options.first_kernel, 1), (options.stride, 1), "c")
    for number, (channels, kernels) in enumerate(zip(options.blocks, options.kernels, strict=True)):
        x = _mixed(x, channels, kernels, options.residual, number)
    if options.head == "mean":
        x = layers.AveragePooling2D((x.shape[1], 1), name="mean")(x)
    x = layers.Flatten(name="flat")(x)
    return layers.Dropout(options.dropout)(x)


def _mixed(
    x: keras.KerasTensor, channels: int, kernels: tuple[int, ...], residual: bool, number: int
) -> keras.KerasTensor:
    """A block: each group of channels under its own kernel, then a pointwise convolution over all."""
    from keras import layers

    rows, _, width = x.shape[1:]
    longest, parts = max(kernels), []
    for group, kernel in enumerate(kernels):
        first, last = width * group // len(kernels), width * (group + 1) // len(kernels)
        # A shorter kernel sees the newer rows, so that all groups are as late.
        rest = rows - (longest - kernel)
        whole = (rest, last - first) == (rows, width)
        part = x if whole else _part()(rest, (0, 1), (first, last), name=f"k{number}{group}")(x)
        parts.append(_depthwise(part, (kernel, 1), f"d{number}{group}"))
    y = layers.Concatenate(name=f"m{number}")(parts) if len(parts) > 1 else parts[0]
    same = residual and channels == width
    y = _convolved(y, channels, (1, 1), (1, 1), f"p{number}", active=not same)
    return _around(x, y, str(number)) if same else y


def _spectral(x: keras.KerasTensor, channels: int, residual: bool, number: int) -> keras.KerasTensor:
    """A block that keeps the frequency axis."""
    same = channels == x.shape[3]
    y = _depthwise(x, _SPECTRAL, f"t{number}")
    # TensorFlow's depthwise convolution has one stride for both axes, so the pointwise one skips.
    around = same and residual
    y = _convolved(y, channels, (1, 1), (1, 1 if same else _SKIP), f"s{number}", active=not around)
    return _around(x, y, f"s{number}") if around else y


def _around(x: keras.KerasTensor, y: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """The sum of a block's output and of the newest rows, and the middle bands, of what went into it."""
    from keras import layers

    rows, bands, width = y.shape[1:]
    low = (x.shape[2] - bands) // 2
    if x.shape[1:3] != y.shape[1:3]:
        x = _part()(rows, (low, low + bands), (0, width), name=f"v{name}")(x)
    return layers.ReLU(name=f"ra{name}")(layers.Add(name=f"a{name}")([x, y]))


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


@lru_cache(maxsize=1)
def _part() -> Any:
    """The class of a layer that Keras lacks; made late, because importing Keras takes seconds."""
    import keras

    class Part(keras.layers.Layer):
        """The last ``rows`` rows, and ranges of bands and channels: one STRIDED_SLICE on the device."""

        def __init__(
            self, rows: int, bands: tuple[int, int], channels: tuple[int, int], **kwargs: Any
        ) -> None:
            super().__init__(**kwargs)
            self.rows, self.bands, self.channels = rows, tuple(bands), tuple(channels)

        def call(self, inputs: Any) -> Any:
            begin = inputs.shape[1] - self.rows
            return inputs[:, begin:, slice(*self.bands), slice(*self.channels)]

        def get_config(self) -> dict[str, Any]:
            own = {"rows": self.rows, "bands": self.bands, "channels": self.channels}
            return {**super().get_config(), **own}

    return Part
