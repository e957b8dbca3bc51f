"""Float model to full INT8 ``.tflite``: weights per channel, input and output int8.

The input's scale is made exactly 1/128 with zero point 0, because the device hands the front end's
int8 features to the model as they are.
"""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from cicada.tools.errors import UserError
from cicada.training import backend
from cicada.training.flatbuffer import Description, describe

if TYPE_CHECKING:
    import keras

INPUT_SCALE, INPUT_ZERO = 1 / 128, 0
OUTPUT_SCALE, OUTPUT_ZERO = 1 / 256, -128
#: Operators a converted model may have: what both engines of the device run on int8.
OPERATORS = frozenset(
    {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN"),
        *("ADD", "SUB", "MUL", "SOFTMAX", "LOGISTIC", "TANH", "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH"),
        *("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CONCATENATION", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "PAD"),
        *("PADV2", "TRANSPOSE", "QUANTIZE"),
    }
)
_LACKING = "the model needs {}, which the device lacks: choose another `architecture`, or other options of it"


def convert(model: keras.Model, representative: np.ndarray) -> bytes:
    """Quantise a trained Keras model after its training.

    Args:
        model: from features divided by 128 to probabilities; of several outputs the first is kept.
        representative: training examples ``int8[n, ...]`` that set the ranges of the activations; axes of
            length 1 may be left out.

    Returns:
        the flatbuffer.

    Raises:
        UserError: an operator that the device lacks.
        RuntimeError: the result does not keep what the device relies on (a defect, not a user's error).
    """
    examples = representative.reshape(-1, *model.input_shape[1:]).astype(np.float32) / 128
    # One feature at each end of the range pins the input's scale; a whole example of them would
    # stretch the ranges of all activations.
    examples.reshape(-1)[:2] = -1.0, 127 / 128

    def samples() -> Iterator[list[np.ndarray]]:
        for example in examples:
            yield [example[None]]

    return _convert(model, samples)


def convert_ranged(model: keras.Model) -> bytes:
    """The INT8 form of a model that has its ranges (:func:`cicada.training.compress.aware.plain`).

    Raises:
        UserError, RuntimeError: as :func:`convert`.
    """
    return _convert(model, None)


def _convert(model: keras.Model, samples) -> bytes:
    tf = backend.tensorflow()
    import keras

    if len(model.outputs) > 1:
        model = keras.Model(model.inputs, model.outputs[0])
    shape, blob, strange = tuple(model.input_shape[1:]), b"", None
    with tempfile.TemporaryDirectory() as saved, backend.quiet():
        signature = [tf.TensorSpec((1, *shape), tf.float32, "features")]
        model.export(saved, "tf_saved_model", verbose=False, input_signature=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if samples is not None:
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
        try:
            blob = bytes(converter.convert())
        except Exception as error:
            # "'tf.Erf' op is neither a custom op nor a flex op": TFLite itself does not have it.
            strange = re.search(r"'(?:tf|tfl)\.(\w+)' op", str(error))
            if strange is None:
                raise
    if strange is not None:
        raise UserError(_LACKING.format(strange[1]))
    check(describe(blob), shape)
    return blob


def check(found: Description, shape: tuple[int, ...] | None = None) -> None:
    """Make sure that a converted model is what the device expects.

    Raises:
        UserError: it has operators that the device lacks.
        RuntimeError: its input or output is another; the message says in what.
    """
    shape = found.input.shape[1:] if shape is None else shape
    wanted = {
        "input": ("int8", (1, *shape), INPUT_SCALE, INPUT_ZERO),
        "output": ("int8", (1, found.output.shape[-1]), OUTPUT_SCALE, OUTPUT_ZERO),
    }
    for name, expected in wanted.items():
        tensor = getattr(found, name)
        is_now = (tensor.dtype, tensor.shape, tensor.scale, tensor.zero_point)
        if is_now != expected:
            raise RuntimeError(f"the converted model's {name} is {is_now}, not {expected}")
    strange = sorted(set(found.operators) - OPERATORS)
    if strange:
        raise UserError(_LACKING.format(", ".join(strange)))


def tflite_outputs(blob: bytes, x: np.ndarray) -> np.ndarray:
    """Outputs ``int8[n, classes]`` of TensorFlow Lite's own interpreter for ``int8[n, ...]``."""
    tf = backend.tensorflow()
    with backend.quiet(), warnings.catch_warnings():
        # It announces its successor, a package of its own; the pinned TensorFlow still has it.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=blob)
        interpreter.allocate_tensors()
    shape = interpreter.get_input_details()[0]["shape"]
    source, target = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    outputs = []
    for window in x:
        interpreter.set_tensor(source, window.reshape(shape))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(target)[0].copy())
    return np.stack(outputs)
