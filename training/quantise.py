"""Float model to full INT8 ``.tflite``: weights per channel, input and output int8.

The input's scale is made exactly 1/128 with zero point 0, because the device hands the front end's
int8 features to the model as they are.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator

import numpy as np

from cicada.training import backend
from cicada.training.flatbuffer import Description, describe
from cicada.training.train import as_input
from cicada.training.windows import CHANNELS, FRAMES

INPUT_SCALE, INPUT_ZERO = 1 / 128, 0
OUTPUT_SCALE, OUTPUT_ZERO = 1 / 256, -128
#: Operators a converted model may have; the device registers these and no others.
OPERATORS = frozenset(
    {"CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MEAN", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"}
)


def convert(model, representative: np.ndarray) -> bytes:
    """Quantise a trained Keras model.

    Args:
        model: from :func:`cicada.training.model.build`.
        representative: training windows ``int8[n, 49, 40]`` that set the ranges of the activations.

    Returns:
        the flatbuffer.

    Raises:
        RuntimeError: the result does not keep what the device relies on (a defect, not a user's error).
    """
    tf = backend.tensorflow()
    examples = as_input(representative)
    # One feature at each end of the range pins the input's scale; a whole example of them would
    # stretch the ranges of all activations.
    examples[0, 0, 0, 0], examples[0, 0, 1, 0] = -1.0, 127 / 128

    def samples() -> Iterator[list[np.ndarray]]:
        for example in examples:
            yield [example[None]]

    with tempfile.TemporaryDirectory() as saved, backend.quiet():
        signature = [tf.TensorSpec((1, FRAMES, CHANNELS, 1), tf.float32, "features")]
        model.export(saved, "tf_saved_model", verbose=False, input_signature=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        blob = bytes(converter.convert())
    check(describe(blob))
    return blob


def check(found: Description) -> None:
    """Make sure that a converted model is what the device expects.

    Raises:
        RuntimeError: it is not; the message says in what.
    """
    wanted = {
        "input": ("int8", (1, FRAMES, CHANNELS, 1), INPUT_SCALE, INPUT_ZERO),
        "output": ("int8", (1, found.output.shape[-1]), OUTPUT_SCALE, OUTPUT_ZERO),
    }
    for name, expected in wanted.items():
        tensor = getattr(found, name)
        is_now = (tensor.dtype, tensor.shape, tensor.scale, tensor.zero_point)
        if is_now != expected:
            raise RuntimeError(f"the converted model's {name} is {is_now}, not {expected}")
    strange = sorted(set(found.operators) - OPERATORS)
    if strange:
        raise RuntimeError(f"the converted model has operators the device lacks: {', '.join(strange)}")


def tflite_outputs(blob: bytes, x: np.ndarray) -> np.ndarray:
    """Outputs ``int8[n, classes]`` of TensorFlow Lite's own interpreter for ``int8[n, 49, 40]``."""
    tf = backend.tensorflow()
    with backend.quiet(), warnings.catch_warnings():
        # It announces its successor, a package of its own; the pinned TensorFlow still has it.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=blob)
        interpreter.allocate_tensors()
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    for window in x:
        interpreter.set_tensor(source, window[None, ..., None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target)[0].copy())
    return np.stack(outputs)
