"""Each operator's own rules: what TFLite Micro would refuse, or read out of bounds, is refused here."""

from __future__ import annotations

from collections.abc import Callable

from cicada.training.pack import check_layers, check_moves
from cicada.training.pack.errors import PackError
from cicada.training.pack.graph import Operator

_CHECKS: dict[str, Callable[[Operator], None]] = {
    "CONV_2D": check_layers.convolution,
    "DEPTHWISE_CONV_2D": check_layers.convolution,
    "FULLY_CONNECTED": check_layers.fully_connected,
    "AVERAGE_POOL_2D": check_layers.pool,
    "MAX_POOL_2D": check_layers.pool,
    "ADD": check_layers.binary,
    "SUB": check_layers.binary,
    "MUL": check_layers.binary,
    "MEAN": check_layers.mean,
    "SOFTMAX": check_layers.softmax,
    "LOGISTIC": check_layers.unary,
    "TANH": check_layers.unary,
    "RELU": check_layers.unary,
    "RELU6": check_layers.unary,
    "LEAKY_RELU": check_layers.unary,
    "HARD_SWISH": check_layers.unary,
    "QUANTIZE": check_layers.quantize,
    "DEQUANTIZE": check_layers.dequantize,
    "RESHAPE": check_moves.reshape,
    "EXPAND_DIMS": check_moves.reshape,
    "SQUEEZE": check_moves.reshape,
    "CONCATENATION": check_moves.concatenation,
    "SPLIT": check_moves.split,
    "SPLIT_V": check_moves.split,
    "STRIDED_SLICE": check_moves.strided_slice,
    "PAD": check_moves.pad,
    "PADV2": check_moves.pad,
    "TRANSPOSE": check_moves.transpose,
    "READ_VARIABLE": check_moves.read_variable,
    "ASSIGN_VARIABLE": check_moves.assign_variable,
}


def check(operator: Operator) -> None:
    """Check an operator with the inputs, outputs and options of the file.

    Afterwards its inputs and attributes are as :mod:`cicada.training.pack.reader` lists them.

    Raises:
        PackError: if the compiler does not know the operator or it breaks a rule.
    """
    if operator.kind not in _CHECKS:
        raise PackError("this operator is not supported", operator)
    _CHECKS[operator.kind](operator)
