"""The structures of a packed model against the C header's, and taking a model apart."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from cicada.tools.engine import ENGINE, compiler
from cicada.training.pack import format as cpm

HEADER = ENGINE / "runtime" / "format.h"


def compiled(tmp_path: Path, lines: list[str]) -> list[int]:
    """Numbers that a C program with format.h prints for each expression of ``lines``."""
    source = tmp_path / "sizes.c"
    prints = "".join(f'    printf("%lld\\n", (long long)({line}));\n' for line in lines)
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "{HEADER}"\nint main(void) {{\n{prints}}}\n'
    )
    subprocess.run([*compiler(), "-std=c99", "-o", tmp_path / "sizes", source], check=True)
    output = subprocess.run([tmp_path / "sizes"], check=True, capture_output=True, text=True).stdout
    return [int(line) for line in output.split()]


def test_sizes_and_offsets_are_those_of_the_c_compiler(tmp_path: Path) -> None:
    lines, expected = [], []
    for structure in cpm.STRUCTURES:
        lines.append(f"sizeof({structure.name})")
        expected.append(structure.size)
        for member in structure.fields:
            lines.append(f"offsetof({structure.name}, {member.name})")
            expected.append(structure.offsets[member.name])
            lines.append(f"sizeof((({structure.name} *)0)->{member.name})")
            expected.append(member.size)
            if isinstance(member.type, str) and not member.array:
                # Whether the type has a sign: -1 stays below 0 only then.
                lines.append(f"(({structure.name}){{.{member.name} = -1}}).{member.name} < 0")
                expected.append(int(member.type.startswith("i")))
    assert compiled(tmp_path, lines) == expected


def test_constants_are_those_of_the_header(tmp_path: Path) -> None:
    names = {f"CPM_{name.upper()}": code for name, (code, _) in cpm.RECORDS.items()}
    names |= {
        "CPM_MAGIC": cpm.MAGIC,
        "CPM_VERSION": cpm.VERSION,
        "CPM_RANK": cpm.RANK,
        "CPM_RINGS": cpm.RINGS,
    }
    names |= {"CPM_FAST": cpm.FAST, "CPM_NONNEG": cpm.NONNEG, "CPM_KINDS": len(cpm.RECORDS) + 1}
    names |= {"CPM_INT8": cpm.DTYPES["int8"], "CPM_UINT8": cpm.DTYPES["uint8"]}
    names |= {"CPM_PLANE(9u, 7u)": cpm.plane(9, 7), "CPM_EXTENT(5u, 2u, 3u, 4u)": cpm.extent(5, 2, 3, 4)}
    assert compiled(tmp_path, list(names)) == list(names.values())


def test_every_structure_of_the_header_is_known() -> None:
    in_header = set(re.findall(r"^} (cpm_\w+);", HEADER.read_text(), re.M))
    assert in_header == {structure.name for structure in cpm.STRUCTURES}


@pytest.mark.parametrize("structure", cpm.STRUCTURES, ids=lambda s: s.name)
def test_a_structure_comes_back_as_it_was(structure: cpm.Structure) -> None:
    image = bytes(range(1, structure.size + 1))
    values = structure.unpack(b"xy" + image + b"z", 2)
    again = structure.unpack(structure.pack(values))
    assert again == values


def test_numbers_out_of_range_are_refused() -> None:
    ring = {"at": 0, "row": 1, "rows": 1}
    for wrong in (-1, 1 << 32, 0.5):
        with pytest.raises(ValueError, match="cpm_ring.at"):
            cpm.RING.pack(ring | {"at": wrong})
    with pytest.raises(ValueError, match="rows"):
        cpm.RING.pack({"at": 0, "row": 1})
