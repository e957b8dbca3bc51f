"""Run ESP-IDF's build of a board's image and judge what comes out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.firmware import checks, identity
from cicada.tools.firmware.checks import Environment
from cicada.tools.firmware.tables import check_partitions
from cicada.tools.flashing import firmware as finished
from cicada.tools.paths import BOARDS, BUILD, FIRMWARE
from cicada.tools.twin import partitions
from cicada.training import container

#: Share of an app slot that stays free, for updates to come.
SPARE = 0.05

_STEP = re.compile(r"^\[ *(\d+)(?:/(\d+)|%)\] (.*)")
_STAMP = "cicada.json"


def default_models() -> list[str]:
    """``NAME=FILE`` of the model that was trained here, else of the one that comes with the project."""
    trained = BUILD / "kws" / "kws.cmod"
    return [f"kws={trained if trained.is_file() else FIRMWARE / 'models' / 'kws.cmod'}"]


def build(
    board: str,
    models: Sequence[str] = (),
    idf: Path | None = None,
    micropython: Path | None = None,
    components: Sequence[Path] = (),
    key: Path | None = None,
) -> finished.Firmware:
    """Build the image of ``board`` in ``build/firmware/<board>``.

    Args:
        board: folder in ``boards/``.
        models: containers to build in, ``NAME=FILE`` (default: :func:`default_models`).
        idf, micropython, components: see :func:`cicada.tools.firmware.checks.environment`.
        key: sign with this private key, and let only signed updates boot.

    Raises:
        UserError: for what is missing, for a build that fails (with its first error) and for an image that
            does not fit.
    """
    description = load_board(board)
    checks.check_board(board)
    check_partitions(board)
    models = [_absolute(model) for model in models or default_models()]
    folder = finished.folder_of(board)
    if key is not None:
        _check_key(key, description.CHIP)
    tflm = any(_for_tflm(Path(model.partition("=")[2])) for model in models)
    env = checks.environment(description.CHIP, folder, idf, micropython, components, tflm=tflm)
    _sweep(folder, env)
    who = identity.write(board, folder)
    console = Console(highlight=False)
    configure = [
        env.cmake,
        "-G",
        env.generator[0],
        "-S",
        str(FIRMWARE),
        "-B",
        str(folder),
        f"-DPYTHON={env.python}",
        f"-DMICROPY_BOARD={board}",
        f"-DMICROPYTHON_DIR={env.micropython}",
        f"-DEXTRA_COMPONENT_DIRS={';'.join(map(str, env.components))}",
        f"-DCICADA_MODELS={';'.join(models)}",
        f"-DCICADA_IDENTITY_DIR={who}",
        f"-DCICADA_SIGNING_KEY={key.resolve() if key else ''}",
        f"-DCCACHE_ENABLE={int(env.variables.get('IDF_CCACHE_ENABLE') == '1')}",
    ]
    with (folder / "build.log").open("w") as log:
        console.print(f"configuring {folder}")
        _run(configure, folder, env, log, None)
        _run([*env.generator[1], "all"], folder, env, log, console)
    image = finished.read(board, description)
    check_fit(image)
    return image


def build_twin(models: Sequence[str] = ()) -> finished.Firmware:
    """The twin's image, which needs neither ESP-IDF nor a compiler; ``models`` as for :func:`build`."""
    from cicada.tools.flashing import twin

    chosen = (_absolute(model).split("=", 1) for model in models or default_models())
    twin.build_twin({name: Path(path).read_bytes() for name, path in chosen}, version("cicada"))
    image = finished.read("twin", load_board("twin"))
    check_fit(image)
    return image


def check_fit(image: finished.Firmware) -> tuple[int, int]:
    """Bytes of the application and of its smallest slot.

    Raises:
        UserError: if less than 5 % of the slot would stay free.
    """
    slot = min(p.size for p in partitions.ota_slots(list(image.partitions)).values())
    size = len(image.app.data)
    if size > slot * (1 - SPARE):
        raise UserError(
            f"the image has {size} bytes, its slots {slot}: {SPARE:.0%} must stay free for updates; build in "
            "a smaller model, or enlarge ota_0 and ota_1 in the board's partitions.csv"
        )
    return size, slot


