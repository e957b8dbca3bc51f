"""``machine`` and ``esp32`` on the twin: sleep and what ends it, timers, pins, clocks, errors."""

import re

import pytest

from cicada.tools.board import load_board
from cicada.tools.twin.power import DEEP_SLEEP, LIGHT_SLEEP
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Steps, World
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
END = "\nmachine.deepsleep()\n"


def run_in(world, code, folder, seconds=60):
    """Run ``code`` on a twin in a world of its own."""
    twin = Twin(script_flash("import machine, esp32, time\n" + code, folder), BOARD, world)
    twin.run(seconds)
    return twin


def says(code, folder, world=None, seconds=60):
    """Console of ``code``, which ends in deep sleep unless it does so itself."""
    return run_in(world or World(QUIET), code + END, folder, seconds).text


# Wake sources

WAKING = (
    "if machine.reset_cause() == machine.DEEPSLEEP_RESET:\n"
    "    print('woke', machine.wake_reason(), machine.wake_pins(), machine.RTC().memory())\n"
    "    machine.RTC().memory(b'done')\n"
    "    esp32.wake_on_ext0(None)\n"
    "    machine.deepsleep()\n"
    "machine.RTC().memory(b'kept')\n"
)


@pytest.mark.parametrize(
    ("arm", "world", "woke", "at"),
    [
        (
            "esp32.wake_on_ext0(machine.Pin(4), 1)",
            {"levels": {4: Steps([(0, 0), (7_000_000, 1)])}},
            "2 ()",
            7,
        ),
        ("esp32.wake_on_ext0(4, False)", {"levels": {4: Steps([(0, 1), (9_000_000, 0)])}}, "2 ()", 9),
        (
            "esp32.wake_on_ext1((machine.Pin(4), 14), esp32.WAKEUP_ANY_HIGH)",
            {"levels": {4: Steps([(0, 0)]), 14: Steps([(0, 0), (5_000_000, 1)])}},
            "3 (14,)",
            5,
        ),
        (
            "esp32.wake_on_ext1((4, 14), esp32.WAKEUP_ALL_LOW)",
            {"levels": {4: Steps([(0, 1), (5_000_000, 0)]), 14: Steps([(0, 1), (8_000_000, 0)])}},
            "3 (4, 14)",
            8,
        ),
        ("esp32.wake_on_ulp(True)", {"ulp": [6_000_000]}, "6 ()", 6),
        ("esp32.wake_on_touch(True)", {"touch": [6_500_000]}, "5 ()", 6.5),
        ("pass", {}, "4 ()", None),
    ],
)
def test_deep_sleep_ends_by_what_was_armed(arm, world, woke, at, tmp_path):
    sleep = "machine.deepsleep()" if at else "machine.deepsleep(3000)"
    twin = run_in(World(QUIET, **world), f"{WAKING}{arm}\n{sleep}\n", tmp_path)
    assert f"woke {woke} b'kept'" in twin.text
    asleep = next(s for s in twin.chip.meter.stretches if s.state == DEEP_SLEEP)
    assert asleep.end == (at * 1e6 if at else asleep.start + 3_000_000)


def test_the_first_of_several_sources_wakes(tmp_path):
    world = World(QUIET, levels={4: Steps([(0, 0), (4_000_000, 1)])})
    twin = run_in(world, f"{WAKING}esp32.wake_on_ext0(4, 1)\nmachine.deepsleep(2000)\n", tmp_path)
    assert "woke 4 ()" in twin.text


