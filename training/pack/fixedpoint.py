"""gemmlowp's fixed-point logistic and tanh, value for value.

Formulas and constants: https://github.com/google/gemmlowp/blob/master/fixedpoint/fixedpoint.h. A raw number
of a format with n integer bits stands for ``raw / 2**(31 - n)``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.quantise import divided, high_product

Raw = NDArray[np.int64]

_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1
_ONE = _HIGHEST  # the nearest to 1 that no integer bits can say

#: exp(-2**k) with no integer bits, for k from -2 on.
_EXPONENTIALS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def logistic(raw: Raw, bits: int) -> Raw:
    """1 / (1 + exp(-x)) with no integer bits, of x with ``bits`` integer bits."""
    positive = _reciprocal(_exp_of_negative(-np.abs(raw), bits))
    return np.where(raw == 0, 1 << 30, np.where(raw > 0, positive, _ONE - positive))


def tanh(raw: Raw, bits: int) -> Raw:
    """tanh(x) with no integer bits, of x with ``bits`` integer bits."""
    # The same raw number with one more integer bit is 2 * x.
    x = _newton(_exp_of_negative(-np.abs(raw), bits + 1))
    positive = _shifted(x - (1 << 29), 2)
    return np.where(raw == 0, 0, np.where(raw > 0, positive, -positive))


def _exp_of_negative(raw: Raw, bits: int) -> Raw:
    """exp(x) with no integer bits, for x up to 0: quarters by products, the rest by a polynomial."""
    fraction_bits = 31 - bits
    quarter = 1 << (fraction_bits - 2)
    rest = (raw & (quarter - 1)) - quarter
    result = _exp_of_rest(_shifted(rest, bits))
    whole = rest - raw
    for exponent, factor in enumerate(_EXPONENTIALS, -2):
        if bits > exponent:
            taken = (whole >> (fraction_bits + exponent)) & 1
            result = np.where(taken == 1, high_product(result, np.int64(factor)), result)
    return np.where(raw == 0, _ONE, result)


def _exp_of_rest(raw: Raw) -> Raw:
    """exp(x) for x from -1/4 up to 0: a Taylor polynomial about -1/8."""
    at_eighth, third = np.int64(1895147668), np.int64(715827883)
    x = raw + (1 << 28)
    x2 = high_product(x, x)
    x3 = high_product(x2, x)
    quarter_x4 = divided(high_product(x2, x2), 2)
    tail = divided(high_product(quarter_x4 + x3, third) + x2, 1)
    return at_eighth + high_product(x + tail, at_eighth)


def _reciprocal(raw: Raw) -> Raw:
    """1 / (1 + x) for x from 0 to 1."""
    return _shifted(_newton(raw), 1)


def _newton(raw: Raw) -> Raw:
    """2 / (1 + x) with two integer bits, for x from 0 to 1: three steps of Newton and Raphson's division."""
    total = raw + _ONE
    half = (total + 1) // 2
    x = 1515870810 + high_product(half, np.int64(-1010580540))
    for _ in range(3):
        error = (1 << 29) - high_product(half, x)
        x = x + _shifted(high_product(x, error), 2)
    return x


def _shifted(raw: Raw, left: int) -> Raw:
    return np.clip(raw << left, _LOWEST, _HIGHEST)
