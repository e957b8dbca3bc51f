"""The command line: help that fits, faults in one line, codes that tell."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from cicada.tools import board, cli
from cicada.tools.errors import UserError
from cicada.tools.paths import ROOT


def cicada(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "cicada.tools.cli", *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
        **options,
    )


def refused(*arguments):
    """Run a command that must be refused; returns its one line."""
    run = cicada(*arguments)
    assert run.returncode != 0
    assert "Traceback" not in run.stderr
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("cicada: "), run.stderr
    return last


@pytest.mark.parametrize(
    "arguments",
    ["", "twin", "data", "monitor", "release", "release new", "release serve", "keys", "powercut"],
)
def test_help_fits_a_screen(arguments):
    run = cicada(*arguments.split(), "--help")
    lines = run.stdout.splitlines()
    assert run.returncode == 0 and len(lines) <= 24
    assert max(map(len, lines)) <= 100


def test_importing_the_command_line_pulls_in_nothing_heavy():
    heavy = ("tensorflow", "numpy", "matplotlib")
    code = f"import sys, cicada.tools.cli; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_twin_running_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("CICADA_TWIN_PORT", str(tmp_path / "none"))
    assert "make twin" in refused("monitor", "--board", "twin")


def test_no_port_given():
    assert "PORT=" in refused("monitor")


def test_missing_data_folder(tmp_path):
    assert "nowhere" in refused("train", "--data", str(tmp_path / "nowhere"))


def test_unknown_board_lists_the_known_ones():
    with pytest.raises(UserError, match="choose one of .*twin"):
        board.load_board("esp8266")


def test_board_with_missing_keys_is_named(tmp_path, monkeypatch):
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "board.py").write_text("NAME = 'half'\n")
    monkeypatch.setattr("cicada.tools.paths.BOARDS", tmp_path)
    with pytest.raises(UserError, match="lacks TITLE, CHIP"):
        board.load_board("half")


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "goes on where it was"),
        (OSError(28, "No space left on device"), 2, "disk is full"),
        (UserError("this and that"), 2, "this and that"),
    ],
)
def test_faults_become_one_line_and_a_code(fault, code, said, monkeypatch, capsys):
    def fail(options):
        raise fault

    monkeypatch.setattr(cli, "_demo", fail)
    assert cli.main(["demo"]) == code
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]


def test_the_application_does_not_know_the_twin():
    """Wall 2 of docs/architecture.md."""
    for path in (ROOT / "firmware" / "app").rglob("*.py"):
        assert "twin" not in path.read_text().lower(), path


def test_the_node_has_the_version_of_the_distribution():
    import importlib.metadata

    source = (ROOT / "firmware" / "app" / "node" / "__init__.py").read_text()
    assert f'VERSION = "{importlib.metadata.version("cicada")}"' in source


def test_no_feature_code_in_training():
    """Wall 1: one front end. Training reaches features only through cicada.tools.engine."""
    for path in (ROOT / "training").rglob("*.py"):
        found = re.search(r"mel_|filterbank|\bhann|pymicro|microfrontend|\bi?stft", path.read_text(), re.I)
        assert not found, f"{path} mentions {found[0]}"


def test_engine_needs_a_compiler(monkeypatch):
    from cicada.tools import engine

    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(UserError, match="[Cc]ompiler"):
        engine.compiler()


def test_makefile_help_lists_every_target():
    run = subprocess.run(["make", "help"], cwd=Path(ROOT), capture_output=True, text=True, check=True)
    for target in ("demo", "test", "train", "twin", "monitor"):
        assert f"{target} " in run.stdout
