"""What ESP-NN's kernels for the ESP32-S3 take, and the scratch memory that they ask for.

Source: https://github.com/espressif/esp-nn, ``src/convolution/esp_nn_conv_esp32s3.c`` and
``esp_nn_depthwise_conv_s8_esp32s3.c``, releases 1.1.2 and 1.2.3. Where the two differ, the
stricter and the larger counts, so that a model may meet either. What is not taken stays with the runtime's
own kernels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cicada.training.pack.format import extent
from cicada.training.pack.program import Conv, Dense, Depthwise, Plain, Ring, View, Window

#: Inputs, outputs, weights and scratch memory lie at multiples of so many bytes: vectors are loaded there.
ALIGNMENT = 16
#: More than is asked for: depthwise kernels up to 1.2.0 write as much as 16 bytes more, some read beyond.
SPARE = 64
#: Rows and columns, padding included, are counted in int16_t.
_LARGEST = (1 << 15) - 1


def plain(op: Conv | Dense | Depthwise) -> Plain | None:
    """The same operator as a plain record that ESP-NN takes, or None."""
    return next((record for record in records(op) if takes(record)), None)


def records(op: Conv | Dense | Depthwise) -> list[Plain]:
    """Plain records that do the same, the faster ones first."""
    window, weights = Window((1, 1)), op.weights
    if isinstance(op, Dense):
        # Rows of contiguous bytes are an image of which a kernel of its size sees all.
        shape = op.input.h, op.input.w, op.input.c
        window, weights = Window(shape[:2]), op.weights.reshape(-1, *shape)
    else:
        window = op.window

    def record(weights: NDArray[np.int8], multiplier: int) -> Plain:
        return Plain(
            op.name,
            op.macs,
            input=op.input,
            output=op.output,
            window=window,
            weights=weights,
            requant=op.requant,
            multiplier=multiplier,
        )

    if isinstance(op, Depthwise):
        return [record(weights, op.multiplier)]
    found = [record(weights, 0)]
    if isinstance(op, Conv) and op.input.c == 1 and op.output.c % 4 == 0:
        # Of a single channel both kinds are one, and only the depthwise one computes several outputs at once.
        found.insert(0, record(np.ascontiguousarray(weights[..., 0].transpose(1, 2, 0)), op.output.c))
    return found


def takes(op: Plain) -> bool:
    """Whether ESP-NN computes this operator right.

    It wants whole images without gaps and no dilation. A convolution is padded behind as before, so that
    where TFLite pads more behind, it would see other bytes; depthwise convolutions of 3 x 3 have a path for
    no padding before and one for 1 on all sides.
    """
    window, source, target = op.window, op.input, op.output
    if window.dilation != (1, 1) or not (_whole(source) and _whole(target)):
        return False
    sides = list(zip((source.h, source.w), (target.h, target.w), window.kernel, strict=True))
    even = True
    for (inside, outside, kernel), stride, pad in zip(sides, window.stride, window.pad, strict=True):
        if max(inside + 2 * pad, outside * stride + kernel) > _LARGEST:
            return False
        even = even and extent(outside, stride, kernel, 1) <= inside + 2 * pad
    if not op.multiplier:
        return even
    if op.multiplier == 1 and window.kernel == (3, 3):
        return window.pad == (0, 0) or (window.pad == (1, 1) and even)
    return True


def _whole(view: View) -> bool:
    dense = view.pitch == view.c and (view.h == 1 or view.row == view.w * view.c)
    return dense and not isinstance(view.memory, Ring) and view.at % ALIGNMENT == 0


def scratch(op: Plain) -> int:
    """Bytes of scratch memory: what ``esp_nn_get_conv_scratch_size_esp32s3`` or
    ``esp_nn_get_depthwise_conv_scratch_size_esp32s3`` returns, and :data:`SPARE`.
    """
    return (_depthwise(op) if op.multiplier else _conv(op)) + SPARE


def _up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def _behind(op: Plain) -> tuple[int, int]:
    """Rows and columns behind the input that outputs as large as their stride would see; may be negative."""
    window, outs, ins = op.window, (op.output.h, op.output.w), (op.input.h, op.input.w)
    rows, columns = (outs[i] * window.stride[i] + window.kernel[i] - 1 - ins[i] for i in (0, 1))
    return rows, columns


def _conv(op: Plain) -> int:
    (kernel_h, kernel_w), (pad_h, pad_w) = op.window.kernel, op.window.pad
    h, w, c, n = op.input.h, op.input.w, op.input.c, op.output.c
    if op.window.kernel == op.window.stride == (1, 1) and op.window.pad == (0, 0):
        filled = _up(c, 8)
        return (h * w * filled if c % 8 else 0) + filled * n + (16 * filled if h * w >= 8 else 0) + 64
    padded = (w + 2 * pad_w) * (h + 2 * pad_h) * c if pad_w or pad_h else 0
    weights = kernel_w * kernel_h * _up(c, 16) * n
    older = padded + weights + 32 + 4 * n
    taps = kernel_w * kernel_h * c
    if kernel_w * c < 16 <= taps:
        return max(older, 4 * n + 32 + (n + 1) * _up(taps, 16) + 64)
    rows, columns = (max(0, more) for more in _behind(op))
    longer = (w + columns) * (h + rows) * c if rows or columns else 0
    return padded + weights + _up(kernel_w * c, 16) * kernel_h * n + longer + 64 + 4 * n


def _depthwise(op: Plain) -> int:
    (kernel_h, kernel_w), (pad_h, pad_w) = op.window.kernel, op.window.pad
    h, w, c, outs = op.input.h, op.input.w, op.input.c, op.output.h * op.output.w
    taps = kernel_h * kernel_w
    rows, columns = _behind(op)
    if op.multiplier != 1:
        return 2 * (taps * op.output.c + h * w * c) + 32 if op.multiplier % 4 == 0 else 32
    if c % 8:
        filled = _up(c, 8)
        sizes = (2 * taps * filled, 2 * h * w * filled, outs * filled)
        return sum(_up(size, 16) for size in sizes) + 12 * filled + 16 if c > 3 else 32
    halves = 2 * (taps * c + h * w * c) + 32
    if (kernel_h, kernel_w) != (3, 3):
        return halves if halves <= (48 << 10) + 32 else 2 * (taps * c + w * kernel_h * c) + 32
    if c % 16:
        filled = _up(c, 16)
        w, h = w + 2 * pad_w + max(0, columns), h + 2 * pad_h + max(0, rows)
        return max(halves, (9 + w * h + outs) * filled + 64) if c >= 12 else halves
    rows, columns = (2 * pad_h, 2 * pad_w) if pad_h or pad_w else (rows, columns)
    return 9 * c + ((w + columns) * (h + rows) * c if rows or columns else 0) + 16
