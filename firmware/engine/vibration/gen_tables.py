"""Write tables.h and tables.c: the constants of the vibration front end, from their formulas.

Run it after changing a parameter: ``python gen_tables.py``.
"""

from __future__ import annotations

import math
from pathlib import Path

#: Longest window, samples; shorter ones step through the same table.
LONGEST = 1024


def cosines() -> list[int]:
    """``cos(2 pi k / 1024)`` for k = 0..256, a quarter of the circle, with 31 fraction bits.

    The first would be 2^31, which does not fit: it is one less.
    """
    exact = [math.cos(2 * math.pi * k / LONGEST) for k in range(LONGEST // 4)] + [0.0]
    return [min(math.floor(c * 2**31 + 0.5), 2**31 - 1) for c in exact]


def render() -> dict[str, str]:
    """Text of both files by name."""
    note = "/* Made by gen_tables.py, which gives the formula. Do not edit. */\n/* clang-format off */\n"
    guard = "CICADA_VIBRATION_TABLES_H"
    declaration = f"const int32_t vib_cosine[{LONGEST // 4 + 1}]"
    header = (
        f"{note}#ifndef {guard}\n#define {guard}\n\n#include <stdint.h>\n\nextern {declaration};\n\n#endif\n"
    )
    numbers = [str(c) for c in cosines()]
    rows = [", ".join(numbers[at : at + 8]) for at in range(0, len(numbers), 8)]
    source = f'{note}#include "tables.h"\n\n{declaration} = {{\n    ' + ",\n    ".join(rows) + ",\n};\n"
    return {"tables.h": header, "tables.c": source}


if __name__ == "__main__":
    for file_name, text in render().items():
        (Path(__file__).parent / file_name).write_text(text, encoding="utf-8")
