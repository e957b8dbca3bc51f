"""The twin's ``delta`` is the module of the chips: same names, same sums, same complaints."""

from __future__ import annotations

import random
import re

from twin.test_nn_contract import shape

from cicada.tools.paths import BOARDS, FIRMWARE
from support.twins import run_script

END = "\nimport machine\nmachine.deepsleep()\n"


def console(code, folder):
    """What ``code`` prints on the twin before it sleeps."""
    text = run_script("import delta\n" + code + END, folder).text.replace("\r\n", "\n")
    return text.split("rst:0x5")[0]


def test_shim_and_contract_agree():
    shim = shape(BOARDS / "twin" / "lib" / "delta.py")
    assert shim == shape(FIRMWARE / "modules" / "delta.pyi") == {"add": ["target", "difference"]}


def test_sums_are_modulo_256_anywhere_in_a_buffer(tmp_path):
    rng = random.Random(5)
    base, difference = rng.randbytes(4200), rng.randbytes(4200)
    wanted = bytearray(base)
    pieces = [(0, 0, 1), (3, 7, 0), (5, 2, 4096), (4195, 0, 5), (17, 4001, 199)]
    for to, of, count in pieces:
        for i in range(count):
            wanted[to + i] = (wanted[to + i] + difference[of + i]) & 255
    code = (
        f"import hashlib\nt, d = bytearray({base!r}), {difference!r}\nv = memoryview(t)\n"
        f"for to, of, n in {pieces!r}:\n"
        "    assert delta.add(v[to:to + n], memoryview(d)[of:of + n]) is None\n"
        f"print('equal', bytes(t) == {bytes(wanted)!r})\n"
    )
    assert "equal True\n" in console(code, tmp_path)


def test_arrays_count_in_bytes_and_may_be_added_to_themselves(tmp_path):
    code = (
        "from array import array\na = array('h', [255, -1])\n"
        "delta.add(a, b'\\x01\\x01\\x02\\x00')\nprint(a)\n"
        "b = bytearray(b'\\x01\\x80\\xff')\ndelta.add(b, b)\nprint(b)\n"
    )
    assert "array('h', [256, -255])\nbytearray(b'\\x02\\x00\\xfe')\n" in console(code, tmp_path)


REFUSED = {
    "t, b'abc'": "ValueError target and difference must have the same number of bytes",
    "b'abcd', t": "TypeError object with buffer protocol required",
    "memoryview(b'abcd'), t": "TypeError object with buffer protocol required",
    "t, None": "TypeError object with buffer protocol required",
}


def test_other_arguments_are_refused(tmp_path):
    code = "t = bytearray(b'wxyz')\n" + "".join(
        f"try:\n    delta.add({arguments})\nexcept Exception as e:\n    print(type(e).__name__, e)\n"
        for arguments in REFUSED
    )
    said = "".join(f"{complaint}\n" for complaint in REFUSED.values())
    assert said + "bytearray(b'wxyz')\n" in console(code + "print(t)\n", tmp_path)


def test_sums_take_time_and_no_heap(tmp_path):
    code = (
        "import gc, time\nt, d = bytearray(4096), bytes(4096)\ndelta.add(t, d)\nfree = gc.mem_free()\n"
        "at = time.ticks_us()\nfor i in range(10): delta.add(t, d)\n"
        "took = time.ticks_us() - at\nprint('took', took, free - gc.mem_free())\n"
    )
    took, heap = map(int, re.search(r"took (\d+) (-?\d+)", console(code, tmp_path)).groups())
    assert 10 * 150 < took < 10 * 170  # 4096 bytes at 8.9 cycles and 240 MHz, and the calls
    assert heap < 10 * 512  # views, but no copies
