"""A change of the configuration on a twin: tried, kept, taken back, and cut off by the power anywhere."""

import json

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.flash import Cut
from cicada.tools.twin.twin import Twin
from support.configs import EXAMPLE
from support.twins import QUIET, run_script, script_flash

BOARD = load_board("twin")
#: What the program says last.
ENDS = ("KEPT", "RUNS", "REVERTED")

#: Changes what it is told, starts again, and keeps the change at its third start, as a node that reaches its
#: broker does; one that never does is told so by ``reached``.
NODE = """
import json, machine, os, time
from node import log
from node.config import Config

try:
    os.stat("/began")
except OSError:
    with open("/cicada.json", "w") as file:
        file.write(DOCUMENT)
    with open("/began", "w") as file:
        file.write("1")
    print("BEGAN")
found = Config()
ended = found.tried()
print("START", found.on_trial, found.data["plan"]["quiet_s"], found.errors)
if ended:
    print("REVERTED")
    machine.deepsleep(10000000)
if found.on_trial:
    starts = int(open("/starts").read()) if "starts" in os.listdir("/") else 0
    if REACHED and starts >= 2:
        found.keep()
        print("KEPT")
        machine.deepsleep(10000000)
    with open("/starts.tmp", "w") as file:
        file.write(str(starts + 1))
    os.rename("/starts.tmp", "/starts")
    machine.reset()
if found.data["plan"]["quiet_s"] != 7:
    found.set("plan.quiet_s", 7)
    print("SET")
    machine.reset()
print("RUNS")
machine.deepsleep(10000000)
"""


def program(reached):
    document = json.dumps(EXAMPLE | {"plan": {"quiet_s": 9}})
    return NODE.replace("DOCUMENT", repr(document)).replace("REACHED", str(reached))


def starts(text):
    return [line.split(" ", 1)[1] for line in text.replace("\r", "").splitlines() if line.startswith("START")]


def test_a_change_that_works_is_kept(tmp_path):
    twin = run_script(program(True), tmp_path, seconds=60)
    assert starts(twin.text) == ["False 9 []"] + ["True 7 []"] * 3
    assert "KEPT" in twin.text


def test_a_change_that_does_not_work_is_taken_back(tmp_path):
    twin = run_script(program(False), tmp_path, seconds=60)
    assert starts(twin.text) == ["False 9 []"] + ["True 7 []"] * 3 + ["False 9 []"]
    assert "REVERTED" in twin.text
    assert "the change is taken back: it did not work 3 times" in twin.text


@pytest.mark.parametrize("seed", range(2))
def test_the_power_may_go_at_any_flash_operation(tmp_path, seed):
    """Whatever is torn, every start has the old configuration or the new one, and it comes to an end.

    A start that the power cut causes counts as a try, too.
    """
    contents = script_flash(program(True), tmp_path)
    twin = Twin(contents, BOARD, QUIET)
    twin.flash.log = []
    twin.power_on()
    assert twin.run_until(lambda: "BEGAN" in twin.text, 30)
    first = len(twin.flash.log)
    assert twin.run_until(lambda: "KEPT" in twin.text, 30), twin.text
    last = len(twin.flash.log)
    twin.power_off()
    assert last - first > 10
    for number in range(first + seed, last, 3):
        shape = ("prefix", "bits", "byte")[number % 3]
        twin = Twin(contents, BOARD, QUIET)
        twin.cut_later([Cut(number, ("before", "inside", "after", "inside")[number % 4], shape, number)])
        twin.power_on()
        done = twin.run_until(lambda twin=twin: any(word in twin.text for word in ENDS), 60)
        twin.power_off()
        assert done and len(twin.cuts) == 1, (number, twin.text)
        assert set(starts(twin.text)) <= {"False 9 []", "True 7 []", "False 7 []"}, (number, twin.text)


def test_a_large_configuration_leaves_most_of_the_heap_alone(tmp_path):
    """Bytes are those of a 64-bit interpreter, twice the chip's."""
    text = json.dumps(EXAMPLE)
    code = f"""
import gc, machine, time
from node.config import Config
with open("/cicada.json", "w") as file:
    file.write({text!r})
checked = Config().checked
gc.collect()
before = gc.mem_alloc()
found = Config(checked)
made = gc.mem_alloc() - before
gc.collect()
print("BYTES", gc.mem_alloc() - before, made)
machine.deepsleep()
"""
    said = run_script(code, tmp_path, seconds=20).text
    kept, made = map(int, said.split("BYTES ")[1].split()[:2])
    assert kept < 2 * 5000 and made < 2 * 50000, (kept, made)
