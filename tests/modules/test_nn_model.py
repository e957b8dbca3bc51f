"""``nn.Model``: what it says, what it computes, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from modules.nn_models import FAILS, GUESSES, LIES, THIRSTY, aligned, model, run


def refusal(interpreter, statement, setup=""):
    """Name and text of what ``statement`` raises."""
    script = [
        "import nn",
        setup,
        "try:",
        f" {statement}",
        "except Exception as e:",
        " print(type(e).__name__, e)",
    ]
    return interpreter.run("\n".join(script)).strip()


def test_model_describes_itself(interpreter):
    blob = model((1, 2, 3, 4), (1, 5))
    script = f"""
        import nn
        m = nn.Model({aligned(blob)})
        print(m.engine, m.size, m.arena_size, m.input_shape, m.output_shape)
        print(m.input_scale, m.input_zero_point, m.output_scale, m.output_zero_point)
        print(hasattr(m, 'rank'), isinstance(m, nn.Model))
    """
    assert interpreter.run(script).splitlines() == [
        f"test {len(blob)} 48 (1, 2, 3, 4) (1, 5)",
        "0.5 -3 0.25 7",
        "False True",
    ]


def test_model_computes_what_its_engine_does(interpreter):
    rng = np.random.default_rng(11)
    weights, features = rng.integers(-128, 128, 60), rng.integers(-128, 128, (4, 60))
    script = f"""
        import nn
        m = nn.Model({aligned(model((3, 20), (7,), weights=weights))})
        f = memoryview({features.astype(np.int8).tobytes()!r})
        for i in range(4):
            print(list(m.invoke(f[60 * i:60 * i + 60])))
        m.state_reset()
        print(list(m.invoke(f[:60])))
    """
    wanted = [run(features[i], weights, 7, before=i) for i in range(4)] + [run(features[0], weights, 7)]
    assert interpreter.run(script).splitlines() == [str(out) for out in wanted]


@pytest.mark.parametrize(
    "features", ["bytearray(6)", "array.array('b', [0] * 6)", "array.array('h', [0] * 3)"]
)
def test_features_come_by_the_buffer_protocol(features, interpreter):
    script = f"import nn, array\nprint(list(nn.Model({aligned(model())}).invoke({features})))\n"
    assert interpreter.run(script) == "[0, 0]\n"


def test_output_is_one_buffer_for_life_and_read_only(interpreter):
    script = f"""
        import nn, uctypes
        m = nn.Model({aligned(model())})
        a = m.invoke(bytes(6))
        at = uctypes.addressof(a)
        b = m.invoke(bytes(range(1, 7)))
        print(a is b, uctypes.addressof(b) == at, list(a), len(a))
        try:
            a[0] = 1
        except TypeError:
            print('read-only')
    """
    assert interpreter.run(script) == "True True [10, 13] 2\nread-only\n"


def test_model_runs_without_allocating(interpreter):
    script = f"""
        import nn, micropython
        m = nn.Model({aligned(model())})
        x = bytes(6)
        n = out = 0
        micropython.heap_lock()
        while n < 50:
            m.invoke(x)
            n += 1
        m.state_reset()
        out = m.invoke(x)
        micropython.heap_unlock()
        print(n, list(out))
    """
    assert interpreter.run(script) == "50 [0, 0]\n"


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "no format that an engine of this firmware knows"),
        (b"no model at all", "no format that an engine of this firmware knows"),
        (b"CMOD" + bytes(60), "a container, open it with node.model first"),
        (b"\x1c\0\0\0TFL3" + bytes(60), "a TensorFlow Lite model, and this firmware was built without TFLM"),
        (b"TEST", "a test model of another version"),
        (model(version=2), "a test model of another version"),
        (model((2, 0)), "a dimension out of bounds"),
        (model(weights=[1] * 5), "5 weights for 6 inputs"),
        (model(flags=LIES | GUESSES, scratch=99), "its engine does not know how much memory it needs"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_model_that_cannot_be_loaded_is_a_value_error_with_the_reason(blob, reason, interpreter):
    assert refusal(interpreter, f"nn.Model({aligned(blob)})") == f"ValueError model: {reason}"


def test_model_at_an_odd_address_is_refused_until_copied(interpreter):
    setup = f"b = memoryview(bytearray(4) + {model()!r})[4:]"
    reason = "its bytes must lie at an address divisible by 16, copy them with bytes()"
    assert refusal(interpreter, "nn.Model(b)", setup) == f"ValueError model: {reason}"
    assert refusal(interpreter, "print(nn.Model(bytes(b)).size)", setup) == str(len(model()))


@pytest.mark.parametrize("features", ["bytes(5)", "bytes(7)", "b''", "array.array('h', [0] * 6)"])
def test_features_of_another_size_are_refused(features, interpreter):
    setup = f"import array\nm = nn.Model({aligned(model())})"
    text = refusal(interpreter, f"m.invoke({features})", setup)
    assert text.startswith("ValueError model: it takes 6 features, not ")


@pytest.mark.parametrize("features", ["5", "None", "[0] * 6"])
def test_features_without_a_buffer_are_a_type_error(features, interpreter):
    assert refusal(interpreter, f"nn.Model({aligned(model())}).invoke({features})").startswith("TypeError")


def test_failing_engine_is_a_runtime_error(interpreter):
    setup = f"m = nn.Model({aligned(model(flags=FAILS))})"
    assert (
        refusal(interpreter, "m.invoke(bytes(6))", setup) == "RuntimeError model: its engine failed to run it"
    )
    assert (
        refusal(interpreter, "m.state_reset()", setup) == "RuntimeError model: its engine failed to reset it"
    )


def test_nothing_may_be_assigned(interpreter):
    assert refusal(interpreter, f"nn.Model({aligned(model())}).size = 1").startswith("AttributeError")


@pytest.mark.parametrize("flags", [0, GUESSES, THIRSTY, GUESSES | THIRSTY])
def test_arena_fits_what_loading_needs(flags, interpreter):
    needed = 6 + 2 * 2 + 3000 + (100 if flags & THIRSTY else 0)
    blob = model(scratch=3000, flags=flags)
    script = f"import nn\nm = nn.Model({aligned(blob)})\nprint(m.arena_size, list(m.invoke(bytes(6))))\n"
    size, output = interpreter.run(script).split(" ", 1)
    assert needed <= int(size) < needed + 16 and int(size) % 16 == 0 and output == "[0, 0]\n"


def test_given_arena_size_is_kept_or_refused(interpreter):
    setup = f"b = {aligned(model(scratch=100))}"
    assert refusal(interpreter, "print(nn.Model(b, arena_size=110).arena_size)", setup) == "110"
    assert refusal(interpreter, "print(nn.Model(b, 5000).arena_size)", setup) == "5000"
    text = refusal(interpreter, "nn.Model(b, arena_size=109)", setup)
    assert text == "MemoryError model: arena_size 109 is too small, it needs 116 or more"
    text = refusal(interpreter, "nn.Model(b, arena_size=-1)", setup)
    assert text == "ValueError model: arena_size must not be negative"


@pytest.mark.parametrize("flags", [0, GUESSES])
def test_arena_larger_than_the_heap_is_a_memory_error(flags, interpreter):
    text = refusal(interpreter, f"nn.Model({aligned(model(scratch=1 << 29, flags=flags))})")
    assert text.startswith("MemoryError model: no ") and text.endswith(" bytes in one piece for its arena")
