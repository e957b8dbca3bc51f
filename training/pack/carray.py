"""A packed model as C source: for firmware that links the runtime without MicroPython."""

from __future__ import annotations

from cicada.training.export import rows
from cicada.training.pack import format


def c_sources(blob: bytes, stem: str) -> dict[str, str]:
    """C99 for a packed model.

    Args:
        blob: the ``.cpm``.
        stem: a C identifier, prefix of every name and of the files.

    Returns:
        text by file name: ``<stem>.h`` and ``<stem>.c`` with the array, and ``<stem>_kernels.c`` with a
        table of only those kernels the model needs, to be linked instead of the runtime's ``kernels.c``.

    Raises:
        ValueError: the blob is no packed model.
    """
    made = format.unpack(blob)
    upper = stem.upper()
    kinds = sorted({kind for kind, _ in made.ops}, key=lambda kind: format.RECORDS[kind][0])
    defines = [
        ("LEN", len(blob)),
        ("ARENA", made.header["arena"]),
        ("INPUT_LEN", made.header["input"]["size"]),
        ("OUTPUT_LEN", made.header["output"]["size"]),
    ]
    header = [
        "/* A packed model. Written by cicada pack; do not edit. */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdint.h>",
        "",
        "/* All in bytes. */",
        *(f"#define {upper}_{name} {value}" for name, value in defines),
        "",
        f"extern const uint8_t {stem}_data[{upper}_LEN];",
        "",
        "#endif",
    ]
    source = [
        "/* Written by cicada pack; do not edit. */",
        f'#include "{stem}.h"',
        "",
        "/* Read in place, by words; nn.Model wants 16 bytes. */",
        f"const uint8_t {stem}_data[{upper}_LEN] __attribute__((aligned(16))) = {{",
        *rows(blob),
        "};",
    ]
    kernels = [
        f"/* The kernels that {stem} needs, instead of the runtime's kernels.c. Written by cicada pack. */",
        '#include "runtime/kernel.h"',
        "",
        "const cpm_kernel *const cpm_kernels[CPM_KINDS] = {",
        *(f"    [CPM_{kind.upper()}] = &cpm_kernel_{kind}," for kind in kinds),
        "};",
    ]
    texts = {f"{stem}.h": header, f"{stem}.c": source, f"{stem}_kernels.c": kernels}
    return {name: "\n".join([*lines, ""]) for name, lines in texts.items()}
