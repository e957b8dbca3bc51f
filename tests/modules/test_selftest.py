"""``node.selftest`` over the C module ``nn``: the application's code, the module's memory and buffers."""

from __future__ import annotations

import numpy as np
from modules import nn_models

from cicada.tools.paths import FIRMWARE
from cicada.training import selftest

SOURCE = (FIRMWARE / "app" / "node" / "selftest.py").read_text()
SEED = b"\0\1\2\3"
#: More values than one SHA-256 has bytes, and not a multiple of them.
SHAPE = (5, 9)


def run(interpreter, *, flip: int | None = None) -> str:
    weights = np.random.default_rng(3).integers(-128, 128, 45).astype(np.int8)
    # The state of this engine counts its runs: a test that does not reset it gives other sums.
    output = nn_models.run(selftest.features(SEED, 45), weights, 3)
    if flip is not None:
        weights[flip] ^= 1
    model = nn_models.model(SHAPE, (3,), weights=weights.tolist())
    code = f"""
    import nn
    from selftest import check
    with nn.Model(bytes(bytearray(nn.map_partition("model")))) as model:
        model.invoke(bytes(45))
        for _ in range(2):
            try:
                print(check({{"selftest": {{"seed": {SEED.hex()!r}, "output": {output}}}}}, model))
            except ValueError as e:
                print(e)
    """
    return interpreter.run(code, modules={"selftest": SOURCE}, partitions={"model": model})


def test_the_right_model_passes_each_time(interpreter) -> None:
    assert run(interpreter) == "True\nTrue\n"


def test_one_flipped_bit_of_any_weight_fails(interpreter) -> None:
    values = selftest.features(SEED, 45)
    for flip in (0, 17, 44):
        assert values[flip] != 0, "a weight that is multiplied by 0 would not matter"
        lines = run(interpreter, flip=flip).splitlines()
        assert len(lines) == 2 and all(line.startswith("model: self-test gave ") for line in lines)
