"""The module ``delta`` in MicroPython: what it takes, what it adds, what memory it leaves alone."""

from __future__ import annotations

import hashlib
import random

import pytest


def test_sums_are_modulo_256_at_any_alignment(interpreter) -> None:
    """A block's bytes lie anywhere in one buffer, its differences anywhere in another."""
    base, difference = random.Random(1).randbytes(80), random.Random(2).randbytes(80)
    code = """
    import delta, nn
    base, difference = bytes(nn.map_partition("base")), nn.map_partition("difference")
    bad = []
    for to in range(5):
        for of in range(5):
            for n in (0, 1, 2, 3, 4, 5, 7, 8, 9, 40, 75):
                target = bytearray(base)
                delta.add(memoryview(target)[to:to + n], memoryview(difference)[of:of + n])
                wanted = bytearray(base)
                for i in range(n):
                    wanted[to + i] = (wanted[to + i] + difference[of + i]) & 255
                if target != wanted:
                    bad.append((to, of, n))
    print(bad)
    """
    given = {"base": base, "difference": difference}
    assert interpreter.run(code, partitions=given) == "[]\n"


def test_a_whole_block_is_added(interpreter) -> None:
    base, difference = random.Random(3).randbytes(4096), random.Random(4).randbytes(4096)
    code = """
    import delta, hashlib, nn
    target = bytearray(nn.map_partition("base"))
    print(delta.add(target, nn.map_partition("difference")), hashlib.sha256(target).digest() == {!r})
    """
    wanted = hashlib.sha256(bytes((a + b) & 255 for a, b in zip(base, difference, strict=True))).digest()
    given = {"base": base, "difference": difference}
    assert interpreter.run(code.format(wanted), partitions=given) == "None True\n"


def test_arrays_count_in_bytes_and_may_be_added_to_themselves(interpreter) -> None:
    code = """
    import delta
    from array import array
    a = array("h", [255, -1])
    delta.add(a, b"\\x01\\x01\\x02\\x00")
    print(a)
    b = bytearray(b"\\x01\\x80\\xff\\x00\\x7f")
    delta.add(b, b)
    print(b)
    """
    assert interpreter.run(code) == "array('h', [256, -255])\nbytearray(b'\\x02\\x00\\xfe\\x00\\xfe')\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("t, b'abc'", "ValueError target and difference must have the same number of bytes"),
        ("t, b''", "ValueError target and difference must have the same number of bytes"),
        ("b'abcd', t", "TypeError object with buffer protocol required"),
        ("memoryview(b'abcd'), t", "TypeError object with buffer protocol required"),
        ("t, None", "TypeError object with buffer protocol required"),
        ("t", "TypeError function takes 2 positional arguments but 1 were given"),
    ],
)
def test_other_arguments_are_refused(arguments: str, complaint: str, interpreter) -> None:
    code = f"""
    import delta
    t = bytearray(b"wxyz")
    try:
        delta.add({arguments})
    except Exception as e:
        print(type(e).__name__, e)
    print(t)
    """
    assert interpreter.run(code) == f"{complaint}\nbytearray(b'wxyz')\n"


def test_it_allocates_nothing(interpreter) -> None:
    code = """
    import delta, micropython
    a, b = bytearray(33), bytes(range(33))
    micropython.heap_lock()
    delta.add(a, b)
    micropython.heap_unlock()
    print(a == b)
    """
    assert interpreter.run(code) == "True\n"
