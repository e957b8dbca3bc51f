"""A 1-D CNN over the features of vibration: convolutions along the bands, then layers that see every band.

Convolutions look for what stands out of its neighbours, such as a line of the envelope's spectrum, wherever
it is. Which band it is in says what it comes from, so nothing is pooled away: the dense layer behind sees all
bands. The axes of the sensor are rows that share the convolutions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from cicada.training.recipe import Count, Natural, Section

if TYPE_CHECKING:
    import keras

NAME = "vibration_cnn"
TASKS = frozenset({"vibration"})


class Options(Section, kw_only=True):
    """Widths.

    Attributes:
        channels: of the convolutions along the bands.
        kernel: bands that each sees.
        hidden: values of the dense layer, which has most of the weights: ``channels[-1]`` times the features.
        skip: features of each axis, from the first, that are not looked at. Bands and statistics tell levels
            and resonances, and with them which machine it is; skipping them leaves the envelope's bands.
        dropout: before the dense layer and before the head, in training.
    """

    channels: Annotated[tuple[Count, ...], Meta(min_length=1)] = (8, 4)
    kernel: Annotated[int, Meta(ge=1, le=15)] = 5
    hidden: Count = 24
    skip: Natural = 0
    dropout: Annotated[float, Meta(ge=0, lt=1)] = 0.2


def body(options: Options, inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Layers from features ``[batch, axes, features, 1]`` to ``[batch, hidden]``."""
    from keras import layers

    x = inputs[:, :, options.skip :] if options.skip else inputs
    for number, channels in enumerate(options.channels):
        x = layers.Conv2D(channels, (1, options.kernel), padding="same", use_bias=False, name=f"c{number}")(x)
        x = layers.BatchNormalization(momentum=0.95, name=f"n{number}")(x)
        x = layers.ReLU(name=f"r{number}")(x)
    x = layers.Dropout(options.dropout)(layers.Flatten()(x))
    x = layers.Dense(options.hidden, use_bias=False, name="d")(x)
    x = layers.BatchNormalization(momentum=0.95, name="nd")(x)
    x = layers.ReLU(name="rd")(x)
    return layers.Dropout(options.dropout)(x)
