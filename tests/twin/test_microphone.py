"""The I2S microphone through the application's own driver, and what MicroPython picks from the bus."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.sound import Microphone as Heard
from cicada.tools.twin.sound import Sound
from cicada.tools.twin.twin import Twin
from support.twins import QUIET, blob, loud, run_script, script_flash

THEN_SLEEP = "\nimport machine\nmachine.deepsleep()\n"
SOUND = Sound([loud(0.2, 5)], 10)
READ = """
import board
from binascii import hexlify
from node.drivers.microphone import Microphone
m = Microphone(dict(board.MICROPHONE, **{change}))
m.read()
m.read()
print('slot', m.slot, 'span', m.span)
print('heard', hexlify(m.buffer).decode())
"""


def board_with(**changes) -> SimpleNamespace:
    """The twin's board with another microphone."""
    board = load_board("twin")
    return SimpleNamespace(**vars(board) | {"MICROPHONE": board.MICROPHONE | changes})


def run(code: str, folder, board) -> str:
    twin = Twin(script_flash(code + THEN_SLEEP, folder), board, SOUND)
    twin.run(60)
    return twin.text


def heard(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(re.search(r"heard (\w+)", text).group(1)), "<i2")


def is_part_of(samples: np.ndarray, sound: np.ndarray) -> bool:
    return any(
        np.array_equal(sound[at : at + len(samples)], samples) for at in np.flatnonzero(sound == samples[0])
    )


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("told", [True, False])
def test_the_slot_is_as_told_or_found_by_listening(slot, told, tmp_path):
    change = "{'slot': %s}" % (slot if told else None)
    text = run(READ.replace("{change}", change), tmp_path, board_with(slot=slot))
    assert f"slot {slot} " in text
    assert is_part_of(heard(text), SOUND.pcm)


def test_the_other_slot_is_silent(tmp_path):
    text = run(READ.replace("{change}", "{'slot': 1}"), tmp_path, board_with(slot=0))
    assert "slot 1 span 0" in text
    assert not heard(text).any()


def test_gain_bits_double_the_sound_each(tmp_path):
    board = board_with(gain_bits=2)
    text = run(READ.replace("{change}", "{'gain_bits': 3}"), tmp_path, board)
    assert is_part_of(heard(text), np.clip(2 * SOUND.pcm.astype(np.int32), -32768, 32767))


def test_formats_pick_from_the_bus_as_micropython_does(tmp_path):
    """Mono is the first slot; 16 bits are the upper half of 32 (ports/esp32/machine_i2s.c, v1.28)."""
    code = """
import board
from binascii import hexlify
from machine import I2S, Pin
Pin(27, Pin.OUT, value=1)
for bits in (16, 32):
    for form in (I2S.MONO, I2S.STEREO):
        m = I2S(0, sck=Pin(26), ws=Pin(25), sd=Pin(33), mode=I2S.RX, bits=bits, format=form, rate=16000,
                ibuf=8192)
        b = bytearray(bits // 8 * (2 if form == I2S.STEREO else 1) * 160)
        m.readinto(b)
        m.deinit()
        print('got', bits, 2 if form == I2S.STEREO else 1, hexlify(b).decode())
"""
    gain = 2
    text = run(code, tmp_path, board_with(slot=0, gain_bits=gain))
    got = re.findall(r"got (\d+) (\d) (\w+)", text)
    assert len(got) == 4
    bus = SOUND.pcm.astype(np.int32) << (16 - gain)
    for bits, channels, data in got:
        frames = np.frombuffer(bytes.fromhex(data), f"<i{int(bits) // 8}").reshape(-1, int(channels))
        assert len(frames) == 160
        assert is_part_of(frames[:, 0], bus if bits == "32" else bus >> 16)
        assert not frames[:, 1:].any()


@pytest.mark.parametrize("offset", [-2500, 1700])
def test_an_sph0645s_offset_is_taken_out_before_the_gain(offset, tmp_path):
    """What the world adds is counted after the gain of the board, three bits."""
    quiet = Sound([], 10, microphone=Heard(offset=offset, noise_dbfs=-60))
    code = "m.read()\n" * 3
    code = READ.replace("{change}", "{'kind': %r}") + code + "print('heard', hexlify(m.buffer).decode())\n"
    code += "from machine import mem32\nprint('later', hex(mem32[0x3FF4F01C]))\n"
    means = {}
    for kind in ("inmp441", "sph0645"):
        twin = Twin(script_flash(code % kind + THEN_SLEEP, tmp_path), load_board("twin"), quiet)
        twin.run(60)
        means[kind] = np.frombuffer(bytes.fromhex(re.findall(r"heard (\w+)", twin.text)[-1]), "<i2").mean()
        assert f"later {'0x200' if kind == 'sph0645' else '0x0'}\n" in twin.text
    assert means["inmp441"] == pytest.approx(offset, abs=20)
    assert abs(means["sph0645"]) < 60  # the first sample, which the filter begins at, has the room's noise


def test_a_kind_nobody_knows_is_a_sentence(tmp_path):
    text = run(READ.replace("{change}", "{'kind': 'ics43434'}"), tmp_path, board_with())
    assert "SensorError: board.MICROPHONE has the kind 'ics43434': there are inmp441 and sph0645" in text


@pytest.mark.parametrize(("sd", "warns"), [(33, False), (32, True)])
def test_a_microphone_that_sends_nothing_is_named_once(sd, warns, tmp_path):
    code = f"import board, node\nboard.MICROPHONE = dict(board.MICROPHONE, sd={sd})\nnode.run()\n"
    twin = run_script(code, tmp_path, QUIET, 12, {"kws": blob()})
    assert twin.text.count("listening") == 1
    assert twin.text.count("the microphone sends nothing: check its wiring") == warns


STANDS_STILL = """
import node
from node.drivers import microphone
class Still(microphone.I2S):
    left = {frames}
    def readinto(self, buffer):
        Still.left -= 1
        return super().readinto(buffer) if Still.left >= 0 else 0
microphone.I2S = Still
node.run()
"""


@pytest.mark.parametrize("frames", [0, 30])
def test_a_bus_that_stands_still_leaves_the_console_and_is_tried_again(frames, tmp_path):
    code = STANDS_STILL.replace("{frames}", str(frames))
    twin = run_script(code, tmp_path, QUIET, 18, {"kws": blob()})
    assert twin.text.count("the microphone's bus stands still, trying again in 5000 ms") == 3
    assert twin.text.count("rst:") == 1, "no reset"


def test_a_node_that_stays_deaf_goes_to_sleep(tmp_path):
    twin = run_script(STANDS_STILL.replace("{frames}", "0"), tmp_path, QUIET, 140, {"kws": blob()})
    assert twin.text.count("stands still") > 20
    assert "rst:0x5 (DEEPSLEEP_RESET)" in twin.text
    assert "rst:0x7" not in twin.text and "rst:0x8" not in twin.text, "not by the watchdog"
