"""The button: short, held 3 s, held 10 s, bouncing; its light; and that looking at it costs no memory."""

import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Steps, World
from support.twins import QUIET, micropython, script_flash

CODE = """
import gc, machine, time
from node.button import Button
led = machine.Pin(2, machine.Pin.OUT, value=0)
button = Button(4, led)
lit, changes = 0, 0
while time.ticks_ms() < 30000:
    said = button.poll()
    if said: print("SAID", said, time.ticks_ms())
    if led.value() != lit:
        lit = led.value(); changes += 1
        print("LED", lit, time.ticks_ms())
    time.sleep_ms(100)
print("HELD", button.held)
machine.deepsleep()
"""


def press(tmp_path, *spans):
    """What the button says, and when the light changes, for presses from second to second."""
    changes = [(0, 1)]
    for down, up in spans:
        changes += [(int(down * 1e6), 0), (int(up * 1e6), 1)]
    world = World(QUIET, levels={4: Steps(changes)})
    twin = Twin(script_flash(CODE, tmp_path), load_board("twin"), world)
    twin.run(60)
    said = [(word, int(ms)) for word, ms in re.findall(r"SAID (\w+) (\d+)", twin.text)]
    led = [(int(on), int(ms)) for on, ms in re.findall(r"LED (\d) (\d+)", twin.text)]
    assert "HELD False" in twin.text, twin.text
    return said, led


@pytest.mark.parametrize(
    ("seconds", "word"), [(0.3, "short"), (2.7, "short"), (3.3, "setup"), (9.7, "setup"), (10.3, "factory")]
)
def test_how_long_it_was_held_says_what_it_means(seconds, word, tmp_path):
    said, led = press(tmp_path, (3, 3 + seconds))
    assert [name for name, _ in said] == [word]
    # The time of the twin is that since power-on, 0.5 s before the program's clock.
    assert 0 <= said[0][1] - (3 + seconds) * 1000 <= 700
    assert led[0][0] == 1 and led[-1][0] == 0


def test_several_presses_are_several_words(tmp_path):
    said, _ = press(tmp_path, (2, 2.5), (4, 7.8), (10, 10.4))
    assert [name for name, _ in said] == ["short", "setup", "short"]


def test_the_light_tells_what_letting_go_will_do(tmp_path):
    _, led = press(tmp_path, (2, 18))
    down = led[0][1]
    steady = [ms for _, ms in led if ms - down < 2900]
    slow = [ms for _, ms in led if 3100 < ms - down < 9900]
    fast = [ms for _, ms in led if 10100 < ms - down < 15500]
    assert len(steady) == 1 and 10 <= len(slow) <= 16 and len(fast) > 25


def test_a_board_without_one_has_nothing_to_say_and_looking_costs_no_memory():
    code = (
        "import sys, time\n"
        "class Pin:\n    IN = 1; PULL_UP = 2; level = 1\n"
        "    def __init__(self, *a): pass\n"
        "    def value(self, v=None): return Pin.level if v is None else None\n"
        "sys.modules['machine'] = type('m', (), {'Pin': Pin})\n"
        "from node.button import Button\nimport gc\n"
        "print(Button(None).poll())\n"
        "b = Button(0, Pin())\n"
        "def go(n):\n    for _ in range(n): b.poll()\n"
        "go(5)\n"
        "for level in (1, 0, 1):\n"
        "    Pin.level = level; go(1); gc.collect(); gc.disable(); was = gc.mem_alloc(); go(500)\n"
        "    print(gc.mem_alloc() - was); gc.enable()\n"
    )
    # What is left is the range that counts, not the button.
    lines = micropython(code).split()
    assert lines[0] == "None" and all(int(count) <= 128 for count in lines[1:])
