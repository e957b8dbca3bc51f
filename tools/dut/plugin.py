"""pytest plugin: the fixture ``dut`` and what belongs to it.

Options:
    ``--board twin`` (the default), or the name of a board with ``--port /dev/ttyUSB0`` and, if it is not
    115200, ``--baud``.

Mark ``twin(sound=..., world=..., flash=...)``:
    a test that only makes sense on the twin, because it chooses what the twin hears (``sound``, a
    :class:`cicada.tools.twin.sound.Sound`), what surrounds it (``world``, a
    :class:`cicada.tools.twin.world.World`, instead of ``sound``) or what its flash holds (``flash``, bytes).
    Each may be a function without arguments that makes the thing when the test begins. On a board the test
    is skipped.

Fixture ``dut_image``:
    the flash of a twin without ``flash`` in its mark, bytes. By default the one that ``make demo`` built; a
    ``conftest.py`` may define its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from cicada.tools.errors import UserError
from cicada.tools.paths import BOARDS, BUILD

if TYPE_CHECKING:
    from cicada.tools.dut.base import Dut

_TWIN = "twin"
_CHOICES = ("sound", "world", "flash")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--board``, ``--port`` and ``--baud``."""
    group = parser.getgroup("cicada", "Cicada's device tests")
    group.addoption("--board", default=_TWIN, help="what the tests run on: twin (default) or a board")
    group.addoption("--port", help="serial port of the board, e.g. /dev/ttyUSB0")
    group.addoption("--baud", type=int, default=115200, help="its speed (default: 115200)")


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark and refuse options that cannot work, before any test runs."""
    config.addinivalue_line(
        "markers",
        "twin(sound, world, flash): runs on the twin only, which hears and holds what is given here",
    )
    board = config.getoption("--board")
    # Any ESP32 board will do, whether or not its pins are described in a folder.
    known = {_TWIN, "esp32"} | {path.parent.name for path in BOARDS.glob("*/board.py")}
    if board not in known:
        raise pytest.UsageError(f"no board '{board}': --board takes one of {', '.join(sorted(known))}")
    if board != _TWIN and not config.getoption("--port"):
        raise pytest.UsageError(f"--board {board} needs the board's port: --port /dev/ttyUSB0, for example")
    if board == _TWIN and config.getoption("--port"):
        raise pytest.UsageError("the twin has no --port: name a board, too, as in --board esp32 --port ...")


@pytest.fixture(scope="session")
def dut_image() -> bytes:
    """What a twin's flash holds unless the test's mark says otherwise; override it in a ``conftest.py``."""
    path = BUILD / "twin" / "flash.bin"
    if not path.exists():
        pytest.fail(f"there is no {path}: build it with make demo, or define dut_image", pytrace=False)
    return path.read_bytes()


@pytest.fixture
def dut(request: pytest.FixtureRequest) -> Iterator[Dut]:
    """The device under test, fresh from reset: see :class:`cicada.tools.dut.base.Dut`.

    A twin is new for every test. A board keeps its flash and its RTC memory, so tests clean up.
    """
    mark = request.node.get_closest_marker("twin")
    chosen = _chosen(mark)
    board = request.config.getoption("--board")
    if board != _TWIN and mark:
        what = " and ".join(chosen)
        pytest.skip(f"needs the twin: the test chooses its {what}" if what else "needs the twin")
    refused = ""
    try:
        device = _twin(request, chosen) if board == _TWIN else _board(request.config)
    except UserError as error:
        refused = str(error)
    if refused:  # out here, or pytest would show where the error came from
        pytest.fail(refused, pytrace=False)
    try:
        yield device
    finally:
        device.close()


def _chosen(mark: pytest.Mark | None) -> dict:
    """Arguments of the mark by name."""
    if mark is None:
        return {}
    unknown = [name for name in mark.kwargs if name not in _CHOICES]
    if unknown or mark.args:
        wrong = ", ".join(unknown) or "arguments without a name"
        pytest.fail(f"mark twin takes {', '.join(_CHOICES)}, not {wrong}", pytrace=False)
    if "sound" in mark.kwargs and "world" in mark.kwargs:
        pytest.fail("mark twin takes sound or world, not both: a world has its sound", pytrace=False)
    return dict(mark.kwargs)


def _twin(request: pytest.FixtureRequest, chosen: dict) -> Dut:
    from cicada.tools.board import load_board
    from cicada.tools.dut.twin import TwinDut
    from cicada.tools.twin.sound import Sound
    from cicada.tools.twin.twin import Twin

    made = {name: value() if callable(value) else value for name, value in chosen.items()}
    flash = made["flash"] if "flash" in made else request.getfixturevalue("dut_image")
    around = made.get("world") or made.get("sound") or Sound([], 60)
    return TwinDut(Twin(flash, load_board(_TWIN), around))


def _board(config: pytest.Config) -> Dut:
    from cicada.tools.dut.serial import SerialDut

    return SerialDut(config.getoption("--port"), config.getoption("--baud"))
