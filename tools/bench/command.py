"""``cicada bench``: measures, prints, and keeps the figures where docs and tests find them."""

from __future__ import annotations

import json

from cicada.tools.bench import host, page, record, report, suite


def bench(write: bool = False, as_json: bool = False, on_host: bool = False) -> int:
    """Print what the engine costs, for people or programs, and return 0.

    Args:
        on_host: only take a quick look at times on this machine.
        write: put the figures into docs/bench.md and the file that tests compare with, too.
        as_json: print JSON instead of tables.

    Raises:
        UserError: a program is missing or failed, or a model gives wrong outputs.
    """
    if on_host:
        page.show(host.parts())
        return 0
    measured = suite.measure()
    if as_json:
        print(json.dumps(measured.json(), indent=1))
    else:
        page.show(report.parts(measured))
    if write:
        page.put(page.PAGE, report.BEGIN, page.markdown(report.parts(measured)))
        record.write(record.figures(measured))
    return 0
