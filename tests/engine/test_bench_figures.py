"""No figure of the engine becomes worse unseen: each is compared with the one that was recorded."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cicada.tools.bench import frontend, machine, packed, record, suite
from cicada.tools.bench.baseline import REFERENCES
from cicada.tools.errors import UserError
from cicada.training.pack import cost, pack


@pytest.fixture(scope="module")
def emulator() -> None:
    """Skip without the Debian packages; with ``CICADA_REQUIRE_SHARED=1`` (as in CI) fail instead."""
    problem = machine.available()
    if problem and os.environ.get("CICADA_REQUIRE_SHARED") == "1":
        pytest.fail(problem)
    if problem:
        pytest.skip(problem)


def check(measured: suite.Suite) -> None:
    figures = record.figures(measured)
    recorded = record.read()
    assert set(figures) <= set(recorded), "cicada bench --write records what is new"
    assert record.worse(figures, recorded) == []


def check_model(name: str, folder: Path | None = None) -> None:
    source = next(one for one in suite.sources(folder) if one[0] == name)
    measured = suite.measure_model(*source)
    check(suite.Suite((measured,), 0, 0, {}))
    check_predictions(source[2], measured.cost)


def check_predictions(model: bytes, counted: packed.Cost) -> None:
    """Within 5 % in all, and within 15 % for each kind of operator that matters."""
    made = pack(model)
    predicted: dict[str, int] = {}
    for op, kind in zip(made.program.ops, packed.blobs.about(made.blob).kinds, strict=True):
        predicted[kind] = predicted.get(kind, 0) + cost.instructions(op)
    assert sum(predicted.values()) == pytest.approx(counted.instructions, rel=0.05)
    for kind, mine in counted.kinds.items():
        assert predicted[kind] == pytest.approx(mine.instructions, rel=0.15, abs=0.005 * counted.instructions)


def test_the_front_end_and_the_runtime_cost_no_more(emulator: None) -> None:
    counts = {step: frontend.count_frontend(step) for step in suite.STEPS}
    check(suite.Suite((), packed.flash(), 0, counts))


def test_the_built_in_model_costs_no_more(emulator: None) -> None:
    check_model(suite.BUILT_IN)


@pytest.mark.parametrize("name", [reference.name for reference in REFERENCES])
def test_a_reference_model_costs_no_more(emulator: None, shared_data: Path, name: str) -> None:
    check_model(name, shared_data / "models")


def test_other_outputs_than_this_machines_are_an_error(
    emulator: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Wrong(suite.PackedModel):
        def invoke(self, values: np.ndarray) -> np.ndarray:
            return super().invoke(values) ^ 1

    monkeypatch.setattr(suite, "PackedModel", Wrong)
    with pytest.raises(UserError, match="built-in kws: inference 0 gives other outputs"):
        suite.measure_model(*next(suite.sources()))


def test_only_models_that_are_there_are_measured(tmp_path: Path) -> None:
    assert [name for name, _, _ in suite.sources(tmp_path)] == [suite.BUILT_IN]
    (tmp_path / f"{REFERENCES[2].file}.tflite").write_bytes(b"model")
    assert list(suite.sources(tmp_path))[1:] == [(REFERENCES[2].name, REFERENCES[2], b"model")]
