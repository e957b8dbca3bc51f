"""``cicada twin run scenario.toml``: play a scenario and check what it expects."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cicada.tools.board import load_board
from cicada.tools.errors import UserError, from_os_error
from cicada.tools.paths import BUILD
from cicada.tools.twin.flash import NorFlash
from cicada.tools.twin.judge import Verdict, judge
from cicada.tools.twin.scenario import Scenario, load, microseconds
from cicada.tools.twin.staging import staged


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
    flash = _flash(about, path)

    def tell(text: str) -> None:
        if show:
            sys.stdout.write(text)
            sys.stdout.flush()

    if about.microphone.live:
        speed = speed or 1.0  # nobody speaks faster
    with staged(about, path, flash, board, on_text=tell, speed=speed or None) as twin:
        with _progress(about.title or path.name, length, not show) as update:
            twin.power_on()
            twin.run_until(lambda: update(twin.now), length)
        verdicts = judge(about, path, twin)
        console = Console(highlight=False)
        if picture:
            from cicada.tools.twin.report import print_report, report

            print_report(report(twin, picture), console)
        _print_verdicts(console, about, path, verdicts, twin.now)
    return 0 if all(v.holds for v in verdicts) else 1


def run_fleet_of(
    count: int,
    path: Path | None,
    seconds: float | None,
    speed: float,
    data: Path | None,
    words: list[str],
    seed: int,
) -> int:
    """Run many twins of one scenario, or of the demo's scene, each with a seed of its own.

    Returns:
        0 if all ran to their end, else 1.
    """
    import dataclasses

    import msgspec

    from cicada.tools.twin.fleet import run_fleet
    from cicada.tools.twin.twin import Twin

    if path:
        about = load(path)
        board = load_board(about.board)
        length = microseconds(about.seconds, path) / 1e6 if seconds is None else seconds
        _flash(about, path)  # faults of the file are told once, and what is shared is loaded before the fork

        def make(number: int, place: Path):
            own = msgspec.structs.replace(about, seed=about.seed + number)
            return staged(own, path, _flash(own, path), board, port=place / "tty", speed=speed or None)

    else:
        from cicada.tools.twin.flash import NorFlash
        from cicada.tools.twin.service import ready

        image, sound = ready(data, words, seed)
        board, length = load_board("twin"), 60.0 if seconds is None else seconds
        import cicada.tools.tflm  # noqa: F401 - before the fork

        def make(number: int, place: Path):
            flash = NorFlash.open(image)
            return contextlib.nullcontext(
                Twin(flash, board, sound, place / "tty", speed=speed or None, seed=seed + number)
            )

    members = run_fleet(count, make, length)
    failed = [m for m in members if m.error]
    console = Console(highlight=False)
    table = Table(
        show_header=False, title=f"Fleet of {count} twins, {length:g} s of virtual time each", min_width=60
    )
    for name, unit, digits in (
        ("started_s", "s", 2),
        ("memory_mb", "MB", 1),
        ("events", "", 0),
        ("resets", "", 0),
    ):
        values = [dataclasses.asdict(m)[name] for m in members if not m.error]
        if values:
            mean = sum(values) / len(values)
            table.add_row(
                {"started_s": "start", "memory_mb": "memory (PSS)"}.get(name, name),
                f"{mean:.{max(digits, 1)}f} {unit} on average, {max(values):.{digits}f} {unit} at most",
            )
    table.add_row("failed", str(len(failed)))
    console.print(table)
    for member in failed[:5]:
        console.print(f"twin {member.number}: {member.error}", soft_wrap=True)
    return 1 if failed else 0


def _flash(about: Scenario, path: Path) -> NorFlash:
    """Contents of the flash: the scenario's image, its model in the application, or what training left."""
    if about.image and about.model:
        raise UserError(f"{path} has both image and model: give one of them")
    try:
        if about.model:
            from cicada.tools.demo import VERSION
            from cicada.tools.twin.image import flash_image

            image = flash_image(about.board, {"kws": (path.parent / about.model).read_bytes()}, VERSION)
            return NorFlash(len(image), bytearray(image))
        file = path.parent / about.image if about.image else BUILD / about.board / "flash.bin"
        if not about.image and not file.is_file():
            raise UserError(
                f"there is no image {file} yet: run 'make demo', or name an image or model in {path}"
            )
        return NorFlash.open(file)
    except OSError as error:
        raise from_os_error(error, f"reading what {path} runs") from error


@contextlib.contextmanager
def _progress(title: str, seconds: float, shown: bool):
    """A bar by virtual time on a terminal; yields what is called with the time, which returns False."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    if not (shown and sys.stderr.isatty()):
        yield lambda now: False
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=seconds)

        def update(now: float) -> bool:
            bar.update(task, completed=now)
            return False

        yield update


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