def test_deep_sleep_of_no_time_wakes_at_once_and_without_a_source_never(tmp_path):
    twin = run_in(World(QUIET), f"{WAKING}machine.deepsleep(0)\n", tmp_path, 3600)
    assert "woke 4 ()" in twin.text and twin.wakes == 1 and twin.now == 3600


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("esp32.wake_on_touch(True); esp32.wake_on_ext0(4, 1)", "no resources"),
        ("esp32.wake_on_ext0(4, 1); esp32.wake_on_ulp(True)", "no resources"),
        ("esp32.wake_on_ext0(5, 1)", "invalid pin"),
        ("esp32.wake_on_ext1((5,), True)", "invalid pin"),
        ("esp32.wake_on_gpio((5,), True); machine.deepsleep(1)", "DEEPSLEEP with gpio pins not supported"),
        ("machine.Pin(34, machine.Pin.OUT)", "pin can only be input"),
        ("machine.Pin(40)", "invalid pin"),
        ("machine.Pin(28)", "invalid pin"),
        ("machine.Timer(4)", "there are only 4 hardware timers"),
        ("machine.Timer(0, period=0)", "too short"),
        ("machine.freq(100000000)", "frequency must be"),
        ("machine.WDT(timeout=0)", "too short"),
        ("machine.RTC().memory(bytes(2049))", "buffer too long"),
    ],
)
def test_what_the_esp32_refuses(code, said, tmp_path):
    text = says(f"try:\n    {code}\nexcept ValueError as e:\n    print('refused:', e)\n", tmp_path)
    assert re.search(f"refused: .*{re.escape(said)}", text), text


def test_light_sleep_goes_on_where_it_was_and_draws_little(tmp_path):
    world = World(QUIET, levels={5: Steps([(0, 0), (4_000_000, 1)])})
    code = (
        "t = time.ticks_ms(); machine.lightsleep(1500)\n"
        "print('slept', time.ticks_diff(time.ticks_ms(), t), machine.wake_reason())\n"
        "esp32.wake_on_gpio((machine.Pin(5),), True); machine.lightsleep(60000)\n"
        "print('gpio', machine.wake_reason(), time.ticks_ms())\n"
        "esp32.wake_on_gpio(())\n"
    )
    twin = run_in(world, code + END, tmp_path)
    assert "slept 1500 4" in twin.text and re.search(r"gpio 7 4\d\d\d", twin.text)
    light = [s for s in twin.chip.meter.stretches if s.state == LIGHT_SLEEP]
    assert light and all(s.current < 1 for s in light)


# Interrupts


def test_timers_fire_while_the_program_sleeps(tmp_path):
    code = (
        "hits = []\n"
        "a = machine.Timer(0, period=250, callback=lambda t: hits.append((t is a, time.ticks_ms())))\n"
        "b = machine.Timer(-1)\n"
        "b.init(mode=machine.Timer.ONE_SHOT, period=300, callback=lambda t: hits.append('once'))\n"
        "start = time.ticks_ms(); time.sleep_ms(1100); a.deinit(); n = len(hits); time.sleep_ms(500)\n"
        "print('fired', [h if h == 'once' else h[1] - start for h in hits], len(hits) == n,"
        " time.ticks_ms() - start, machine.Timer(0) is a)\n"
    )
    text = says(code, tmp_path)
    assert "fired [250, 'once', 500, 750, 1000] True 1600 True" in re.sub(r"\b(\d+)[12]\b", r"\g<1>0", text)


def test_handlers_wait_while_interrupts_are_disabled(tmp_path):
    code = (
        "hits = []\nt = machine.Timer(0, period=100, callback=lambda t: hits.append(1))\n"
        "s = machine.disable_irq(); time.sleep_ms(350); n = len(hits); machine.enable_irq(s)\n"
        "time.sleep_ms(200); print('hits', n, len(hits)); t.deinit()\n"
    )
    assert re.search(r"hits 0 [23]\n", says(code, tmp_path))


def test_a_handler_may_sleep_longer_than_its_timers_period(tmp_path):
    code = (
        "hits = []\ndef slow(t):\n    time.sleep_ms(250); hits.append(time.ticks_ms())\n"
        "t = machine.Timer(0, period=100, callback=slow)\ntime.sleep_ms(1000); t.deinit()\n"
        "print('gap', hits[1] - hits[0], len(hits))\n"
    )
    assert re.search(r"gap 25[0-2] [345]\n", says(code, tmp_path))


