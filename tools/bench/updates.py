"""What updates cost: bytes on the wire, time, flash operations and heap, measured on the twin.

The releases are real ones of the real application, made by the release tool and signed with a key that is
made for the measurement and thrown away after it. Time is the twin's (docs/twin.md says what counts): Wi-Fi,
traffic, flash and inferences, but not interpreted code.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cicada.tools.bench import page
from cicada.tools.bench.board import BOARD, Board, CountingServer, file_system
from cicada.tools.bench.models import contained, larger
from cicada.tools.board import load_board
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import FIRMWARE
from cicada.tools.release import build, identity, keys
from cicada.tools.twin import appimage, factory, image, romfs
from cicada.tools.twin.flash import Operation
from cicada.training import container

#: Names the container of the model that is released instead of the one made for it.
MODEL_VARIABLE = "CICADA_BENCH_MODEL"
#: The line of docs/bench.md behind which the figures stand.
BEGIN = "<!-- cicada bench updates --write -->\n"

_OLD, _NEW = "0.1.0", "0.2.0"
#: Blocks of the built-in model that are repeated to make a .tflite of 62 KB, which then is packed.
_BLOCKS = (4, 4, 1)
#: The application change of one line: file, the line, and what becomes of it.
_CHANGE = ("work.py", 'log.info("listening")', 'log.info("listening with %d pipelines" % len(pipelines))')


@dataclass(frozen=True)
class Update:
    """One update that was measured.

    Attributes:
        image: bytes of what is installed.
        payload: bytes of the payload.
        announced: bytes of the release envelopes that were fetched.
        heads: bytes of HTTP requests and of the answers' heads.
        traffic: all bytes through the radio, name look-ups and TCP's handshakes included.
        seconds: from the beginning of the look for updates until the new firmware runs, or the new model has
            made its first inference, that of its self-test.
        heard_s: the same until the first inference on what the microphone hears; None for firmware.
        erases, programs: flash operations meanwhile: sectors and pages.
        heap: bytes of MicroPython heap it took at most.
    """

    image: int
    payload: int
    announced: int
    heads: int
    traffic: int
    seconds: float
    heard_s: float | None
    erases: int
    programs: int
    heap: int

    @property
    def wire(self) -> int:
        """Bytes that the server received and sent."""
        return self.payload + self.announced + self.heads


@dataclass(frozen=True)
class Resumed:
    """A firmware update whose power was cut at half of its flash operations.

    Attributes:
        operation, operations: where it was cut, and how many there are without a cut.
        traffic: bytes through the radio, as in :class:`Update`.
        seconds: until the new firmware runs; a second of them without power.
    """

    operation: int
    operations: int
    traffic: int
    seconds: float


@dataclass(frozen=True)
class Rest:
    """What the journal costs when nothing is updated: bytes of flash that are read, and us of the twin.

    Attributes:
        boot_bytes, boot_us: at a boot.
        wake_bytes, wake_us: at a wake from deep sleep.
    """

    boot_bytes: int
    boot_us: int
    wake_bytes: int
    wake_us: int


@dataclass(frozen=True)
class Figures:
    """Everything that is measured; ``model_about`` says which model was released."""

    model: Update
    model_about: str
    full: Update
    delta: Update
    resumed: Resumed
    rest: Rest


@contextmanager
def own_key() -> Iterator[Path]:
    """A folder with a key store of its own, which :mod:`cicada.tools.release.keys` uses meanwhile."""
    with tempfile.TemporaryDirectory(prefix="cicada-bench-") as name:
        folder = Path(name)
        mine = {"CICADA_KEYS": str(folder / "keys"), "CICADA_PASSPHRASE": os.urandom(16).hex()}
        before = {name: os.environ.get(name) for name in mine}
        os.environ.update(mine)
        try:
            keys.new("bench")
            yield folder
        finally:
            for variable, value in before.items():
                if value is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = value


def measure() -> Figures:
    """Measure everything; takes some ten seconds.

    Raises:
        UserError: the model that is named cannot be used, or the twin did not do what it should.
    """
    with own_key() as folder:
        built_in = (FIRMWARE / "models" / "kws.cmod").read_bytes()
        new_model, about = _model(built_in)
        old, same, changed = _images(built_in)
        files = file_system()
        flash = factory.flash({"ota_0": old, "vfs": files})
        roots = [folder / name for name in ("model", "full", "delta")]
        base = folder / "base.image"
        base.write_bytes(old)
        build.release(build.model(new_model, BOARD), [], out=roots[0])
        build.release(build.firmware(same, BOARD), [], out=roots[1])
        build.release(build.firmware(changed, BOARD), [str(base)], out=roots[2])
        model = _new_model(flash, roots[0], len(new_model))
        full, left = _firmware(flash, roots[1], len(same))
        patched, _ = _firmware(flash, roots[2], len(changed))
        return Figures(model, about, full, patched, _resumed(flash, roots[1], full), _rest(left))


def _model(built_in: bytes) -> tuple[bytes, str]:
    """The container that is released, and what it is."""
    named = os.environ.get(MODEL_VARIABLE)
    if not named:
        about, _ = container.unpack(built_in)
        return contained(about, larger((FIRMWARE / "models" / "kws.tflite").read_bytes(), _BLOCKS), _NEW), (
            "the built-in model and three more blocks, copies of its own with their weights in disorder"
        )
    path = Path(named)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, f"reading {MODEL_VARIABLE}={named}") from error
    content = build.model(data, BOARD)
    if content.name != "kws":
        raise UserError(f"{named} is a model '{content.name}': the application asks for one named 'kws'")
    if data == built_in:
        raise UserError(f"{named} is the built-in model: name another one")
    return data, path.name


def _images(built_in: bytes) -> tuple[bytes, bytes, bytes]:
    """The application as it is, under a new version, and changed in one line under a new version."""

    def made(files: dict[str, bytes], version: str) -> bytes:
        who = identity.source(BOARD, keys.trusted(), version)
        files = files | {"node/identity.mpy": image.compile_text(who, "identity.py")}
        return appimage.build(romfs.pack(files), version, load_board(BOARD))

    who = identity.source(BOARD, keys.trusted())
    files = romfs.unpack(image.application(BOARD, {"kws": built_in}, who))
    name, line, other = _CHANGE
    source = (FIRMWARE / "app" / "node" / name).read_text(encoding="utf-8")
    if source.count(line) != 1:
        raise UserError(
            f"{line} is not in {name} exactly once: choose another line in tools/bench/updates.py"
        )
    changed = files | {f"node/{name[:-3]}.mpy": image.compile_text(source.replace(line, other), name)}
    return made(files, _OLD), made(files, _NEW), made(changed, _NEW)


def _new_model(flash: bytes, root: Path, size: int) -> Update:
    with CountingServer(root) as server, Board(flash, server) as board:
        scores = board.twin.chip.parts["neural"].scores
        began = board.until_asked()
        log, before = board.log_flash(), len(scores)
        # The first is that of the self-test, before the model is on trial.
        board.until(lambda: len(scores) > before + 1, "use the new model")
        if "on trial" not in board.twin.text:
            raise UserError(f"the twin did not take the new model; its console:\n{board.twin.text}")
        first, heard = (at - began for at, _ in scores[before : before + 2])
        return _update(size, server.counts, board, log, first, heard)


def _firmware(flash: bytes, root: Path, size: int) -> tuple[Update, bytes]:
    """A firmware update, and the flash when it was confirmed."""
    with CountingServer(root) as server, Board(flash, server) as board:
        began = board.until_asked()
        log = board.log_flash()
        took = board.until_runs("ota_1") - began
        update = _update(size, server.counts, board, log, took, None)
        board.until(lambda: "firmware confirmed" in board.twin.text, "confirm the new firmware")
        return update, board.left()


def _update(
    size: int,
    counts: Counter[str],
    board: Board,
    log: list[Operation],
    seconds: float,
    heard_s: float | None,
) -> Update:
    kinds = Counter(operation.kind for operation in log)
    payload, announced = counts["payload"], counts["release"]
    heads = counts["all"] - payload - announced
    erases, programs = kinds["erase"], kinds["program"]
    figures = (payload, announced, heads, board.traffic, seconds, heard_s, erases, programs)
    return Update(size, *figures, board.heap())


def _resumed(flash: bytes, root: Path, whole: Update) -> Resumed:
    operations = whole.erases + whole.programs
    operation = operations // 2
    with CountingServer(root) as server, Board(flash, server) as board:
        began = board.until_asked()
        board.cut(operation)
        board.until(lambda: len(board.twin.cuts) > 0, "reach the middle of the update")
        took = board.until_runs("ota_1") - began
        if "update: going on at sector" not in board.twin.text:
            raise UserError(f"the twin began the update anew; its console:\n{board.twin.text}")
        return Resumed(operation, operations, board.traffic, took)


def _rest(flash: bytes) -> Rest:
    """A board that has no update server listens, sleeps, and is woken by its timer."""
    with Board(flash, None) as board:
        board.until(lambda: board.twin.wakes > 0, "sleep and wake")
        at_boot = list(board.journal)
        board.until(lambda: "boot 2" in board.twin.text, "say that it woke")
        board.until(lambda: board.twin.text.rfind("listening") > board.twin.text.rfind("boot 2"), "listen")
        at_wake = board.journal[len(at_boot) :]
    sums = [sum(reading[n] for reading in readings) for readings in (at_boot, at_wake) for n in (0, 1)]
    return Rest(*sums)


def updates(write: bool = False) -> int:
    """Measure and print, for people; returns 0.

    Args:
        write: put the figures into docs/bench.md, too.

    Raises:
        UserError: as :func:`measure`, or the page has no place for them.
    """
    figures = measure()
    page.show(parts(figures))
    if write:
        page.put(page.PAGE, BEGIN, page.markdown(parts(figures)))
    return 0


_HEAD = ("updates on the twin", "model", "firmware, full", "firmware, one line changed")


def _rows(figures: Figures) -> list[tuple[str, str, str, str]]:
    shows = (
        ("installed, bytes", lambda u: f"{u.image:,}"),
        ("payload, bytes", lambda u: f"{u.payload:,}"),
        ("its share of that", lambda u: f"{u.payload / u.image:.2%}"),
        ("release envelopes, bytes", lambda u: f"{u.announced:,}"),
        ("HTTP heads, bytes", lambda u: f"{u.heads:,}"),
        ("all on the wire, bytes", lambda u: f"{u.wire:,}"),
        ("until it runs, s", lambda u: f"{u.seconds:.1f}"),
        ("until it listens, s", lambda u: "" if u.heard_s is None else f"{u.heard_s:.1f}"),
        ("sectors erased", lambda u: f"{u.erases:,}"),
        ("pages programmed", lambda u: f"{u.programs:,}"),
        ("MicroPython heap, bytes", lambda u: f"{u.heap:,}"),
    )
    columns = (figures.model, figures.full, figures.delta)
    return [(title, *(show(column) for column in columns)) for title, show in shows]


def _sentences(figures: Figures) -> list[str]:
    cut, rest, whole = figures.resumed, figures.rest, figures.full.traffic
    return [
        f"The model: {figures.model_about}.",
        f"The full firmware update with the power cut at flash operation {cut.operation} of {cut.operations} "
        f"moves {cut.traffic:,} bytes through the radio, {cut.traffic - whole:,} or "
        f"{cut.traffic / whole - 1:.1%} more than without the cut, and takes {cut.seconds:.1f} s, one "
        "of them without power.",
        f"The journal costs {rest.boot_bytes:,} bytes of flash read and {rest.boot_us:,} us at a boot; at a "
        f"wake from deep sleep {rest.wake_bytes:,} bytes and {rest.wake_us:,} us.",
    ]


def parts(figures: Figures) -> list[page.Sheet | str]:
    """The figures as a table and sentences."""
    return [page.Sheet(_HEAD, _rows(figures)), *_sentences(figures)]
