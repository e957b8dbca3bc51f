"""The device under test: what ``expect`` matches and how it fails, and a board at a serial port."""

import os
import re
import select
import threading
import tty

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.dut.base import Dut, ExecError, ExpectTimeout
from cicada.tools.dut.serial import SerialDut
from cicada.tools.errors import UserError

# What is matched: a board that says pieces of text, one a second


class Talker(Dut):
    """Says one of ``pieces`` every second."""

    def __init__(self, *pieces):
        super().__init__()
        self.pieces, self.said, self.seconds = list(pieces), "", 0.0

    text = property(lambda self: self.said)
    now = property(lambda self: self.seconds)
    write = reset = power_off = power_on = close = None

    def _run(self, done, seconds):
        end = self.seconds + seconds
        while not done():
            if self.seconds >= end:
                return False
            self.seconds += 1
            self.said += self.pieces.pop(0) if self.pieces else ""
        return True


def test_expect_goes_on_behind_the_last_match():
    dut = Talker("a=1\n", "a=2\na=3\n")
    assert [dut.expect(r"a=(\d)\n")[1] for _ in range(3)] == ["1", "2", "3"]
    assert dut.now == 2
    with pytest.raises(ExpectTimeout):
        dut.expect(r"a=\d", timeout=5)
    assert dut.now == 7


def test_of_several_patterns_the_first_in_the_text_wins():
    dut = Talker("one two three")
    match = dut.expect(["three", re.compile("TWO", re.IGNORECASE), "nothing"])
    assert match[0] == "two" and match.re.pattern == "TWO"
    assert dut.expect_exact(["x", "three"])[0] == "three"
    with pytest.raises(ValueError, match="empty"):
        dut.expect([])


def test_bytes_give_bytes_and_count_characters_rightly():
    dut = Talker("größe ∞ 5 ende")
    assert dut.expect(rb"gr(.+?)e")[1] == "öß".encode()
    assert dut.expect_exact("∞".encode())[0] == "∞".encode()
    assert dut.expect(["z", rb"\d", "e"])[0] == b"5"
    assert dut.expect(" ende")


def test_a_caret_is_the_start_of_a_line_and_exact_text_has_no_patterns():
    dut = Talker("x EVENT\nEVENT (a|b).*\n")
    assert dut.expect("^EVENT").start() == len("x EVENT\n")
    dut.expect_exact("(a|b).*")


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.data())
def test_matches_do_not_depend_on_how_the_text_arrives(numbers, data):
    text = "".join(f"I: n = {n}\n" for n in numbers)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    dut = Talker(*pieces)
    assert [int(dut.expect(r"^I: n = (\d)\n")[1]) for _ in numbers] == numbers


def test_a_failed_expect_shows_the_pattern_and_the_last_lines():
    dut = Talker("".join(f"line {n}\n" for n in range(100)))
    with pytest.raises(TimeoutError) as failure:
        dut.expect(["never", "ev(e)r"], timeout=3)
    assert isinstance(failure.value, AssertionError)
    message = str(failure.value)
    assert "'never' or 'ev(e)r' within 3 s" in message
    assert re.findall(r"line (\d+)", message) == [str(n) for n in range(80, 100)]
    with pytest.raises(ExpectTimeout, match="it said nothing at all"):
        Talker().expect_exact("a", timeout=1)


def test_events_are_found_among_others_and_broken_ones():
    dut = Talker('EVENT {"event": "a", "n": 1}\nEVENT {"bro\n', 'EVENT {"event": "b", "n"', ": 2}\nEVENT {")
    assert dut.expect_event("b") == {"event": "b", "n": 2}
    assert [e["event"] for e in dut.events()] == ["a", "b"]
    with pytest.raises(ExpectTimeout, match="an event of kind 'a' within 2 s"):
        dut.expect_event("a", timeout=2)


# At a port


