"""The energy planner: arithmetic by hand, agreement with the twin, the target, and what it says."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from types import ModuleType

import pytest

from cicada.tools.board import load_board
from cicada.tools.errors import UserError
from cicada.tools.node.device import check
from cicada.tools.plan.assumptions import Assumptions
from cicada.tools.plan.batteries import BATTERIES, battery
from cicada.tools.plan.budget import DAY, budget
from cicada.tools.plan.commands import add_parser
from cicada.tools.plan.presets import presets
from cicada.tools.plan.verify import comparable, verify
from cicada.tools.vibration import instructions
from support import piped

BARE = Assumptions(wakes=0, events=0, python_ms=0, script_ms=0, records=0)
VIBRATION = presets()["vibration, 1 s every 10 min"]


def complete(document):
    config, errors = check(document)
    assert errors == []
    return config


def changed(document, **plan):
    return complete({**document, "plan": {**document["plan"], **plan}})


def command(*words):
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    options = parser.parse_args(["plan", *map(str, words)])
    return options.run(options)


def esp32(**changes):
    board = ModuleType("esp32")
    board.__dict__.update(vars(load_board("esp32")))
    board.__dict__.update(changes)
    return board


def test_a_sleep_without_wakes_draws_what_sleeps():
    config = complete(
        {"schema": 1, "plan": {"kind": "event", "every_s": 86_400, "wake": []}, "pipelines": []}
    )
    made = budget(config, esp32(BOOT_MS=0), BARE)
    # Deep sleep 10 uA, INMP441 powered down 4.5 uA.
    assert made.average_ma == pytest.approx(0.0145)


def test_boots_cost_their_time_at_full_current():
    config = changed(VIBRATION, every_s=60)
    made = budget(config, esp32(), BARE)
    # 1440 a day, 0.5 s each, 68 mA, and beside it 4.5 uA and 0.1 uA of the sensors.
    assert made.charges["boot"] == pytest.approx(1440 * 0.5 * (68 + 0.0046))
    assert made.cycles == 1440


def test_the_regulator_and_its_share_are_counted():
    config = changed(VIBRATION)
    without = budget(config, esp32(), BARE)
    with_one = budget(config, esp32(REGULATOR_MA=0.06), BARE)
    assert with_one.average_ma - without.average_ma == pytest.approx(0.06)


def test_time_adds_up_to_a_day():
    made = budget(changed(VIBRATION), esp32(), Assumptions())
    assert sum(phase.seconds for phase in made.cycle) * made.cycles == pytest.approx(DAY)


def test_the_target_holds_and_two_years_on_two_lithium_cells():
    """With every default assumption: Python's start, two events and a health report a day."""
    made = budget(changed(VIBRATION), load_board("esp32"), Assumptions())
    assert made.average_ma < 0.150
    assert battery("2aa-lithium").hours(made.average_ma) > 2 * 8760
    assert any("Starting up" in note for note in made.notes)
    # Alkaline cells do not: said here, so that nobody believes it.
    assert 1.3 * 8760 < battery("2aa-alkaline").hours(made.average_ma) < 2 * 8760


@pytest.mark.parametrize("title", presets())
def test_the_application_on_the_twin_agrees(title):
    """Two cycles of each plan: by the clock, by sounds and by knocks 20 times a day, and for ever."""
    found = verify(complete(presets()[title]), load_board("esp32"), Assumptions())
    assert found.wakes == (0 if title == "always listening" else 2)
    assert abs(found.off) < 0.05, found
    assert found.holds


def test_a_wrong_budget_would_be_found():
    """The comparison can fail: with half of the boot time forgotten it does."""
    config = changed(VIBRATION)
    found = verify(config, load_board("esp32"), Assumptions(), cycles=2)
    short = comparable(config, esp32(BOOT_MS=250), Assumptions()).average_ma
    assert not replace(found, planned_ma=short).holds


