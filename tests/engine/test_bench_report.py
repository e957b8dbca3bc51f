"""What the bench says of its figures: tables, the record, and what of it is worse."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from cicada.tools.bench import frontend, packed, page, record, report, suite
from cicada.tools.bench.baseline import REFERENCES

_COUNTS = frontend.Counts(50_000.4, 52_000, 40_000.0, 4_000, 3_000, 7_654, 2_148, 321)
_KINDS = {
    "conv": packed.Kind(2, 600_000.0, 200_000),
    "dense": packed.Kind(1, 40_000.0, 10_000),
    "softmax": packed.Kind(1, 9_000.0, 0),
}


def _suite(instructions: float = 654_321.0) -> suite.Suite:
    cost = packed.Cost(
        *(instructions, 210_000, _KINDS, (300_000.0,) * 4, 45_678, 7_777, 136, 999, 6_543, 22_222),
        np.zeros((3, 4), np.uint8),
    )
    models = (
        suite.Model(suite.BUILT_IN, None, 33_333, cost),
        suite.Model("okay_nabu", REFERENCES[0], 60_264, cost),
    )
    return suite.Suite(models, 15_151, 1_212, {10: _COUNTS, 20: _COUNTS})


def test_every_figure_and_its_target_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    page.show(report.parts(_suite()))
    shown = capsys.readouterr().out
    written = page.markdown(report.parts(_suite()))
    for figure in (654_321, 391_960, 249_737, 90_000, 45_678, 723_982, 7_777, 18_524, 7_500, 136, 999, 6_543):
        assert f"{figure:,}" in shown and f"{figure:,}" in written
    for text in (
        "3.00 (92%)",
        "4.00 (6%)",
        "15,151",
        "1,212",
        "50,000",
        "55,000",
        "96,870",
        "34,000",
        "7,654",
        "321",
    ):
        assert text in shown and text in written
    assert f"{654_321 / 210_000:.2f}" in written
    assert f"{1 - 2.3 * 210_000 / 654_321:.0%}" in written


def test_what_misses_its_target_is_said() -> None:
    assert report.parts(_suite())[-1] == (
        f"Targets not reached: okay_nabu's instructions by {654_321 / 90_000 - 1:.1%},"
        f" okay_nabu's arena by {7_777 / 7_500 - 1:.1%}."
    )
    assert report.parts(replace(_suite(), models=()))[-1] == "All targets are reached."


def test_every_row_of_a_table_is_whole() -> None:
    sheets = [part for part in report.parts(_suite()) if isinstance(part, page.Sheet)]
    assert len(sheets) == 5
    for sheet in sheets:
        assert {len(row) for row in sheet.rows} == {len(sheet.head)}


def test_json_has_everything_that_is_counted() -> None:
    values = json.loads(json.dumps(_suite().json()))
    assert values["models"]["okay_nabu"]["kinds"]["conv"]["instructions"] == 600_000
    assert values["models"]["okay_nabu"]["operators"] == [300_000.0] * 4
    assert values["flash_bytes"] == 15_151
    assert values["frontend"]["10"]["stack_bytes"] == 321


def test_two_percent_more_instructions_are_too_many() -> None:
    before = record.figures(_suite(100_000))
    assert record.worse(record.figures(_suite(102_000)), before) == []
    worse = record.worse(record.figures(_suite(102_001)), before)
    assert len(worse) == 2 and all("cicada bench --write" in one for one in worse)
    assert record.worse(record.figures(_suite(50_000)), before) == []


@pytest.mark.parametrize(("name", "more"), [("arena_bytes", 4), ("model_bytes", 4), ("stack_bytes", 64)])
def test_more_memory_is_said(name: str, more: int) -> None:
    whole = _suite()
    model = whole.models[0]
    larger = replace(model.cost, **{name: getattr(model.cost, name) + more})
    worse = replace(whole, models=(replace(model, cost=larger), whole.models[1]))
    said = record.worse(record.figures(worse), record.figures(whole))
    assert len(said) == 1 and said[0].startswith(f"{suite.BUILT_IN}: {name} is ")


def test_the_record_keeps_models_that_are_not_here(tmp_path) -> None:
    path = tmp_path / "record.json"
    assert record.read(path) == {}
    record.write(record.figures(_suite()), path)
    fewer = replace(_suite(1.0), models=_suite(1.0).models[:1])
    record.write(record.figures(fewer), path)
    assert record.read(path)["okay_nabu"]["instructions"] == 654_321
    assert record.read(path)[suite.BUILT_IN]["instructions"] == 1


def test_the_page_has_a_place_for_the_figures() -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == 1
    assert page.END in text.partition(report.BEGIN)[2]
