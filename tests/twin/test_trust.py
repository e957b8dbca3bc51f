"""The twin's ``trust`` is the module of the chips: same names, same answers, same complaints."""

from __future__ import annotations

import re

from twin.test_nn_contract import shape

from cicada.tools.paths import BOARDS, FIRMWARE
from support import signatures
from support.twins import run_script

VALID = signatures.cases()[0]
SETUP = f"import trust\nk, s, d = {VALID.key!r}, {VALID.signature!r}, {VALID.digest!r}\n"
END = "\nimport machine\nmachine.deepsleep()\n"


def console(code, folder):
    """What ``code`` prints on the twin before it sleeps."""
    text = run_script(code + END, folder).text.replace("\r\n", "\n")
    return text.split("rst:0x5")[0]


def test_shim_and_contract_agree():
    assert shape(BOARDS / "twin" / "lib" / "trust.py") == shape(FIRMWARE / "modules" / "trust.pyi")


def test_the_edges_of_what_is_valid(tmp_path):
    assert signatures.printed() in console(signatures.script(), tmp_path)


def test_other_lengths_are_refused(tmp_path):
    code = "".join(
        f"try:\n    trust.verify({arguments})\nexcept ValueError as e:\n    print(e)\n"
        for arguments in ("k[1:], s, d", "k, s[1:], d", "k, s, d[1:]")
    )
    complaints = "key must be 65 bytes: 4, X, Y\nsignature must be 64 bytes: r, s\ndigest must be 32 bytes\n"
    assert complaints in console(SETUP + code, tmp_path)


def test_any_buffer_will_do(tmp_path):
    code = "v = memoryview(b'xx' + k + s)\nprint(trust.verify(v[2:67], bytearray(v[67:]), d), 'it is')"
    assert "True it is" in console(SETUP + code, tmp_path)


def test_a_check_takes_time(tmp_path):
    code = "import time\nt = time.ticks_us()\ntrust.verify(k, s, d)\nprint('took', time.ticks_us() - t)"
    took = int(re.search(r"took (\d+)", console(SETUP + code, tmp_path))[1])
    assert 99_000 < took < 100_000  # 23.8 million cycles at 240 MHz
