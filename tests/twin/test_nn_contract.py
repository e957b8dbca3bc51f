"""The twin's ``nn`` keeps the contract of ``firmware/modules/nn.pyi``: same names, same arguments."""

import ast
import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.paths import BOARDS, FIRMWARE
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from support.slots import SLOTS
from support.twins import QUIET, blob, loud, run_script, script_flash


def shape(path):
    """Public functions and classes of a source file: names, argument names, attributes."""
    found = {}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = arguments(node)
        elif isinstance(node, ast.ClassDef):
            members = {}
            for item in ast.walk(node):
                if isinstance(item, ast.FunctionDef):
                    members[item.name] = arguments(item)
                elif isinstance(item, ast.AnnAssign):
                    members[item.target.id] = None
                elif isinstance(item, ast.Assign):
                    for target in item.targets:
                        if isinstance(target, ast.Attribute):
                            members[target.attr] = None
            found[node.name] = {name: args for name, args in members.items() if public(name)}
    return {name: value for name, value in found.items() if public(name)}


def arguments(function):
    return [a.arg for a in function.args.posonlyargs + function.args.args]


def public(name):
    return not name.startswith("_") or name == "__init__"


def test_shim_and_contract_agree():
    assert shape(BOARDS / "twin" / "lib" / "nn.py") == shape(FIRMWARE / "modules" / "nn.pyi")


@pytest.fixture
def run(tmp_path):
    def run(code):
        code = "import nn\n" + code + "\nimport machine\nmachine.deepsleep()\n"
        return run_script(code, tmp_path, Sound([loud(0.6)], 5), 30, {"kws": blob()}).text

    return run


def test_builtin_models_are_listed_and_missing_ones_refused(run):
    text = run(
        "print(nn.builtins(), len(nn.builtin('kws')))\n"
        "try:\n    nn.builtin('x')\nexcept ValueError as e:\n    print('refused:', e)\n"
    )
    assert f"('kws',) {len(blob())}" in text and "refused: no model 'x'" in text


@pytest.mark.parametrize("arguments", ["15, 49", "20, 0", "20, 256"])
def test_front_end_refuses_other_settings(arguments, run):
    text = run(
        f"try:\n    nn.AudioFrontEnd({arguments})\nexcept ValueError as e:\n    print('refused:', e)\n"
    )
    assert "refused:" in text


def test_front_end_takes_any_number_of_samples_and_resets(run):
    text = run(
        "f = nn.AudioFrontEnd(20, 3)\nw = f.window\n"
        "print(f.feed(bytes(2)), f.feed(bytes(958)), f.feed(bytes(640 * 4)), len(w), w is f.window)\n"
        "f.reset()\nprint(set(w) == {-128}, f.feed(bytes(958)))\n"
        "try:\n    f.feed(bytes(3))\nexcept ValueError as e:\n    print('refused:', e)\n"
    )
    assert "0 1 4 120 True" in text and "True 0" in text and "refused: samples have 2 bytes" in text


def test_model_refuses_input_of_the_wrong_size_and_noise(run):
    text = run(
        "from node.model import split\n_, d = split(nn.builtin('kws'))\nm = nn.Model(d)\n"
        "print(m.input_shape, m.output_shape, m.output_scale, m.output_zero_point, m.size == len(d))\n"
        "out = m.invoke(bytes(1960))\nprint(min(out) >= -128, m.invoke(bytes(1960)) is out, len(out))\n"
        "for bad in (lambda: m.invoke(bytes(10)), lambda: nn.Model(b'no model at all')):\n"
        "    try:\n        bad()\n    except ValueError as e:\n        print('refused:', e)\n"
        "m.state_reset()\n"
    )
    assert "(1, 49, 40, 1) (1, 4) 0.00390625 -128 True" in text
    assert "True True 4" in text
    assert text.count("refused:") == 2


def test_model_closes_and_keeps_to_a_given_arena(run):
    text = run(
        "from node.model import split\n_, d = split(nn.builtin('kws'))\n"
        "with nn.Model(d, arena_size=60000) as m:\n    out = m.invoke(bytes(1960))\n    print(m.arena_size)\n"
        "m.deinit()\nprint(len(out))\n"
        "for f in (lambda: m.invoke(bytes(1960)), m.state_reset, lambda: nn.Model(d, arena_size=2000)):\n"
        "    try:\n        f()\n    except Exception as e:\n        print(type(e).__name__, e)\n"
    )
    assert "60000\r\n4\r\n" in text or "60000\n4\n" in text
    assert text.count("ValueError model: it was closed") == 2
    assert "MemoryError model: arena_size 2000 is too small, it needs " in text


SEEN = """
import esp32, gc, machine, nn
if machine.reset_cause() == machine.HARD_RESET:
    print('again')
    machine.deepsleep()
outbox = esp32.Partition('outbox')
nn.map_partition('nvs')
gc.collect()
free = gc.mem_free()
q = nn.map_partition('outbox')
print('heap', free - gc.mem_free())
print('length', len(q), len(nn.map_partition('otadata')), q[0])
outbox.writeblocks(0, b'\\x05' * 4096)
print('written', q[0], q[4095], q[4096])
outbox.ioctl(6, 0)
print('erased', bytes(q[:4]))
try:
    nn.map_partition('ota_0')
except ValueError as e:
    print(e)
q[8] = 0
print('on it went')
"""


def test_partition_is_seen_where_it_lies_and_cannot_be_written_to(tmp_path):
    twin = run_script(SEEN, tmp_path)
    text = twin.text.replace("\r\n", "\n")
    assert int(re.search(r"heap (-?\d+)\n", text)[1]) < 2000
    assert f"length {SLOTS['outbox'].size} 8192 255\n" in text
    assert "written 5 5 255\n" in text and "erased b'\\xff\\xff\\xff\\xff'\n" in text
    assert "no data partition 'ota_0'\n" in text
    assert "Guru Meditation Error" in text and "on it went" not in text and "again\n" in text
    assert twin.flash.read(SLOTS["outbox"].offset, 4096) == b"\xff" * 4096
    assert [cause for _, cause in twin.resets] == [1, 2]


def test_a_mapped_partition_counts_as_looked_at(tmp_path):
    looked = []
    twin = Twin(
        script_flash(
            "import nn\nnn.map_partition('model_1')\n" + "import machine\nmachine.deepsleep()\n", tmp_path
        ),
        load_board("twin"),
        QUIET,
    )
    twin.flash.on_read = lambda at, count: looked.append((at, count))
    twin.run(5)
    assert (SLOTS["model_1"].offset, SLOTS["model_1"].size) in looked
