"""The real updater: scenarios are what they say, and a few cases of some of them."""

from functools import partial

import pytest

from cicada.tools.errors import UserError
from cicada.tools.powercut import faults, models
from cicada.tools.powercut.builder import Builder
from cicada.tools.powercut.campaign import golden, sample
from cicada.tools.powercut.explore import Explorer
from cicada.tools.powercut.images import Change, firmware
from cicada.tools.powercut.pool import Here
from cicada.tools.powercut.replay import replay
from cicada.tools.powercut.scenario import Scenario, open_scenario
from cicada.tools.powercut.scenarios import SCENARIOS
from cicada.tools.release import identity
from cicada.tools.tflm import Interpreter


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return Builder(tmp_path_factory.mktemp("powercut"), SCENARIOS)


@pytest.fixture(scope="module")
def pool(builder):
    return Here(partial(open_scenario, str(builder.folder)))


@pytest.mark.parametrize("name", ["firmware-delta", "model-upgrade", "refuse-floor", "model-bad-crash"])
def test_without_an_interruption_it_ends_as_it_should(builder, pool, name):
    explorer = Explorer(builder.build(name))
    result = golden(explorer, pool)
    assert explorer.count.failures == [] and result.verdict.result == "completed"


def test_a_sample_of_every_kind_of_case_is_good(builder, pool):
    explorer = Explorer(builder.build("model-first"))
    sample(explorer, pool, 20, 1, lambda count: None, partial(faults.extra, explorer))
    count = explorer.count
    assert count.failures == [] and count.others == 2 and count.states[1] and count.states[2]


def test_a_planted_fault_is_found(tmp_path):
    """A confirmation without a trial: a model that crashes is kept."""
    change = Change("node/updates/models.py", "_ATTEMPTS = const(3)", "_ATTEMPTS = const(99)")
    builder = Builder(tmp_path, SCENARIOS, [change])
    explorer = Explorer(builder.build("model-bad-crash"))
    golden(explorer, Here(partial(open_scenario, str(tmp_path))))
    # It crashes until it is in safe mode, where it sleeps and looks for a cure.
    assert explorer.count.failures and "no end within" in explorer.count.failures[0][1]


def test_rot_and_network_cases_can_be_replayed(builder, pool):
    explorer = Explorer(builder.build("model-first"))
    first = golden(explorer, pool)
    setting, _ = open_scenario(str(builder.folder), "model-first")
    for name in ("net:truncate:512,wrong-range", next(faults.rot(explorer, first)).path[0]):
        case = faults.named(explorer, first, name)
        result = replay(explorer, setting, (name,), lambda text: None, case)
        assert result.verdict.result in ("completed", "residual"), (name, result.verdict)
    with pytest.raises(UserError, match="no case is called"):
        faults.named(explorer, first, "moon:full")


def test_a_scenario_survives_the_disk(builder):
    scenario = builder.build("model-first")
    again = Scenario.load(builder.folder / "model-first")
    assert again == scenario and again.roots[0].is_dir() and len(again.flash) == 4 << 20


def test_images_are_the_application_with_changes():
    same = firmware("1.2.3", 5, {})
    who = identity.read(same.data)
    assert (who.version, who.security, who.board) == ("1.2.3", 5, "twin")
    other = firmware("1.2.3", 5, {}, [Change("main.py", "import sys\n", "import sys\n\nprint(1)\n")])
    assert other.data != same.data and firmware("1.2.3", 5, {}).data == same.data
    with pytest.raises(UserError, match="0 times in firmware/app/main.py, not once"):
        firmware("1", 0, {}, [Change("main.py", "nowhere", "")])
    with pytest.raises(UserError, match="no file firmware/app/none.py"):
        firmware("1", 0, {}, [Change("none.py", "", "")])


def test_tiny_models_are_real_and_differ():
    one, two = Interpreter(models.tflite(1)), Interpreter(models.tflite(2))
    assert one.input["shape"] == (1, 49, 40, 1) or list(one.input["shape"]) == [1, 49, 40, 1]
    assert models.tflite(1) != models.tflite(2) and len(models.contained(1)) < 10_000
    assert one.macs == two.macs > 0