def _absolute(model: str) -> str:
    name, separator, path = model.partition("=")
    if not separator or not name:
        raise UserError(f"'{model}' is not NAME=FILE, e.g. kws=build/kws/kws.cmod")
    if not Path(path).is_file():
        raise UserError(f"there is no model container {path}: train one with 'make train'")
    return f"{name}={Path(path).resolve()}"


def _for_tflm(path: Path) -> bool:
    """Whether a container holds a ``.tflite``; a damaged one is refused later."""
    try:
        _, model = container.unpack(path.read_bytes())
    except ValueError:
        return False
    return bytes(model[4:8]) == b"TFL3"


def _check_key(key: Path, chip: str) -> None:
    """The key suits the chip's scheme: ECDSA P-256 on the ESP32, RSA-3072 on the others.

    ESP-IDF v5.5.1, components/bootloader/Kconfig.projbuild, choice SECURE_SIGNED_APPS_SCHEME.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    scheme = "--version 1" if chip == "esp32" else "--version 2 --scheme rsa3072"
    how = f"make one with 'espsecure generate-signing-key {scheme} {key}'"
    if not key.is_file():
        raise UserError(f"there is no signing key {key}: {how}")
    try:
        private = load_pem_private_key(key.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise UserError(f"{key} is no private key in PEM without a password: {how}") from error
    if chip == "esp32":
        fits = isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp256r1"
    else:
        fits = isinstance(private, rsa.RSAPrivateKey) and private.key_size == 3072
    if not fits:
        raise UserError(f"{key} is not the kind of key that {chip} checks: {how}")


def _sweep(folder: Path, env: Environment) -> None:
    """Empty a build folder made with another ESP-IDF, MicroPython or place: CMake cannot go on there."""
    made_with = {
        "source": str(FIRMWARE),
        "idf": str(env.idf),
        "micropython": str(env.micropython),
        "python": env.python,
        "generator": env.generator[0],
    }
    stamp = folder / _STAMP
    try:
        same = json.loads(stamp.read_text()) == made_with
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(made_with, indent=1))


def _run(command: Sequence[str], folder: Path, env: Environment, log, console: Console | None) -> None:
    """Run one step; its output goes to ``log``, its progress to ``console``.

    Raises:
        UserError: with its first error, if it fails.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(env.variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,  # so that Ctrl-C is ours and ends all of it
    )
    said: list[str] = []

    def lines() -> Iterator[str]:
        for line in process.stdout:
            log.write(line)
            said.append(line.rstrip())
            yield said[-1]

    try:
        if console is None:
            for _ in lines():
                pass
        else:
            _show(lines(), console)
        code = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if code:
        log.flush()
        raise UserError(f"{first_error(said)}; all it said is in {folder / 'build.log'}")


def _show(lines: Iterator[str], console: Console) -> None:
    """A bar on a terminal, else a line for every tenth of the steps."""
    bar = Progress(BarColumn(), TextColumn("{task.percentage:3.0f}% {task.description}"), console=console)
    task = bar.add_task("", total=None)
    tenth = 0
    with bar if console.is_terminal else nullcontext():
        for line in lines:
            step = _STEP.match(line)
            if not step:
                continue
            done, total = int(step[1]), int(step[2] or 100)
            if console.is_terminal:
                bar.update(task, completed=done, total=total, description=Path(step[3]).name[:50])
            elif done * 10 // total > tenth:
                tenth = done * 10 // total
                console.print(f"{tenth * 10:3} %  {done} of {total}")


def first_error(said: Sequence[str]) -> str:
    """The sentence of a failed step's output that says why."""
    text = "\n".join(said)
    ours = re.search(r"^ *cicada: ((?:.+\n?)+)", text, re.M)
    if ours:
        return " ".join(ours[1].split())
    cmake = re.search(r"^CMake Error.*\n\n?((?:.+\n?)+)", text, re.M)
    if cmake:
        return "CMake: " + " ".join(cmake[1].split())
    for line in said:
        if re.search(
            r"\berror: |\bundefined reference|\bwill not fit in region|overflowed by|ninja: error", line
        ):
            return f"the build failed: {line.strip()}"
    return "the build failed: " + next((line for line in reversed(said) if line.strip()), "it said nothing")


def boards() -> list[str]:
    """Boards that images are built for."""
    return sorted(path.parent.name for path in BOARDS.glob("*/mpconfigboard.cmake"))
