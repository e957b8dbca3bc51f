"""Scenarios: what the file may say, what comes of it, and what is refused."""

import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from cicada.tools.errors import UserError
from cicada.tools.paths import ROOT
from cicada.tools.twin.rehearsal import run_scenario
from cicada.tools.twin.scenario import load, microseconds
from support.images import UPDATE_BY_HTTP, new_image
from support.twins import blob, loud, script_flash


@pytest.fixture
def scene(tmp_path, capsys):
    """Write a scenario and run it; returns the exit code and what was printed."""
    soundfile.write(tmp_path / "yes.wav", loud(0).pcm, 16000)
    (tmp_path / "kws.cmod").write_bytes(blob())

    def run(text, show=True, **options):
        (tmp_path / "scene.toml").write_text(text)
        code = run_scenario(tmp_path / "scene.toml", None, 0.0, options.get("picture"), show)
        return code, capsys.readouterr().out

    run.folder = tmp_path
    return run


EVENING = """
title = "An evening"
seconds = 45
model = "kws.cmod"
[[sound]]
at = 2.5
file = "yes.wav"
word = "yes"
[[sound]]
at = "22s"
file = "yes.wav"
[[expect]]
event = "keyword"
where = { word = "yes" }
count = 2
[[expect]]
event = "keyword"
after = 2.5
before = 4
[[expect]]
reset = "deep sleep"
at_least = 1
at_most = 3
[[expect]]
console = "woken by timer"
[[expect]]
average_ma = 60.0
[[expect]]
running = "0.1.0"
[[expect]]
flash = "ota_0"
image = "0.1.0"
[[expect]]
flash = "ota_1"
erased = true
"""


def test_what_is_expected_comes_true(scene):
    code, said = scene(EVENING)
    assert code == 0, said
    assert said.count("│ ok") == 8 and 'heard "yes"' in said


def test_what_does_not_come_true_is_told_with_what_was_found(scene):
    code, said = scene(
        EVENING.replace("count = 2", "count = 3").replace("average_ma = 60.0", "average_ma = 1")
    )
    assert code == 1
    assert "2 of 8 expectations did not come true" in said and "2 times" in said


def test_the_same_scenario_gives_the_same_console(scene):
    assert scene(EVENING) == scene(EVENING)


def test_a_picture_of_the_current(scene):
    code, said = scene(EVENING, picture=scene.folder / "current.png")
    assert code == 0 and (scene.folder / "current.png").read_bytes()[:4] == b"\x89PNG"
    assert "battery life" in said


def scripted(scene, code, rest):
    (scene.folder / "flash.bin").write_bytes(script_flash(code, scene.folder))
    return scene('seconds = 60\nimage = "flash.bin"\n' + rest)


EVERYTHING = """
import machine, time, struct, network, esp32
from machine import Pin, ADC, I2C
i2c = I2C(0, scl=Pin(22), sda=Pin(21))
i2c.writeto_mem(0x53, 0x2D, b'\\x08')
n = esp32.NVS('node'); n.set_i32('boots', 7)
w = network.WLAN(); w.active(True); w.connect('cicada', 'twinkle twinkle')
adc = ADC(Pin(35), atten=ADC.ATTN_11DB)
p = Pin(4, Pin.IN)
for i in range(5):
    time.sleep(5)
    z = struct.unpack('<hhh', i2c.readfrom_mem(0x53, 0x32, 6))[2]
    print('at', time.ticks_ms() // 1000, 'pin', p(), 'link', int(w.isconnected()), 'z', round(z / 26) / 10,
          'volts', round(adc.read_uv() / 5e5) / 1, 'clock', time.time())
machine.deepsleep()
"""
HAPPENING = """
[[pin]]
at = 7
pin = 4
level = 1
[[network]]
at = 12
up = false
[[motion]]
at = 11
kind = "still"
gravity = [0, 0, 0.5]
[[battery]]
at = 0
volts = 4.0
[[battery]]
at = 20
volts = 3.0
[[clock]]
at = 22
jump = "1h"
[[expect]]
console = "at 5 pin 0 link 1 z 1.0 volts 4.0 clock 5"
[[expect]]
console = "at 10 pin 1 link 1 z 1.0"
[[expect]]
console = "at 15 pin 1 link 0 z 0.5"
[[expect]]
console = "at 2[56] .* volts 3.0 clock 36(2[5-9])"
[[expect]]
nvs = "node/boots"
equals = 7
"""