class FakeBoard:
    """The other end of a pty: says what a board would, as awkwardly as a serial line may."""

    def __init__(self):
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._raw, self._code, self._stopped = False, b"", False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def say(self, *pieces):
        for piece in pieces:
            os.write(self.master, piece)

    def _serve(self):
        while not self._stopped:
            if select.select([self.master], [], [], 0.02)[0]:
                self._answer(os.read(self.master, 1))

    def _answer(self, typed):
        if typed == b"\x03":
            self.say(b"\r\nTraceback (most recent call last):\r", b"\nKeyboardInterrupt: \r\n>>> ")
        elif typed == b"\x01":
            self._raw, self._code = True, b""
            self.say(b"\r\nraw REPL; CTRL-B to ", b"exit\r\n>")
        elif typed == b"\x02":
            self._raw = False
            self.say(b"\r\n>>> ")
        elif typed == b"\x04" and self._raw:
            if b"1 / 0" in self._code:
                self.say(b"OK\x04Traceback:\r\nZeroDivisionError: divide by zero\r\n\x04>")
            else:
                self.say(b"OK%d bytes \xe2" % len(self._code), b"\x88\x9e\r", b"\n\x04\x04", b">")
            self._code = b""
        else:
            self._code += typed

    def unplug(self):
        if self._stopped:
            return
        self._stopped = True
        self._thread.join()
        os.close(self._slave)
        os.close(self.master)


@pytest.fixture
def fake():
    board = FakeBoard()
    yield board
    board.unplug()


@pytest.fixture
def at_port(fake):
    dut = SerialDut(fake.port, 115200)
    yield dut
    dut.close()


def test_text_of_a_port_arrives_whole(fake, at_port):
    fake.say(b"\xff first\r", b"\nsec\xe2\x88", b"\x9end\r\nth\rird\r\n")
    assert at_port.expect("^sec(.)nd\n", timeout=5)[1] == "∞"
    at_port.expect_exact("th\rird\n", timeout=5)
    assert at_port.text == "\ufffd first\nsec∞nd\nth\rird\n"


def test_exec_at_a_port(fake, at_port):
    assert at_port.exec("pass", timeout=5) == "5 bytes ∞\n"
    assert at_port.exec("x" * 2000, timeout=5) == "2001 bytes ∞\n"
    with pytest.raises(ExecError, match="ZeroDivisionError"):
        at_port.exec("1 / 0", timeout=5)


def test_a_timeout_at_a_port_is_wall_time_and_suspects_the_baud_rate(fake, at_port):
    fake.say(b"plain text")
    with pytest.raises(ExpectTimeout, match=r"did not say 'never' within 0\.2 s; its") as failure:
        at_port.expect_exact("never", timeout=0.2)
    assert "plain text" in str(failure.value)
    fake.say(b"\x80\xfe\xf3" * 100)
    with pytest.raises(ExpectTimeout, match="garbled: is 115200 its baud rate"):
        at_port.expect("never", timeout=0.2)


def test_what_a_port_cannot_do_is_skipped(at_port):
    for call, reason in (
        (at_port.reset, "no line RTS"),
        (at_port.power_off, "power"),
        (at_port.power_on, "power"),
    ):
        with pytest.raises(pytest.skip.Exception, match=reason):
            call()


def test_a_board_unplugged_is_one_sentence(fake, at_port):
    fake.unplug()
    with pytest.raises(UserError, match="went away in the middle of the test"):
        at_port.expect("x", timeout=5)


def test_ports_that_cannot_be_opened_are_one_sentence(fake, at_port):
    with pytest.raises(UserError, match="in use by another program"):
        SerialDut(fake.port, 115200)
    with pytest.raises(UserError, match="at -1 baud"):
        SerialDut(fake.port, -1)
    with pytest.raises(UserError, match="cannot be opened as a serial port"):
        SerialDut("rfc2217://127.0.0.1:1", 115200)
