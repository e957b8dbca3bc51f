"""The module ``trust`` in MicroPython: what it takes, what it says, what memory it leaves."""

from __future__ import annotations

import pytest

from support import signatures

VALID = signatures.cases()[0]
SETUP = (
    "import gc, trust, heap_testing\n"
    f"k, s, d = {VALID.key!r}, {VALID.signature!r}, {VALID.digest!r}\n"
    "def refused(*arguments):\n"
    "    try:\n        print('took it:', trust.verify(*arguments))\n"
    "    except Exception as e:\n        print(type(e).__name__, e)\n"
)


def test_the_edges_of_what_is_valid(interpreter):
    assert interpreter.run(signatures.script()) == signatures.printed()


def test_any_buffer_will_do(interpreter):
    code = "v = memoryview(b'xx' + k + s)\nprint(trust.verify(v[2:67], bytearray(v[67:]), memoryview(d)))"
    assert interpreter.run(SETUP + code) == "True\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("k[:64], s, d", "ValueError key must be 65 bytes: 4, X, Y"),
        ("k[1:], s, d", "ValueError key must be 65 bytes: 4, X, Y"),
        ("b'', s, d", "ValueError key must be 65 bytes: 4, X, Y"),
        ("k, s + b'0', d", "ValueError signature must be 64 bytes: r, s"),
        ("k, s[:63], d", "ValueError signature must be 64 bytes: r, s"),
        ("k, s, d[:31]", "ValueError digest must be 32 bytes"),
        ("k, s, b''", "ValueError digest must be 32 bytes"),
        ("k, s, None", "TypeError object with buffer protocol required"),
        ("k, s", "TypeError function takes 3 positional arguments but 2 were given"),
    ],
)
def test_other_arguments_are_refused(arguments, complaint, interpreter):
    assert interpreter.run(f"{SETUP}refused({arguments})") == complaint + "\n"


def test_it_runs_with_the_heap_locked_and_keeps_nothing(interpreter):
    """MicroPython's heap is not touched, and mbedTLS's is as it was: checking may be repeated for ever."""
    code = (
        "import micropython\na = None\n"
        "micropython.heap_lock()\na = trust.verify(k, s, d)\nmicropython.heap_unlock()\n"
        "print(a, heap_testing.used())\nrefused(bytes([4]) + bytes(64), s, d)\nprint(heap_testing.used())\n"
    )
    assert interpreter.run(SETUP + code) == "True 0\nValueError key is not a point of P-256\n0\n"


def test_a_check_needs_less_than_5_kilobytes(interpreter):
    peak = int(interpreter.run(SETUP + "trust.verify(k, s, d)\nprint(heap_testing.peak())"))
    assert 1000 < peak < 5000


def test_too_small_a_heap_is_a_memory_error(interpreter):
    code = (
        "for n in range(0, 4000, 200):\n    heap_testing.limit(n)\n    try:\n        trust.verify(k, s, d)\n"
        "    except MemoryError:\n        continue\n    break\nprint(n > 1000, heap_testing.used())\n"
        "heap_testing.limit(9000)\nprint(trust.verify(k, s, d))"
    )
    assert interpreter.run(SETUP + code) == "True 0\nTrue\n"