def test_pins_network_motion_battery_and_clock_follow_the_file(scene):
    code, said = scripted(scene, EVERYTHING, HAPPENING)
    assert code == 0, said


def test_buttons_power_cuts_and_typing(scene):
    code, said = scripted(
        scene,
        "import machine, time\nprint('cause', machine.reset_cause(), machine.RTC().memory())\n"
        "machine.RTC().memory(b'kept')\nwhile True: time.sleep(1)\n",
        '[[reset]]\nat = 5\n[[power]]\nat = 10\noff = "5s"\n'
        '[[type]]\nat = 20\ntext = "\\u0003"\n[[type]]\nat = 21\ntext = "print(6 * 7)\\r\\n"\n'
        '[[expect]]\nconsole = "cause 1 b\'\'"\ncount = 3\n[[expect]]\nreset = "power on"\ncount = 3\n'
        '[[expect]]\nconsole = "KeyboardInterrupt"\n[[expect]]\nconsole = "^42$"\n',
    )
    assert code == 0, said


def test_an_update_with_ten_power_cuts_ends_in_a_whole_new_image(scene):
    """The program fetches the image over the air; the power goes ten times on the way."""
    (scene.folder / "new.bin").write_bytes(new_image(scene.folder, "2.0.0"))
    code, said = scripted(
        scene,
        UPDATE_BY_HTTP,
        '[[update]]\nat = 3\nfile = "new.bin"\n'
        '[[power]]\noperation = "60:inside:bits:1"\nevery = 90\ntimes = 10\n'
        '[[expect]]\nrunning = "2.0.0"\n[[expect]]\nflash = "ota_1"\nimage = "2.0.0"\n'
        '[[expect]]\nreset = "power on"\ncount = 11\n[[expect]]\nconsole = "running 2.0.0"\n',
    )
    assert code == 0, said


def test_a_week_with_many_sounds_needs_no_memory_for_the_silence(scene):
    text = EVENING.split("[[sound]]")[0].replace("45", '"7d"') + (
        '[[sound]]\nat = 30\nfile = "yes.wav"\nword = "yes"\nevery = "5m"\n'
    )
    (scene.folder / "scene.toml").write_text(text)
    from cicada.tools.twin.staging import _sound

    sound = _sound(load(scene.folder / "scene.toml"), scene.folder / "scene.toml", None)
    assert len(sound.played) == 7 * 24 * 12 and len(sound.pcm) < 200_000
    start = (30 + 300 * 1000) * 16000
    heard = sound.samples(start - 8000, 32000)
    assert np.abs(heard[:8000]).max() < 300 and np.abs(heard[8000:16000]).max() > 10000
    again = np.concatenate([sound.samples(start - 8000 + i, 1600) for i in range(0, 32000, 1600)])
    assert np.array_equal(heard, again)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seconds = 1\nsecnds = 2", "unknown key `secnds`"),
        ("title = 'x'", "missing `seconds`|missing .*seconds"),
        ("seconds = 1\n[[sound]]\nfile = 'x.wav'", "in sound number 1: missing"),
        ("seconds = 1\n[[sound]]\nat = 1\nfile = 'nothing.wav'", "nothing.wav, which is not there"),
        ("seconds = 1\n[[motion]]\nkind = 'shaker'", "in motion number 1, kind: .*shaker"),
        ("seconds = 1\n[[gyroscope]]\nat = 1", "unknown key `gyroscope`"),
        ("seconds = 1\n[[pin]]\nat = 1\npin = 50\nlevel = 1", "in pin number 1, pin: .*39"),
        ("seconds = '1x'", "'1x' is no duration"),
        ("seconds = 1\n[[reset]]\nat = -5", "before the beginning"),
        ("seconds = 1\n[[power]]\noff = 1", "needs 'at' or 'operation'"),
        ("seconds = 1\n[[power]]\noperation = 'x'", "no power cut is called"),
        ("seconds = 1\n[[expect]]\ncount = 1", r"\[\[expect\]\] number 1 needs exactly one of"),
        ("seconds = 1\n[[expect]]\nevent = 'a'\nrunning = 'b'", "needs exactly one of"),
        ("seconds = [", "is not TOML"),
        ("seconds = 1\nboard = 'esp99'", "no board 'esp99'"),
        ("seconds = 1\nimage = 'none.bin'", "none.bin"),
        ("seconds = 1\n[[expect]]\nconsole = '('", "is no regular expression"),
        ("seconds = 1\n[[expect]]\nflash = 'ota_7'", "there is no partition 'ota_7': choose one of nvs"),
        ("seconds = 1\n[[sound]]\nat = 0", "has neither file nor word"),
        ("seconds = 1\n[[sound]]\nat = 0\nfile = 'yes.wav'\nevery = 0", "every = 0 never ends"),
        ("seconds = 1\n[[motion]]\nat = 5\nuntil = 2", "cannot end at"),
        ("seconds = 1\n[[motion]]\nkind = 'machine'\nrotation_hz = 0", "needs rotation_hz > 0"),
        ("seconds = 1\n[[motion]]\nkind = 'file'\nfile = 'yes.wav'", "yes.wav"),
        (
            "seconds = 1\n[[camera]]\nat = 1\nfile = 'yes.wav'\n[[camera]]\nat = 1\nfile = 'yes.wav'",
            "two images at one moment",
        ),
        ("seconds = 1\n[microphone]\nlive = 'no-such-recorder'", "no-such-recorder"),
        (
            "seconds = 1\n[[battery]]\nat = 1\nvolts = 3\n[[battery]]\nat = 1\nvolts = 4",
            "two values for one moment",
        ),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(scene, text, said):
    if "image" not in text and "board" not in text:
        text = 'model = "kws.cmod"\n' + text
    with pytest.raises(UserError, match=said):
        scene(text, show=False)


