"""Building the engine: tables, compiler faults, and what the objects may refer to."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from cicada.tools import engine
from cicada.tools.errors import UserError

#: All the C library the engine may call: copying and clearing memory. Without leading underscores.
ALLOWED = {"memcpy", "memmove", "memset", "GLOBAL_OFFSET_TABLE_"}


def test_committed_tables_are_what_the_formulas_give(gen_tables: ModuleType) -> None:
    for name, text in gen_tables.render().items():
        assert (engine.ENGINE / "frontend" / name).read_text() == text


def test_window_and_bands_have_the_shapes_the_code_relies_on(gen_tables: ModuleType) -> None:
    first, widths, weights = gen_tables.bands()
    assert (first, len(widths), sum(widths)) == (5, 41, len(weights))
    assert min(widths) >= 1 and first + len(weights) <= 256
    assert all(0 <= weight <= 4096 for weight in weights)
    slots = gen_tables.slots()
    assert sorted(slot + part for slot in slots for part in range(4)) == list(range(256))
    assert max(gen_tables.hann()) == 4096


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The engine's objects, compiled as for a device, without a desktop's stack guard."""
    folder = tmp_path_factory.mktemp("objects")
    made = []
    # Position-independent code keeps tables of pointers where the loader can write; a device has none.
    flags = [flag for flag in engine.FLAGS if flag != "-fPIC"] + [
        "-fno-pic",
        "-fno-pie",
        "-fno-stack-protector",
    ]
    for source in engine.sources():
        made.append(folder / f"{source.parent.name}_{source.stem}.o")
        engine.run_compiler([*flags, "-c", source, "-o", made[-1]])
    return made


def needs(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"needs the program {program}")
    return path


def test_objects_refer_to_nothing_but_memory_functions(objects: list[Path]) -> None:
    listing = subprocess.run([needs("nm"), *objects], capture_output=True, text=True, check=True).stdout
    defined = set(re.findall(r" [TDRBCS] _*(\w+)$", listing, re.M))
    undefined = set(re.findall(r"^\s+U _*(\w+)$", listing, re.M))
    assert "fe_feed" in defined
    assert undefined - defined <= ALLOWED


def test_objects_have_no_writable_data(objects: list[Path]) -> None:
    listing = subprocess.run([needs("nm"), *objects], capture_output=True, text=True, check=True).stdout
    assert re.findall(r" [DdBbCS] .*$", listing, re.M) == []


def test_objects_hold_no_floating_point(tmp_path: Path) -> None:
    """No instruction of scalar or packed floating point, nor of the x87; integer SSE may stay."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("knows the mnemonics of x86-64 only")
    for source in engine.sources():
        assembly = tmp_path / "out.s"
        engine.run_compiler([*engine.FLAGS, "-fno-tree-vectorize", "-S", source, "-o", assembly])
        floating = re.findall(
            r"^\s+(?:v?(?:add|sub|mul|div|sqrt|cvt\w*)[sp][sd]\w*|f(?:ld|st|add|mul|div)\w*)\s",
            assembly.read_text(),
            re.M,
        )
        assert floating == [], source


def test_source_names_no_floating_type() -> None:
    for source in [*engine.sources(), *engine.ENGINE.rglob("*.h")]:
        code = re.sub(r"/\*.*?\*/", "", source.read_text(), flags=re.S)
        assert not re.search(r"\b(float|double|math\.h|stdio\.h|stdlib\.h)\b", code), source


def test_missing_compiler_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="no C compiler found; install gcc or clang"):
        engine.build()
    monkeypatch.setenv("CC", "nosuchcc -m32")
    with pytest.raises(UserError, match=r"\$CC names 'nosuchcc', which is not there"):
        engine.build()


def test_failing_compiler_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "brokencc"
    compiler.write_text("#!/bin/sh\n[ $1 = --version ] && exit 0\necho 'x.c:1: error: no luck' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(UserError, match="brokencc' failed: x.c:1: error: no luck"):
        engine.build()


def test_second_build_reuses_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.build()
    monkeypatch.setattr(engine, "run_compiler", lambda _: pytest.fail("compiled again"))
    assert engine.build() == first
