"""The interpreters that the modules' tests run in."""

from __future__ import annotations

import pytest

from cicada.tools.errors import UserError
from cicada.tools.micropython import source
from cicada.tools.micropython.source import ToolMissing


def test_interpreter_has_its_word_size(interpreter):
    assert interpreter.run("import sys; print(sys.maxsize)") == f"{(1 << interpreter.bits - 1) - 1}\n"


def test_interpreter_raises_with_the_traceback(interpreter):
    with pytest.raises(AssertionError, match=r"line 3, in <module>\n.*line 2, in f\nZeroDivisionError"):
        interpreter.run("def f():\n    1 // 0\nf()\n")


def test_interpreter_imports_further_modules(interpreter):
    assert interpreter.run("import a; print(a.b())", modules={"a": "def b():\n    return 5\n"}) == "5\n"


def test_interpreter_takes_a_long_script(interpreter):
    source = "n = 0\n" + "n += 1  # " + "x" * 100_000 + "\n" + "print(n)\n"
    assert interpreter.run(source) == "1\n"


def test_interpreter_ends_a_script_that_does_not_end(interpreter):
    with pytest.raises(AssertionError, match="no end after 1 s"):
        interpreter.run("while True: pass", timeout=1)


def test_interpreter_that_dies_is_no_success(interpreter):
    with pytest.raises(AssertionError):
        interpreter.run("import uctypes; uctypes.bytearray_at(8, 4)[0]", timeout=2)


def test_folder_without_micropython_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MICROPYTHON_DIR", str(tmp_path))
    with pytest.raises(UserError, match=f"MICROPYTHON_DIR={tmp_path} is no MicroPython"):
        source.find()


def test_old_micropython_is_refused(tmp_path, monkeypatch):
    (tmp_path / "py").mkdir()
    (tmp_path / "py" / "mpconfig.h").write_text(
        "#define MICROPY_VERSION_MAJOR 1\n#define MICROPY_VERSION_MINOR 19\n#define MICROPY_VERSION_MICRO 1\n"
    )
    monkeypatch.setenv("MICROPYTHON_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"1\.19\.1: 1\.26\.0 or newer"):
        source.find()


def test_missing_apt_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissing, match="there is no apt-get here"):
        source._download(tmp_path / "apt")


def test_missing_network_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "mirror", lambda: "http://127.0.0.1:9/debian")
    with pytest.raises(ToolMissing, match="apt failed .*check the network"):
        source._download(tmp_path / "apt")


def test_archive_without_debian_signature_is_refused(tmp_path, monkeypatch):
    release = tmp_path / "mirror" / "dists" / "sid" / "Release"
    release.parent.mkdir(parents=True)
    release.write_text("Origin: Debian\nSuite: unstable\nCodename: sid\n")
    monkeypatch.setattr(source, "mirror", lambda: f"file:{tmp_path}/mirror")
    with pytest.raises(ToolMissing, match="is not signed"):
        source._download(tmp_path / "apt")
