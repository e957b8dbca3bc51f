"""docs/config.md: every key of the configuration, made from the device's own tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cicada.tools.node.device import modules
from cicada.tools.paths import ROOT

#: The page; a test compares it with :func:`text`.
PAGE = ROOT / "docs" / "config.md"

_HEAD = """\
# Configuration

`/cicada.json` on the node's file system; without it a node listens for words and sleeps in between. Every
key may be left out, unless it says "needed". Keys that are not listed here are errors.

Made by `cicada node config --reference --write` from
[`schema.py`](../firmware/app/node/config/schema.py); [node.md](node.md) says how the parts work together.

```sh
cicada node config my.json          # checks it with the device's own code
```
"""
_TITLES = {
    "DOCUMENT": "Sections",
    "WIFI": "wifi",
    "UPDATES": "updates",
    "UPDATES_MQTT": "updates.mqtt",
    "HAWKBIT": "updates.hawkbit",
    "MQTT": "mqtt",
    "PLAN": "plan",
    "WAKE": "plan.wake",
    "SENSOR": "sensors",
    "PIPELINE": "pipelines",
    "GATE": "pipelines.gate",
    "REPORT": "report",
    "FILTER": "report.filters",
    "CHANGE": "report.filters.change",
    "BATTERY": "battery",
    "COMMANDS": "commands",
}


def text() -> str:
    """The page."""
    parts = [_HEAD]
    for table, title in _TITLES.items():
        parts += [f"\n## {title}\n", "| key | value | default | |", "|---|---|---|---|"]
        parts += [_line(row) for row in modules().shape.rows(table)]
    return "\n".join(parts) + "\n"


def write(page: Path = PAGE) -> None:
    """Write the page."""
    page.write_text(text(), encoding="utf-8")


def _line(row: Sequence[str]) -> str:
    shape = modules().shape
    kinds = ", ".join(row[shape.KINDS].split())
    if "?" in row[shape.FLAGS]:
        default = "needed"
    elif row[shape.TYPE] == "object":
        default = "its defaults" if row[shape.DEFAULT] else "`null`"
    else:
        default = f"`{row[shape.DEFAULT] or 'null'}`"
    about = row[shape.TEXT] + (f" ({kinds})" if kinds else "")
    return f"| `{row[shape.KEY]}` | {_value(row)} | {default} | {about} |"


def _value(row: Sequence[str]) -> str:
    """What a key may be, in words."""
    shape = modules().shape
    what, span = row[shape.TYPE], row[shape.LIMIT]
    null = " or null" if "0" in row[shape.FLAGS] else ""
    if what == "object":
        words = f"[object](#{_anchor(_TITLES[span])})"
    elif what == "list":
        item, most = span.split()
        entry = f"[objects](#{_anchor(_TITLES[item])})" if item.isupper() else f"{item}s"
        words = f"list of at most {most} {entry}"
    elif what in ("choice", "kind"):
        words = ", ".join(f"`{json.dumps(value)}`" for value in json.loads(span))
    elif what in ("text", "secret", "topic"):
        words = {"text": "text", "secret": "secret", "topic": "topic"}[what] + " of {} to {} letters".format(
            *json.loads(span)
        )
    elif what in ("int", "num"):
        words = ("{} to {}" if what == "int" else "{} to {}, fractions too").format(*json.loads(span))
    elif what == "bool":
        words = "`true`, `false`"
    else:
        words = {"match": "object of plain values"}[what]
    return words + null


def _anchor(title: str) -> str:
    """GitHub's anchor of a heading: lower case, without dots."""
    return title.lower().replace(".", "")
