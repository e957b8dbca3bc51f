"""A simulated week of the application: nothing important lost, energy within plan, no reset unexplained.

A day with the same story runs with all other tests; ``CICADA_WEEK=7`` (``make week``) runs the whole week.
Either leaves a picture and the console in ``build/week``.
"""

from __future__ import annotations

import itertools
import os

import pytest
from rich.console import Console

from cicada.tools.paths import BUILD
from cicada.tools.plan.verify import LIMIT
from cicada.tools.twin.chip import DEEPSLEEP_RESET, PWRON_RESET
from support.week import ledger, running, scene, shown
from support.week.scene import Week

#: What runs with all other tests.
SHORT = Week(days=1.0, faint=300, knocks=50, words=25, every_s=2400)
WHOLE = Week()

pytestmark = pytest.mark.timeout(7200)


@pytest.fixture(scope="module")
def lived(tmp_path_factory):
    """The week, lived once."""
    whole = os.environ.get("CICADA_WEEK") == "7"
    found = running.live(WHOLE if whole else SHORT, tmp_path_factory.mktemp("week"))
    folder = BUILD / "week"
    shown.picture(found, folder / ("week.png" if whole else "day.png"))
    (folder / "console.txt").write_text(found.text)
    shown.table(found, Console(width=110))
    return found


@pytest.fixture(scope="module")
def delivered(lived):
    """What the subscriber got."""
    return ledger.delivered(lived)


def test_everything_that_was_to_go_wrong_did(lived):
    assert set(lived.injected) == {"power gone", "torn write", "torn session"}
    assert "no such network in reach" in lived.text
    states = [event["state"] for _, event in lived.events if event["event"] == "battery"]
    assert states == ["low"]


def test_every_important_event_is_delivered_once_and_in_order(lived, delivered):
    """What the node says on its console is the truth; but for the one event during whose write the power
    went, which may be lost."""
    reported = [event for _, event in ledger.reported(lived)]
    arrived = ledger.important(delivered)
    if arrived != reported:
        reported.remove(ledger.torn(lived))
    assert arrived == reported
    assert len(arrived) > len(lived.spoken) / 2


def test_what_comes_twice_has_the_same_id_and_contents(delivered):
    assert delivered.changed == []
    # Twice comes what a session had sent when the power went, or the broker: a window at most.
    assert delivered.again <= 8


def test_records_come_in_the_order_of_their_ids_and_the_outbox_was_made_once(delivered):
    (sequence,) = ledger.numbers(delivered).values()
    assert sequence == sorted(sequence)
    health = ledger.health(delivered)
    assert len(health) >= 3 and {record["dropped"] for record in health} == {0}
    # A torn record's number is not used again; every other one came, up to the last.
    missing = set(range(sequence[0], sequence[-1] + 1)) - set(sequence)
    assert len(missing) <= 2


def test_words_are_understood_as_by_a_node_that_always_listens(lived):
    """What its model does not understand of these voices anyway is not the week's fault."""
    assert len(lived.clear) >= 0.8 * scene.VOICES * len(scene.WORDS)
    said = ledger.understood(lived, clear=True)
    assert sum(ok for *_, ok in said) >= 0.85 * len(said) and len(said) >= 10
    assert ledger.imagined(lived) <= 0.02 * lived.week.sounds


def test_the_machine_that_breaks_raises_one_alarm(lived):
    breaks = lived.week.at(scene.MACHINE_BREAKS)
    anomalies = [at for at, event in lived.events if event.get("state") == "anomaly"]
    alarms = [(at, event) for at, event in lived.events if event["event"] == "alarm"]
    assert len(anomalies) == 1 and len(alarms) == 1
    assert breaks < anomalies[0] <= alarms[0][0] < breaks + 4 * lived.week.every_s
    assert alarms[0][1]["source"] == "bearing" and alarms[0][1]["priority"] == "high"


def test_the_new_model_is_confirmed_and_hears_from_then_on(lived, delivered):
    results = [(at, event) for at, event in lived.events if event["event"] == "update"]
    assert [(event["kind"], event["result"]) for _, event in results] == [("model", "confirmed")]
    by = {(at > results[0][0], version) for at, version in ledger.versions(lived)}
    assert len(by) == 2 and (True, "2") in by and (False, "2") not in by
    assert [record["result"] for record in delivered.records if record["kind"] == "update"] == ["confirmed"]


def test_every_reset_is_explained(lived, delivered):
    causes = ledger.causes(lived)
    injected = sorted(lived.injected.values())
    assert causes == {PWRON_RESET: 1 + len(injected), DEEPSLEEP_RESET: lived.wakes}
    power = [at for at, cause in lived.resets if cause == PWRON_RESET][1:]
    assert all(0 < at - gone < 31 for at, gone in zip(power, injected, strict=True))
    assert sum(ledger.woken_by(lived).values()) == lived.wakes
    last = ledger.health(delivered)[-1]["resets"]
    assert last == {"power": 1 + len(injected), "hard": 0, "watchdog": 0, "soft": 0, "planned": 0}
    assert "Traceback" not in lived.text


def test_the_timer_and_the_knocks_woke_it_and_faint_sounds_did_not(lived):
    woken = ledger.woken_by(lived)
    assert set(woken) == {"timer", "sound"}
    assert woken["sound"] <= lived.week.knocks + lived.week.words
    assert woken["sound"] >= 0.9 * lived.week.knocks
    assert woken["timer"] >= 0.9 * lived.week.seconds / lived.week.every_s


def test_energy_is_within_plan(lived):
    spent = ledger.spent(lived)
    assert abs(spent.off) <= LIMIT, spent
    told = [record["battery_mv"] for record in ledger.health(ledger.delivered(lived))]
    assert all(earlier >= later - 20 for earlier, later in itertools.pairwise(told))