def test_a_handler_that_fails_is_reported_and_the_program_goes_on(tmp_path):
    code = (
        "t = machine.Timer(1, period=100, callback=lambda t: 1 // 0)\n"
        "time.sleep_ms(250)\nt.deinit()\nprint('on')\n"
    )
    text = says(code, tmp_path)
    assert text.count("ZeroDivisionError") == 2 and "\non\n" in text


def test_pins_interrupt_on_the_edges_asked_for(tmp_path):
    world = World(QUIET, levels={4: Steps([(0, 0), (2_000_000, 1), (3_000_000, 0), (4_000_000, 1)])})
    code = (
        "hits = []\np = machine.Pin(4, machine.Pin.IN)\n"
        "p.irq(lambda pin: hits.append((pin.value(), time.ticks_ms() // 1000)), machine.Pin.IRQ_RISING)\n"
        "time.sleep(5)\nprint('edges', hits)\np.irq(None)\n"
    )
    assert "edges [(1, 2), (1, 4)]" in says(code, tmp_path, world)


def test_pins_read_what_drives_them(tmp_path):
    code = (
        "P = machine.Pin\n"
        "print('levels', P(4).value(), P(5, P.IN, P.PULL_UP).value(), P(18, P.OUT, value=1).value(),"
        " P(34)(), end=' ')\n"
        "p = P(19, P.OUT); p.on(); p.toggle(); p.toggle()\n"
        "print(p(), machine.Signal(p, invert=True).value())\n"
    )
    assert "levels 1 1 1 0 1 0" in says(code, tmp_path, World(QUIET, levels={4: Steps([(0, 1)])}))


# Clocks


def test_the_epoch_is_2000_and_the_clock_can_be_set(tmp_path):
    code = (
        "print('new', time.gmtime(0), time.time())\n"
        "r = machine.RTC(); r.datetime((2026, 11, 21, 0, 8, 30, 15, 0)); time.sleep(2)\n"
        "print('set', r.datetime()[:7], time.localtime())\n"
        "there = time.mktime(time.gmtime(857034017))\n"
        "print('there and back', there, time.mktime((2024, 2, 29, 12, 0, 0, 0, 0)))\n"
        "if machine.reset_cause() != machine.DEEPSLEEP_RESET: machine.deepsleep(10000)\n"
    )
    text = says(code, tmp_path)
    assert "new (2000, 1, 1, 0, 0, 0, 5, 1) 0" in text
    assert "set (2026, 11, 21, 5, 8, 30, 17) (2026, 11, 21, 8, 30, 17, 5, 325)" in text
    assert "there and back 857034017 762523200" in text
    assert "new (2000, 1, 1, 0, 0, 0, 5, 1) 848565027" in text  # 10 s of sleep and a boot later


@pytest.mark.parametrize("year", [2000, 2001, 2004, 2023, 2024, 2100])
def test_mktime_undoes_gmtime(year, tmp_path):
    code = (
        f"t = time.mktime(({year}, 1, 1, 0, 0, 0, 0, 0))\n"
        "bad = [d for d in range(0, 366) if time.mktime(time.gmtime(t + d * 86400)) != t + d * 86400]\n"
        "print('bad', bad, time.gmtime(t)[:3])\n"
    )
    assert f"bad [] ({year}, 1, 1)" in says(code, tmp_path)


