"""The network: a small depthwise-separable CNN, as in Zhang et al., "Hello Edge" (arXiv:1711.07128).

Only operators that every TFLM build has: convolutions, average pooling, fully connected, softmax.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicada.training.windows import CHANNELS, FRAMES

if TYPE_CHECKING:
    import keras

# First convolution: filters, kernel, stride. The stride keeps the largest activation, and with it the
# arena, near 12 KB.
_FIRST = (24, (5, 5), (2, 2))
# Depthwise-separable blocks: output channels, stride of the depthwise part.
_BLOCKS = ((40, (2, 2)), (40, (1, 1)), (64, (2, 2)), (64, (1, 1)), (64, (1, 1)))


def build(classes: int, words: int) -> tuple[keras.Model, keras.Model]:
    """Build the untrained model, and what it is trained as.

    Telling all words of the corpus apart teaches the body more about "no" against "go" than the lump
    class ``_unknown_`` does; the head for that (multi-task learning: R. Caruana, Machine Learning 28,
    1997) is thrown away after training.

    Args:
        classes: number of classes, ``_silence_`` and ``_unknown_`` included.
        words: number of different words in the corpus, and silence.

    Returns:
        the model from ``float32[batch, 49, 40, 1]``, int8 features divided by 128, to probabilities
        ``float32[batch, classes]``; and one on the same weights with a second output
        ``float32[batch, words]``.
    """
    import keras
    from keras import layers

    def normalised(tensor, name):
        # Short names: the converter strings them together in the file, and flash is dear.
        tensor = layers.BatchNormalization(momentum=0.95, name=f"n{name}")(tensor)
        return layers.ReLU(name=f"r{name}")(tensor)

    filters, kernel, stride = _FIRST
    inputs = layers.Input((FRAMES, CHANNELS, 1), name="features")
    x = layers.Conv2D(filters, kernel, stride, padding="same", use_bias=False, name="c")(inputs)
    x = normalised(x, "c")
    for number, (channels, stride) in enumerate(_BLOCKS):
        d, p = f"d{number}", f"p{number}"
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=d)(x)
        x = normalised(x, d)
        x = layers.Conv2D(channels, 1, padding="same", use_bias=False, name=p)(x)
        x = normalised(x, p)
    x = layers.AveragePooling2D(x.shape[1:3])(x)
    x = layers.Flatten()(x)
    x = layers.Dropout(0.1)(x)
    outputs = layers.Dense(classes, activation="softmax", name="scores")(x)
    said = layers.Dense(words, activation="softmax", name="words")(x)
    return keras.Model(inputs, outputs, name="kws"), keras.Model(inputs, [outputs, said], name="lesson")
