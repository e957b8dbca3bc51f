"""Seeded bugs: each can still be planted, and some are caught; ``cicada powercut --mutants`` hunts all."""

import pytest

from cicada.tools.errors import UserError
from cicada.tools.paths import FIRMWARE
from cicada.tools.powercut import places, seeded
from cicada.tools.powercut.builder import Builder
from cicada.tools.powercut.mutant import Mutant
from cicada.tools.powercut.mutants import MUTANTS
from cicada.tools.powercut.scenarios import SCENARIOS
from cicada.tools.twin import boot, ota


@pytest.mark.parametrize("name", MUTANTS)
def test_a_seeded_bug_fits_the_updater_as_it_is(name):
    mutant, texts = MUTANTS[name], {}
    assert bool(mutant.changes) != bool(mutant.boot) and mutant.wrong.endswith(".")
    assert {mutant.first.partition("/")[0], *mutant.scenarios} <= set(SCENARIOS)
    for change in mutant.changes:
        text = texts.get(change.file) or (FIRMWARE / "app" / change.file).read_text()
        assert text.count(change.old) == 1, (change.file, change.old)
        texts[change.file] = text.replace(change.old, change.new)
        compile(texts[change.file], change.file, "exec")


def test_there_are_enough_of_them():
    assert len(MUTANTS) >= 65


def test_a_boot_choice_is_changed_only_while_it_is_planted():
    before = boot._rewrite, boot._try, boot.otadata, boot.appimage, ota.otadata, ota.next_update
    for mutant in MUTANTS.values():
        with mutant.planted():
            now = boot._rewrite, boot._try, boot.otadata, boot.appimage, ota.otadata, ota.next_update
            marked = ota.mark_valid.__name__ == "<lambda>"
            assert (now != before or marked) == bool(mutant.boot)
        assert (boot._rewrite, boot._try, boot.otadata, boot.appimage, ota.otadata, ota.next_update) == before


@pytest.mark.parametrize(
    "name",
    [
        "signature-unchecked",
        "model-floor-after-decision",
        "single-copies",
        "confirming-left-out",
        "boot-unverified",
    ],
)
def test_a_seeded_bug_is_caught(name):
    found = seeded.catch(MUTANTS[name])
    assert found.kill == MUTANTS[name].first and found.why and found.cases <= 3


def test_what_is_no_bug_is_not_caught(monkeypatch):
    """The cases that catch others find nothing wrong with the updater as it is."""
    monkeypatch.setattr(seeded._Hunt, "search", lambda self: iter(()))
    harmless = Mutant(
        "none", "Nothing.", scenarios=("model-downgrade",), kill=MUTANTS["model-floor-after-decision"].kill
    )
    found = seeded.catch(harmless)
    assert found.kill == "" and found.cases == 2


def test_names_of_cases_last(tmp_path):
    hunt = seeded._Hunt(Builder(tmp_path, SCENARIOS), "model-first")
    first, explorer = hunt.first, hunt.explorer
    named = dict(places.places(explorer, first))
    assert len(named) == explorer.count.operations and len(set(named.values())) == len(named)
    assert {"otadata:erase#1", "updates:STAGED#1", "updates:DECIDED#2", "model_0:program#1"} <= set(
        named.values()
    )
    for case in list(explorer.cut(first, True))[::97]:
        name = places.name_of_cut(explorer, first, case.path[0])
        again = places.cut_at(explorer, first, name)
        assert again is None or again.path == case.path  # None: another one led to the same state
    rotten = dict(places.rotten(explorer, first))
    assert rotten["rot-after:updates:ACTIVE#1"].kind == "rot"
    assert places.fault(explorer, first, "net:500").path == ("net:500",)
    assert (
        hunt.named(["updates:TRIAL#9:after"]) is None
        and places.fault(explorer, first, "rot-after:x#1") is None
    )


def test_an_unknown_seeded_bug_is_an_error():
    with pytest.raises(UserError, match="no seeded bug 'x'"):
        seeded.report(["x"], 1)
