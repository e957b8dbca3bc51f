"""The device's self-test of a model, under MicroPython and in the twin."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest

from cicada.tools.tflm import Interpreter
from cicada.training import container, selftest
from support.twins import micropython, run_script
from support.weights import BUILT_IN, built_in, contained, damaged, weights

SHAPE = (1, 7, 9, 1)
#: A model whose output is the hash of what went in, and that counts its runs since it was reset.
FAKE = f"""
import hashlib, json
from node.selftest import check
class Model:
    input_shape = {SHAPE}
    runs = 5
    def state_reset(self): self.runs = 0
    def invoke(self, features):
        self.runs += 1
        return memoryview(hashlib.sha256(bytes(features) + bytes([self.runs])).digest())
model = Model()
"""


def right(seed: bytes) -> list[int]:
    """What the model above says to the input of ``seed`` in its first run."""
    return list(hashlib.sha256(selftest.features(seed, 63).tobytes() + b"\1").digest())


def test_the_input_is_the_training_sides() -> None:
    seeds = [random.Random(n).randbytes(4) for n in range(20)]
    vectors = [{"seed": seed.hex(), "output": right(seed)} for seed in seeds]
    code = FAKE + (
        f"for v in json.loads('''{json.dumps(vectors)}'''):\n"
        "    print(check({'selftest': v}, model), model.runs)\n"
    )
    assert micropython(code) == "True 0\n" * 20


def test_another_output_and_an_unreadable_test_are_refused() -> None:
    good = {"seed": "01020304", "output": right(b"\1\2\3\4")}
    off = [*good["output"][:-1], good["output"][-1] ^ 1]
    cases = [
        good | {"output": off},
        good | {"output": good["output"][:-1]},
        good | {"output": []},
        good | {"seed": "01020305"},
        good | {"seed": "0102030"},
        good | {"seed": "0102030g"},
        good | {"seed": 5},
        good | {"output": 5},
        {"seed": good["seed"]},
        [],
        7,
    ]
    code = FAKE + (
        f"for v in json.loads('''{json.dumps(cases)}'''):\n    try:\n"
        "        print(check({'selftest': v}, model))\n"
        "    except ValueError as e:\n        print(str(e)[:23])\n"
    )
    lines = micropython(code).splitlines()
    assert len(lines) == len(cases)
    assert all(line == "model: self-test gave [" for line in lines[:4]), lines
    assert lines[4:] == ["model: its self-test ca"] * 7


def test_a_model_without_one_is_not_judged() -> None:
    assert micropython(FAKE + "print(check({}, None))") == "False\n"


SCRIPT = """
import nn
from node.model import open_model
from node.selftest import check
for name in nn.builtins():
    try:
        print(name, check(*open_model(nn.builtin(name))))
    except ValueError as e:
        print(name, e)
import machine
machine.deepsleep()
"""


@pytest.fixture(scope="module")
def twin_says(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the twin says to the built-in model, to one without a self-test, and to damaged ones."""
    about, model = container.unpack(BUILT_IN)
    bare = {key: value for key, value in about.items() if key != "selftest"}
    x = selftest.features(bytes.fromhex(about["selftest"]["seed"]), 1960)
    models = {"right": BUILT_IN, "bare": container.pack(bare, bytes(model))}
    choose = random.Random(2)
    for number, layer in enumerate(weights(built_in())):
        # In some layers a single weight may not matter: take one that does.
        while True:
            bad = damaged(built_in(), choose.choice(layer))
            if Interpreter(bad).invoke(x).tolist() != about["selftest"]["output"]:
                break
        models[f"bad{number}"] = contained(about, bad)
    folder: Path = tmp_path_factory.mktemp("selftest")
    twin = run_script(SCRIPT, folder, models=models)
    said = dict(line.split(" ", 1) for _, line in twin.lines if line.split(" ")[0] in models)
    assert len(said) == len(models)
    return said


def test_the_built_in_model_passes_in_the_twin(twin_says: dict[str, str]) -> None:
    assert twin_says["right"] == "True" and twin_says["bare"] == "False"


def test_a_flipped_weight_of_any_layer_fails_in_the_twin(twin_says: dict[str, str]) -> None:
    bad = [said for name, said in twin_says.items() if name.startswith("bad")]
    expected = json.dumps(container.unpack(BUILT_IN)[0]["selftest"]["output"])
    assert len(bad) == len(weights(built_in()))
    assert all(said.startswith("model: self-test gave [") and said.endswith(expected) for said in bad), bad
