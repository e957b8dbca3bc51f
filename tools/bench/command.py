"""``cicada bench``: measures, prints, and keeps the figures where docs and tests find them."""

from __future__ import annotations

import json
from pathlib import Path

from cicada.tools.bench import host, page, picture, record, report, suite
from cicada.tools.errors import UserError


def bench(
    write: bool = False, as_json: bool = False, on_host: bool = False, models: Path | None = None
) -> int:
    """Print what the engine costs, for people or programs, and return 0.

    Args:
        on_host: only take a quick look at times on this machine.
        write: put the figures into docs/bench.md and its picture, and into the file that tests compare with.
        as_json: print JSON instead of tables.
        models: folder of published models to measure beside the project's own.

    Raises:
        UserError: a program is missing or failed, a model gives wrong outputs, or there is no such folder.
    """
    if models and not models.is_dir():
        raise UserError(f"there is no folder {models} to take models from")
    if on_host:
        page.show(host.parts(models))
        return 0
    measured = suite.measure(models)
    if as_json:
        print(json.dumps(measured.json(), indent=1))
    else:
        page.show(report.parts(measured))
    if write:
        page.put(page.PAGE, report.BEGIN, page.markdown(report.parts(measured)))
        record.write(record.figures(measured))
        picture.draw(measured, page.PAGE.parent / "images" / "bench.png")
    return 0