def test_a_built_in_model_brings_its_own_windows(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "shaking.cmod").write_bytes(piped.shaking(envelope=24))
    monkeypatch.setattr("cicada.tools.plan.budget.FIRMWARE", tmp_path)
    config = changed(VIBRATION)
    config["pipelines"][0] |= {"model": "shaking", "samples": 1024}
    board = load_board("esp32")
    cycles = instructions(256, 16, 3, 24) * board.CYCLES["per_instruction"]
    windows = config["sensors"][0]["rate_hz"] * config["plan"]["for_ms"] / 1000 // 256
    current = board.POWER["cpu_busy"]
    charge = budget(config, board, BARE).charges["features"] / (DAY / config["plan"]["every_s"])
    assert charge == pytest.approx(windows * cycles / board.CPU_HZ * current, rel=0.1)


def test_other_boards_figures_count():
    config = changed(VIBRATION)
    currents = {name: budget(config, load_board(name), BARE).average_ma for name in ("esp32", "esp32c3")}
    assert currents["esp32c3"] < currents["esp32"]
    c3 = complete(presets("esp32c3")["vibration, 1 s every 10 min"])
    found = verify(c3, load_board("esp32c3"), Assumptions())
    assert found.holds and found.twin_ma < 0.06


def test_listening_is_ordered_as_one_expects():
    board = load_board("esp32")
    made = {title: budget(complete(document), board, Assumptions()) for title, document in presets().items()}
    titles = list(made)
    currents = [made[title].average_ma for title in titles]
    assert currents[0] > currents[1] > 50 * currents[3] > currents[2]
    # Always listening: between the idle and the busy current.
    assert 32 < currents[0] < 70
    assert {"ULP", "ULP: ADC", "analog microphone"} <= set(made["woken by sound"].charges)
    assert "accelerometer waiting" in made["woken by motion"].charges


@pytest.mark.parametrize("name", BATTERIES)
def test_batteries_give_less_than_their_cells_and_lose_some(name):
    cell = BATTERIES[name]
    assert cell.mah_at_3v3 < cell.mah * cell.volts / 3.3
    assert cell.hours(1e-9) == pytest.approx(8760 / cell.self_discharge, rel=1e-3)
    assert cell.hours(0.1) < cell.mah_at_3v3 / 0.1


def test_the_li_ion_cell_is_the_boards():
    # The report's estimate and the planner's agree for the same current, but for the self-discharge.
    board, cell = load_board("esp32"), battery("li-ion")
    assert cell.mah == board.BATTERY["mah"] and cell.usable == board.BATTERY["usable"]
    assert cell.mah_at_3v3 == pytest.approx(2000 * 0.8, rel=0.01)


def test_the_command_prints_table_life_and_assumptions(tmp_path, capsys):
    path = tmp_path / "vib.json"
    path.write_text(json.dumps(VIBRATION))
    picture = tmp_path / "plan.png"
    assert command(path, "--png", picture) == 0
    said = capsys.readouterr().out
    assert "2.0 years" in said and "boot" in said and "python 100 ms" in said
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_all_plans_side_by_side_say_what_a_board_cannot(capsys):
    assert command("--all", "--board", "esp32c3") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "always listening" in said and "not on this board" in said


@pytest.mark.parametrize(
    ("words", "says"),
    [((), "no configuration"), (("x.json",), "x.json"), (("--all", "--battery", "potato"), "2aa-lithium")],
)
def test_what_is_missing_is_said(words, says):
    with pytest.raises(UserError, match=says):
        command(*words)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"pipelines": [{"name": "a", "kind": "keyword", "model": "none"}]}, "model 'none' is not in"),
        ({"sensors": [{"name": "t", "kind": "ds18b20", "pin": 4}], "pipelines": []}, "no ds18b20 is wired"),
        ({"plan": {"kind": "event", "wake": [{"on": "button"}]}}, "nothing here wakes this plan"),
    ],
)
def test_what_cannot_be_run_on_the_twin_is_said(changes, says):
    with pytest.raises(UserError, match=says):
        verify(complete({"schema": 1, **changes}), load_board("esp32"), Assumptions())


def test_a_node_that_does_not_work_as_planned_is_no_proof():
    """A sensor that is on no bus: the node would sleep well, and nothing would be measured."""
    board = load_board("esp32")
    board.SPI = None
    with pytest.raises(UserError, match="did not run"):
        verify(complete(VIBRATION), board, Assumptions())
