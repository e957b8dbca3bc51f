"""``cicada twin run scenario.toml``: play a scenario and check what it expects."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from cicada.tools.board import load_board
from cicada.tools.choice import Choice
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.fleet import Member, run_fleet
from cicada.tools.twin.judge import Verdict, judge
from cicada.tools.twin.scenario import Scenario, load, microseconds
from cicada.tools.twin.staging import staged
from cicada.tools.twin.twin import Twin
from cicada.training.progress import Advance, bar


def run_scenario(
    path: Path, seconds: float | None, speed: float, picture: Path | None, show: bool = True
) -> int:
    """Run a scenario and say whether what it expects came true.

    Args:
        path: the TOML file.
        seconds: virtual seconds instead of the scenario's own.
        speed: times real time, 0 for no limit.
        picture: where to draw current over time; None for no picture.
        show: whether the console goes to standard output.

    Returns:
        0 if every expectation holds, else 1.
    """
    about = load(path)
    board = load_board(about.board)
    length = microseconds(about.seconds, path) / 1e6 if seconds is None else seconds
    flash = NorFlash.open(_image(about, path))

    def tell(text: str) -> None:
        if show:
            sys.stdout.write(text)
            sys.stdout.flush()

    if about.microphone.live:
        speed = speed or 1.0  # nobody speaks faster
    with staged(about, path, flash, board, on_text=tell, speed=speed or None) as twin:
        twin.power_on()
        with contextlib.nullcontext() if show else bar(about.title or path.name, round(length)) as advance:
            twin.run_until(_ticking(twin, advance), length)
        verdicts = judge(about, path, twin)
        console = Console(highlight=False)
        if picture:
            from cicada.tools.twin.report import print_report, report

            print_report(report(twin, picture), console)
        _print_verdicts(console, about, path, verdicts, twin.now)
    return 0 if all(v.holds for v in verdicts) else 1


def _ticking(twin: Twin, advance: Advance | None) -> Callable[[], bool]:
    """For ``run_until``: never done, but ``advance`` is called for every virtual second."""
    told = 0

    def tick() -> bool:
        nonlocal told
        if advance and twin.now >= told + 1:
            advance(int(twin.now) - told)
            told = int(twin.now)
        return False

    return tick


def run_fleet_of(
    count: int,
    path: Path | None,
    seconds: float | None,
    speed: float,
    choice: Choice,
) -> int:
    """Run many twins of one scenario, or of the demo's scene, each with a seed of its own.

    Args:
        count: how many.
        path: the scenario; None for the demo's scene, made of what ``choice`` trains.
        seconds: virtual seconds instead of the scenario's own, or 60.
        speed: times real time, 0 for no limit.

    Returns:
        0 if all ran to their end, else 1.
    """
    # Before the fork: what all of them need.
    import cicada.tools.tflm  # noqa: F401

    if path:
        about = load(path)
        board, image = load_board(about.board), _image(about, path)
        length = microseconds(about.seconds, path) / 1e6 if seconds is None else seconds

        def make(number: int, place: Path) -> contextlib.AbstractContextManager[Twin]:
            own = msgspec.structs.replace(about, seed=about.seed + number)
            flash = NorFlash.open(image)
            return staged(own, path, flash, board, port=place / "tty", speed=speed or None)

    else:
        from cicada.tools.twin.service import ready

        image, sound = ready(choice)
        board, length = load_board("twin"), 60.0 if seconds is None else seconds

        def make(number: int, place: Path) -> contextlib.AbstractContextManager[Twin]:
            flash = NorFlash.open(image)
            port = place / "tty"
            twin = Twin(flash, board, sound, port, speed=speed or None, seed=choice.seed + number)
            return contextlib.nullcontext(twin)

    with bar("Starting twins", count) as advance:
        members = run_fleet(count, make, length, lambda number: advance())
    return _print_fleet(members, length)


def _print_fleet(members: list[Member], seconds: float) -> int:
    """Table of a fleet; returns 1 if a member failed."""
    console = Console(highlight=False)
    title = f"Fleet of {len(members)} twins, {seconds:g} s of virtual time each"
    table = Table(show_header=False, title=title, min_width=60)
    ran = [m for m in members if not m.error]
    for name, values in (
        ("start (s)", [m.started_s for m in ran]),
        ("memory, PSS (MB)", [m.memory_mb for m in ran]),
        ("events", [m.events for m in ran]),
        ("resets", [m.resets for m in ran]),
    ):
        if values:
            mean = sum(values) / len(values)
            table.add_row(name, f"{mean:.1f} on average, {max(values):.1f} at most")
    table.add_row("failed", str(len(members) - len(ran)))
    console.print(table)
    for member in [m for m in members if m.error][:5]:
        console.print(f"twin {member.number}: {member.error}", soft_wrap=True)
    return 0 if len(ran) == len(members) else 1


def _image(about: Scenario, path: Path) -> Path:
    """File with the flash image: the scenario's, its model in the application, or what training left."""
    if about.image and about.model:
        raise UserError(f"{path} has both image and model: give one of them")
    if about.model:
        from cicada.tools.demo import flash_with

        try:
            return flash_with(about.board, path.parent / about.model)
        except OSError as error:
            raise from_os_error(error, f"reading the model of {path}") from error
    if about.image:
        return path.parent / about.image
    file = BUILD / about.board / "flash.bin"
    if not file.is_file():
        raise UserError(f"there is no image {file} yet: run 'make demo', or name an image or model in {path}")
    return file


def _print_verdicts(
    console: Console, about: Scenario, path: Path, verdicts: list[Verdict], seconds: float
) -> None:
    table = Table(title=f"{about.title or path.name}: {seconds:g} s of virtual time", min_width=60)
    for heading in ("", "expected", "found"):
        table.add_column(heading)
    for verdict in verdicts:
        table.add_row("[green]ok[/]" if verdict.holds else "[red]no[/]", verdict.asked, verdict.found)
    if verdicts:
        console.print(table)
    failed = sum(not v.holds for v in verdicts)
    if failed:
        console.print(f"{failed} of {len(verdicts)} expectations did not come true")
    elif not verdicts:
        console.print("nothing was expected, so nothing was checked")
