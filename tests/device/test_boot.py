"""The node boots, says who it is and why it booted, and lets itself be stopped."""

import importlib.metadata

import pytest

from cicada.tools.dut.base import ExpectTimeout
from cicada.tools.twin.sound import Sound
from support.twins import QUIET, loud

WATCHDOG_S = 8  # firmware/app/node/app.py


def two_words():
    """One before the first deep sleep, one after it."""
    return Sound([loud(2.5), loud(24.0)], 40)


def at_the_prompt(dut, line):
    """Type a line at the REPL; it may never return."""
    dut.exec("")
    dut.write(line + "\r")


def test_it_boots_and_says_its_version(dut):
    said = dut.expect(r"node: Cicada (\S+) on (.+)\n")
    assert said[1] == importlib.metadata.version("cicada")
    assert dut.expect(r"boot \d+, cause: (.+)\n")[1] == "power on"
    dut.expect(r"model \w+ \S+: .+, arena \d+, ")
    dut.expect_exact("listening")


def test_it_is_the_board_it_says_it_is(dut):
    said = dut.expect(r"node: Cicada \S+ on (.+)\n")
    assert dut.exec("import board; print(board.TITLE)") == said[1] + "\n"


def test_ctrl_c_leads_to_the_repl_and_the_watchdog_leaves_it_alone(dut):
    dut.expect_exact("listening")
    dut.write("\x03")
    dut.expect_exact("stopped from the console")
    dut.expect_exact(">>> ")
    with pytest.raises(ExpectTimeout):
        dut.expect("rst:|Cicada", timeout=WATCHDOG_S * 1.5)
    dut.write("6 * 7\r")
    dut.expect(r"^42\n", timeout=5)


def test_the_reset_button_starts_it_again(dut):
    dut.expect_exact("listening")
    dut.reset()
    assert dut.expect(r"cause: (.+)\n")[1] == "power on"


@pytest.mark.parametrize(
    ("line", "name", "cause"),
    [
        ("import machine; machine.reset()", "hard reset", "HARD_RESET"),
        ("import machine; machine.soft_reset()", "soft reset", "SOFT_RESET"),
        ("\x04", "soft reset", "SOFT_RESET"),
        ("import machine; w = machine.WDT(timeout=1000)", "watchdog", "WDT_RESET"),
        ("import machine; machine.deepsleep(1000)", "deep sleep", "DEEPSLEEP_RESET"),
    ],
)
def test_what_reset_it_is_known_after_the_boot(dut, line, name, cause):
    at_the_prompt(dut, line)
    assert dut.expect(r"cause: (.+)\n")[1] == name
    assert dut.exec(f"import machine; print(machine.reset_cause() == machine.{cause})") == "True\n"


def test_a_soft_reset_forgets_variables_and_starts_the_program(dut):
    dut.exec("kept = 1")
    assert dut.exec("print(kept)") == "1\n"
    dut.write("\x04")
    dut.expect_exact("soft reboot")
    dut.expect_exact("listening")
    assert dut.exec("print('kept' in globals())") == "False\n"


@pytest.mark.twin(sound=two_words)
def test_event_numbers_go_on_through_deep_sleep(dut):
    assert dut.expect_event("keyword")["n"] == 1
    dut.expect(r"quiet for \d+ ms, deep sleep")
    assert dut.expect(r"boot (\d+), cause: deep sleep\n")[1] == "2"
    dut.expect_exact("1 events so far")
    assert dut.expect_event("keyword")["n"] == 2
    assert [e["word"] for e in dut.events()] == ["yes", "yes"]


@pytest.mark.twin(sound=QUIET)
def test_silence_leads_to_sleep_and_the_timer_wakes_it(dut):
    slept = dut.expect(r"deep sleep for (\d+) ms\n")[1]
    dut.expect_exact(f"woken by timer, slept {slept} ms in all, 0 events so far")
    assert dut.events() == []