def test_a_slower_cpu_takes_longer_and_draws_less(tmp_path):
    code = (
        "import nn\nf = nn.AudioFrontEnd(20, 49); b = bytearray(6400)\n"
        "def cost():\n    t = time.ticks_us(); f.feed(b); return time.ticks_diff(time.ticks_us(), t)\n"
        "cost(); a = cost(); machine.freq(80000000); print('ratio', cost() / a, machine.freq())\n"
    )
    twin = run_in(World(QUIET), code + END, tmp_path)
    ratio, freq = re.search(r"ratio ([\d.]+) (\d+)", twin.text).groups()
    assert float(ratio) == pytest.approx(3, rel=0.02) and freq == "80000000"
    assert min(s.current for s in twin.chip.meter.stretches if s.state == "cpu_busy") < 32


def test_random_numbers_differ_by_seed_and_not_by_run(tmp_path):
    flash = script_flash(
        "import os, machine\nprint('random', os.urandom(8))\nmachine.deepsleep()\n", tmp_path
    )

    def drawn(seed):
        twin = Twin(flash, BOARD, QUIET, seed=seed)
        twin.run(10)
        return re.search(r"random (.*)", twin.text).group(1)

    assert drawn(1) == drawn(1) != drawn(2)


def test_asyncio_runs_in_virtual_time(tmp_path):
    code = (
        "import asyncio\nlog = []\n"
        "async def tick(name, ms, n):\n"
        "    for i in range(n):\n        await asyncio.sleep_ms(ms); log.append((name, time.ticks_ms()))\n"
        "async def main():\n    await asyncio.gather(tick('a', 400, 3), tick('b', 3600000, 1))\n"
        "s = time.ticks_ms(); asyncio.run(main()); print('order', [n for n, _ in log], time.ticks_ms() - s)\n"
    )
    text = says(code, tmp_path, seconds=10**5)
    assert re.search(r"order \['a', 'a', 'a', 'b'\] 36000\d\d", text), text


def test_a_program_that_only_computes_is_bitten_too(tmp_path):
    code = (
        "print('cause', machine.reset_cause())\n"
        "if machine.reset_cause() == machine.WDT_RESET: machine.deepsleep()\n"
        "machine.WDT(timeout=1000)\nn = 0\nwhile True: n += 1\n"
    )
    twin = run_in(World(QUIET), code, tmp_path, 30)
    assert re.findall(r"cause (\d)", twin.text) == ["1", "3"]


def test_a_slow_machine_changes_nothing(tmp_path):
    """A program that computes between requests is charged nothing, however long that takes here."""
    code = (
        "t = time.ticks_ms()\n"
        "for i in range(25):\n    n = 0\n    while n < 300000: n += 1\n    time.ticks_ms()\n"
        "print('took', time.ticks_diff(time.ticks_ms(), t))\n"
    )
    assert re.search(r"took [01]\n", says(code, tmp_path))  # 26 calls of 5 us


def test_a_soft_reset_starts_the_program_but_not_the_chip(tmp_path):
    code = (
        "print('cause', machine.reset_cause(), machine.RTC().memory(), time.ticks_ms() > 1500)\n"
        "if machine.reset_cause() == machine.SOFT_RESET: machine.deepsleep()\n"
        "machine.RTC().memory(b'kept'); time.sleep(1); machine.soft_reset()\n"
    )
    twin = run_in(World(QUIET), code, tmp_path, 30)
    assert "MPY: soft reboot\ncause 5 b'kept' True" in twin.text
    assert twin.text.count("rst:0x") == 1


def test_boot_py_runs_first_and_its_failure_keeps_main_from_running(tmp_path):
    code = (
        "import os\nprint('main', os.listdir('/'))\n"
        "def put(text):\n    with open('boot.py', 'w') as f: f.write(text)\n"
        "if 'boot.py' not in os.listdir('/'):\n"
        "    put('print(\"boot\")')\n    machine.reset()\n"
        "put('1 // 0')\nmachine.reset()\n"
    )
    twin = run_in(World(QUIET), code, tmp_path, 30)
    assert re.search(r"boot\nmain .*boot.py", twin.text)
    assert twin.text.count("main") == 2 and "ZeroDivisionError" in twin.text