def test_a_file_that_is_no_sound_and_a_flash_of_the_wrong_size(scene):
    (scene.folder / "text.wav").write_text("no sound at all")
    with pytest.raises(UserError, match="text.wav"):
        scene('seconds = 1\nmodel = "kws.cmod"\n[[sound]]\nat = 1\nfile = "text.wav"\n')
    (scene.folder / "short.bin").write_bytes(b"\xff" * 1000)
    with pytest.raises(UserError, match="short.bin has 1000 bytes, a chip 4, 8 or 16 MiB"):
        scene('seconds = 1\nimage = "short.bin"\n')


def test_the_command_line_says_one_line_and_exits_with_2(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "cicada.tools.cli", "twin", "run", str(tmp_path / "none.toml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 2 and run.stderr.count("\n") == 1 and "none.toml" in run.stderr


def cicada(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", "cicada.tools.cli", "twin", *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_command_line_runs_reports_and_tries(scene):
    """Each action once, as a person types it."""
    (scene.folder / "scene.toml").write_text(EVENING.replace("seconds = 45", "seconds = 30"))
    toml, picture = scene.folder / "scene.toml", scene.folder / "current.png"
    code, said = cicada("run", "--quiet", toml)
    assert code == 0 and "An evening: 30 s of virtual time" in said and "listening" not in said, said
    code, said = cicada("report", toml, "--out", picture, "--seconds", "5")
    assert code == 1 and "battery life" in said and picture.exists(), said  # cut short, so less was heard
    code, said = cicada("fleet", "3", toml, "--seconds", "4")
    assert code == 0 and "Fleet of 3 twins, 4 s" in said and "Starting twins: 3" in said, said
    code, said = cicada("try", scene.folder / "yes.wav")
    assert code == 2 and said.count("\n") == 1 and "WAV recording" in said, said


@pytest.mark.parametrize(
    ("text", "us"),
    [
        (1, 10**6),
        (0.25, 250_000),
        ("1h 30m", 5400 * 10**6),
        ("200ms", 200_000),
        ("2d", 172800 * 10**6),
        ("1.5 s", 1500000),
    ],
)
def test_durations(text, us, tmp_path):
    assert microseconds(text, tmp_path) == us
    if isinstance(text, str):
        assert microseconds("-" + text, tmp_path, signed=True) == -us


def test_the_example_in_the_documentation_is_the_one_that_runs(tmp_path):
    text = (ROOT / "docs" / "twin.md").read_text()
    example = ROOT / "docs" / "scenarios" / "bad-night.toml"
    assert re.findall(r"```toml\n(.*?)```", text, re.S) == [example.read_text().split("\n", 1)[1]]
    assert load(example).expect
