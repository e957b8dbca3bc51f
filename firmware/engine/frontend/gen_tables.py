"""Write tables.h and tables.c: every constant of the front end, from its formula.

Run it after changing a parameter: ``python gen_tables.py``. The reference computes these tables at
start-up, in single precision; here each operation is rounded to single precision the same way
(``_f32``), so that the integers come out equal. ``MICRO`` below stands for TensorFlow Lite Micro's
``tensorflow/lite/experimental/microfrontend/lib``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

SAMPLE_RATE = 16000
WINDOW = 480
FFT = 512
CHANNELS = 40
LOW_HZ, HIGH_HZ = 125.0, 7500.0

#: Fraction bits of a window coefficient (MICRO/window.h) and of a band weight (MICRO/filterbank.h).
WINDOW_BITS = 12
BAND_BITS = 12

#: Noise reduction (MICRO/noise_reduction.h; the four settings are pymicro-features').
NOISE_BITS = 14
NOISE_SMOOTHING_BITS = 10
NOISE_EVEN, NOISE_ODD, NOISE_FLOOR = 0.025, 0.06, 0.05

#: PCAN gain control (MICRO/pcan_gain_control.h; the three settings are pymicro-features').
PCAN_STRENGTH, PCAN_OFFSET, PCAN_GAIN_BITS = 0.95, 80.0, 21
PCAN_SNR_BITS = 12
#: What the FFT's length and the square root of the band weights leave as scale (MICRO/frontend.c).
CORRECTION_BITS = int(math.log2(FFT)) - BAND_BITS // 2

#: Segments and scale of the logarithm's correction (MICRO/log_lut.h).
LOG_SEGMENTS, LOG_BITS = 128, 16


def _f32(x: float) -> float:
    """``x`` rounded to IEEE single precision."""
    return struct.unpack("<f", struct.pack("<f", x))[0]


def _round(x: float) -> int:
    """The reference's ``floorf(x + 0.5f)`` in single precision."""
    return math.floor(_f32(_f32(x) + 0.5))


def hann() -> list[int]:
    """Window: ``round(2^12 * (1/2 - cos(2 pi (i + 1/2) / N) / 2))`` (MICRO/window_util.c)."""
    step = _f32(_f32(_f32(math.pi) * 2) / WINDOW)
    cosines = [_f32(math.cos(_f32(step * (i + 0.5)))) for i in range(WINDOW)]
    return [_round(_f32(0.5 - 0.5 * c) * (1 << WINDOW_BITS)) for c in cosines]


