"""What docs/node.md and docs/uplink.md show, beside the code: configurations, records, fields, commands."""

from __future__ import annotations

import ast
import json
import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.node.device import check
from cicada.tools.paths import FIRMWARE, ROOT
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.batteries import battery
from cicada.tools.plan.budget import budget
from cicada.tools.plan.presets import presets

PAGES = ("node.md", "uplink.md")
TEXT = {page: (ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES}
BLOCKS = [
    (page, number, json.loads(block))
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```json\n(.*?)^```", TEXT[page], re.M | re.S))
]
CONFIGURATIONS = [
    pytest.param(document, id=f"{page}-{number}")
    for page, number, document in BLOCKS
    if isinstance(document, dict)
]
RECORDS = [record for _, _, records in BLOCKS if isinstance(records, list) for record in records]
#: Answers have what their command gives.
ANSWERS = {"v", "id", "counter", "ok", "error"}


def fields(page: str, heading: str) -> set[str]:
    """Names in the first columns of the tables of one section, down to the next heading."""
    section = TEXT[page].split(f"\n{heading}\n", 1)[1]
    section = re.split(r"\n#+ ", section, maxsplit=1)[0]
    first = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {name for cell in first for name in re.findall(r"`(\w+)`", cell)}


def told(module: str, *functions: str) -> set[str]:
    """Keys of the dictionaries that some functions of a module make, as its text has them."""
    tree = ast.parse((FIRMWARE / "app" / "node" / module).read_text(encoding="utf-8"))
    found = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef) or function.name not in functions:
            continue
        for node in ast.walk(function):
            keys = node.keys if isinstance(node, ast.Dict) else []
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
                keys = [node.slice]
            found |= {key.value for key in keys if isinstance(key, ast.Constant)}
    return found


@pytest.mark.parametrize("document", CONFIGURATIONS)
def test_a_configuration_on_a_page_is_taken_by_the_device(document):
    assert check(document, load_board("esp32"))[1] == []


def test_there_is_a_configuration_for_each_plan():
    plans = [document["plan"]["kind"] for page, _, document in BLOCKS[:3]]
    assert plans == ["listen", "sample", "event"]


def test_the_plan_whose_cost_is_told_is_the_one_on_the_page():
    documents = [document for _, _, document in BLOCKS if isinstance(document, dict)]
    assert presets()["vibration, 1 s every 10 min"] in documents


@pytest.mark.parametrize("page", ["docs/node.md", "README.md"])
def test_what_plans_cost_is_what_the_command_computes(page):
    board, cell = load_board("esp32"), battery("2aa-lithium")
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) ([mµ])A \| ([\d.]+) (h|days|years) \|", text, re.M)
    found = {title: (float(current), unit, float(life), span) for title, current, unit, life, span in rows}
    assert len(found) >= 4 and set(found) <= set(presets("esp32"))
    for title, (current, unit, life, span) in found.items():
        average = budget(check(presets("esp32")[title])[0], board, Assumptions()).average_ma
        assert current == pytest.approx(average * {"m": 1, "µ": 1000}[unit], rel=0.02), title
        hours = {"h": 1, "days": 24, "years": 8760}[span]
        assert life == pytest.approx(cell.hours(average) / hours, abs=0.5 if life >= 4 else 0.06), title


def test_every_field_of_a_record_on_the_page_is_in_its_tables():
    known = fields("uplink.md", "### Records") | {"vib_score", "air_temperature_c"}
    for record in RECORDS:
        if "uptime_s" in record:
            assert set(record) <= known | fields("node.md", "## Health")
        elif "state" in record and "event" not in record:
            assert set(record) <= fields("uplink.md", "### Status") | {"v"}
        elif "counter" in record:
            assert set(record) >= ANSWERS - {"error"}
        else:
            assert set(record) <= known


def test_there_is_an_example_of_each_kind_of_event():
    kinds = {"keyword", "anomaly", "class", "alarm", "battery", "error"}
    assert {record["event"] for record in RECORDS if "event" in record} == kinds


def test_the_tables_have_every_field_of_health_and_status_and_no_other():
    health = told("health.py", "record") | told("reporter.py", "figures", "link_figures")
    health |= told("reporter.py", "health_record")
    assert health - fields("node.md", "## Health") == set()
    assert fields("node.md", "## Health") - health == {"report", "health"} & fields("node.md", "## Health")
    status = told("control.py", "status") | told("reporter.py", "link_figures")
    status |= {"state", "within_s", "next"}
    assert fields("uplink.md", "### Status") == status


def test_every_command_is_on_the_page_as_it_is_typed():
    from cicada.tools.node.commands import _table

    table = _table()
    section = TEXT["uplink.md"].split("\n## Commands\n", 1)[1].split("\n##", 1)[0]
    for row in table.TABLE:
        assert f"`{table.usage(row)}`".replace("|", "\\|") in section


def test_rtc_sections_are_those_of_the_code():
    tree = ast.parse((FIRMWARE / "app" / "node" / "memory.py").read_text(encoding="utf-8"))
    numbers = {
        node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and node.targets[0].id in "FILTERS FUSION UPLINK HEALTH PLAN PIPELINES OUTBOX APP".split()
    }
    section = TEXT["node.md"].split("\n## RTC memory\n", 1)[1].split("\n## ", 1)[0]
    assert {int(n) for n in re.findall(r"^\| (\d+) \| .*\| \d+ \|$", section, re.M)} == numbers
    assert len(numbers) == 8