def slots() -> list[int]:
    """Where input n = 0..63 of the 256-point FFT goes before the first pass: its base-4 digits reversed.

    Inputs n + 64, n + 128 and n + 192 differ in the last of the reversed digits: they follow it.
    """
    return [(n & 3) << 6 | (n & 12) << 2 | (n & 48) >> 2 for n in range(FFT // 8)]


def _phasor(phase: float) -> tuple[int, int]:
    """``(cos, sin)`` as kissfft's 16-bit build rounds them (``kf_cexp`` in _kiss_fft_guts.h)."""
    return math.floor(0.5 + 32767 * math.cos(phase)), math.floor(0.5 + 32767 * math.sin(phase))


def divisions() -> list[int]:
    """What kissfft multiplies with and shifts right by 15 to divide by 4 and by 2 (``C_FIXDIV``)."""
    return [32767 // 4, 32767 // 2]


def twiddles() -> list[tuple[int, int]]:
    """``w^k, w^2k, w^3k`` for k = 0..63, ``w = exp(-2 pi j / 256)`` (``kiss_fft_alloc``)."""
    half = FFT // 2
    return [_phasor(-2 * math.pi * k * power / half) for k in range(half // 4) for power in (1, 2, 3)]


def split_twiddles() -> list[tuple[int, int]]:
    """``-2 exp(-j pi (k / 256 + 1/2))`` from the first bin needed to k = 128 (``kiss_fftr_alloc``)."""
    half, (first, _, _) = FFT // 2, bands()
    phasors = [_phasor(-math.pi * (k / half + 0.5)) for k in range(first, half // 2 + 1)]
    return [(-2 * r, -2 * i) for r, i in phasors]


def _mel(hertz: float) -> float:
    """``1127 ln(1 + f / 700)`` (``FreqToMel`` in MICRO/filterbank_util.c)."""
    log = _f32(math.log1p(_f32(hertz / 700.0)))
    if hertz == HIGH_HZ:
        # The log1pf of glibc 2.36, over which the oracle was built, is one unit in the last place above
        # the nearest value here. All bands depend on it; it changes two weights.
        log += 2.0**-22
    return _f32(1127.0 * log)


def bands() -> tuple[int, list[int], list[int]]:
    """First FFT bin, bins per band and falling weight per bin of CHANNELS + 1 adjoining mel bands.

    Channel c falls over band c + 1 with these weights and rises over band c with 2^12 minus them
    (MICRO/filterbank_util.c). The reference pads each band to a multiple of four bins; the padding has
    weight zero and is left out here.
    """
    low, high = _mel(LOW_HZ), _mel(HIGH_HZ)
    spacing = _f32(_f32(high - low) / (CHANNELS + 1))
    edges = [_f32(low + _f32(spacing * (i + 1))) for i in range(CHANNELS + 1)]
    hertz_per_bin = SAMPLE_RATE / FFT
    first = int(1.5 + LOW_HZ / hertz_per_bin)
    widths, weights = [], []
    bin_index = first
    for below, edge in zip([low, *edges], edges, strict=False):
        start = bin_index
        while (mel := _mel(bin_index * hertz_per_bin)) <= edge:
            weight = _f32(_f32(edge - mel) / _f32(edge - below))
            falling = _round(weight * (1 << BAND_BITS))
            if falling + _round(_f32(1 - weight) * (1 << BAND_BITS)) != 1 << BAND_BITS:
                raise ValueError(f"bin {bin_index}: the two weights do not add up, filterbank.c needs both")
            weights.append(falling)
            bin_index += 1
        widths.append(bin_index - start)
    sums = [sum(weights[sum(widths[:b]) :][: widths[b]]) for b in range(CHANNELS + 1)]
    for c in range(CHANNELS):
        if (sums[c + 1] + (widths[c] << BAND_BITS) - sums[c]) * 2 * 32767**2 >= 1 << 50:
            raise ValueError(f"the energy of channel {c} can exceed what filterbank.c takes the root of")
    if max(widths) * 0xFFFF << BAND_BITS >= 1 << 32:
        raise ValueError("a band is too wide for the sums of half energies in filterbank.c")
    return first, widths, weights


def gains() -> list[tuple[int, int, int]]:
    """PCAN gain ``2^21 (x / 2^7 + 80)^-0.95`` as a parabola per power of two of x.

    Entry b serves the x of b significant bits: value at the start, and the two coefficients that make
    the parabola pass through the middle and the end (MICRO/pcan_gain_control_util.c). Entries 0 and 1
    hold a single x each.
    """
    input_bits = NOISE_SMOOTHING_BITS - CORRECTION_BITS

    def gain(x: int) -> int:
        base = _f32(_f32(_f32(x) / (1 << input_bits)) + PCAN_OFFSET)
        value = _f32((1 << PCAN_GAIN_BITS) * _f32(base ** -_f32(PCAN_STRENGTH)))
        return min(int(_f32(value + 0.5)), 0x7FFF)

    table = [(gain(0), 0, 0), (gain(1), 0, 0)]
    for bits in range(2, 33):
        start = 1 << (bits - 1)
        end = 2 * start if bits < 32 else 2 * start - 1
        middle_rise = gain(start + start // 2) - gain(start)
        end_rise = gain(end) - gain(start)
        slope = 4 * middle_rise - end_rise
        table.append((gain(start), slope, end_rise - slope))
    for value, slope, curve in table:
        if (abs(curve) * 1023 // 32 + abs(slope) * 32 + 1) * 1023 >= 1 << 31 or value + slope + curve < 0:
            raise ValueError("a PCAN gain leaves the range pcan.c computes in")
    return table


def log2_correction() -> list[int]:
    """``2^16 (log2(1 + i / 128) - i / 128)``: what linear interpolation misses (MICRO/log_lut.c)."""
    steps = [i / LOG_SEGMENTS for i in range(LOG_SEGMENTS + 1)]
    return [math.floor((math.log2(1 + s) - s) * (1 << LOG_BITS) + 0.5) for s in steps]


def sqrt_seeds() -> list[int]:
    """Upper eight of the 16 bits of the root of a 32-bit number, for its upper byte 64..255."""
    seeds = [min(255, round(math.sqrt((upper + 0.5) * 256))) for upper in range(64, 256)]
    for upper, seed in enumerate(seeds, 64):
        for root in (math.sqrt(upper << 24), math.sqrt((upper + 1) << 24)):
            # Heron's step from s leaves of its error e no more than e^2 / 2s.
            if (256 * seed - root) ** 2 >= 2 * 256 * seed:
                raise ValueError("a seed is further off than filterbank.c corrects")
    return seeds


def bit_lengths() -> list[int]:
    """Number of significant bits of 0..255."""
    return [n.bit_length() for n in range(256)]


def _array(kind: str, name: str, values: Iterable[object]) -> tuple[str, str]:
    """Declaration and definition of one constant array."""
    items = [str(v).replace("(", "{").replace(")", "}") for v in values]
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {item},"
    lines.append(line)
    head = f"const {kind} {name}[{len(items)}]"
    return f"extern {head};\n", f"{head} = {{\n" + "\n".join(lines) + "\n};\n"


def render() -> dict[str, str]:
    """File name → text of the generated files."""
    first, widths, weights = bands()
    even, odd, floor = (int(_f32(v) * (1 << NOISE_BITS)) for v in (NOISE_EVEN, NOISE_ODD, NOISE_FLOOR))
    constants: Sequence[tuple[str, int, str]] = (
        ("FE_WINDOW_BITS", WINDOW_BITS, "fraction bits of fe_hann"),
        ("FE_BAND_BITS", BAND_BITS, "fraction bits of fe_band_weight"),
        ("FE_BANDS", len(widths), "one more than channels: each channel spans two"),
        ("FE_BIN_FIRST", first, "FFT bin where the first band starts"),
        ("FE_BIN_END", first + len(weights), "FFT bin after the last band"),
        ("FE_NOISE_BITS", NOISE_BITS, "fraction bits of the next three"),
        ("FE_NOISE_EVEN", even, "smoothing of channels 0, 2, ..."),
        ("FE_NOISE_ODD", odd, "smoothing of channels 1, 3, ..."),
        ("FE_NOISE_FLOOR", floor, "share of the signal that always remains"),
        ("FE_NOISE_SMOOTHING_BITS", NOISE_SMOOTHING_BITS, "fraction bits of the noise estimate"),
        ("FE_PCAN_SNR_BITS", PCAN_SNR_BITS, "fraction bits of the signal-to-noise ratio"),
        ("FE_PCAN_SHIFT", PCAN_GAIN_BITS - CORRECTION_BITS - PCAN_SNR_BITS, "signal * gain to ratio"),
        ("FE_CORRECTION_BITS", CORRECTION_BITS, "scale lost to the FFT and the square root"),
        ("FE_LOG_BITS", LOG_BITS, "fraction bits of the logarithm"),
        ("FE_LOG_SEGMENT_BITS", LOG_SEGMENTS.bit_length() - 1, "log2 of the table's segments"),
    )
    arrays = [
        _array("int16_t", "fe_hann", hann()),
        _array("uint8_t", "fe_slot", slots()),
        _array("int16_t", "fe_division", divisions()),
        _array("fe_complex", "fe_twiddle", twiddles()),
        _array("fe_split", "fe_split_twiddle", split_twiddles()),
        _array("uint8_t", "fe_band_width", widths),
        _array("uint16_t", "fe_band_weight", weights),
        _array("uint8_t", "fe_sqrt_seed", sqrt_seeds()),
        _array("uint8_t", "fe_bits", bit_lengths()),
        _array("fe_gain", "fe_pcan_gain", gains()),
        _array("uint16_t", "fe_log2_correction", log2_correction()),
    ]
    note = "/* Made by gen_tables.py, which names each formula's source. Do not edit. */\n"
    note += "/* clang-format off */\n"
    header = note + "#ifndef CICADA_FRONTEND_TABLES_H\n#define CICADA_FRONTEND_TABLES_H\n\n"
    header += '#include <stdint.h>\n\n#include "frontend.h"\n\n'
    header += "".join(f"#define {name} {value} /* {text} */\n" for name, value, text in constants)
    header += "\n/* Doubled, and negated, as no part of these is above 0. */\n"
    header += "typedef struct {\n    uint16_t r, i;\n} fe_split;\n"
    header += "\n/* Gain over the x of one bit length: value + slope t + curve t^2, t = 0..1. */\n"
    header += "typedef struct {\n    int16_t value, slope, curve;\n} fe_gain;\n\n"
    header += "".join(declaration for declaration, _ in arrays) + "\n#endif\n"
    source = note + '#include "tables.h"\n\n' + "\n".join(definition for _, definition in arrays)
    return {"tables.h": header, "tables.c": source}


if __name__ == "__main__":
    for file_name, text in render().items():
        (Path(__file__).parent / file_name).write_text(text, encoding="utf-8")
