"""What the monitor makes of a board's bytes: safe text, whole lines, filter, colours, log."""

import io
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.monitor.filter import LOG_LINE, Filter, may_become_log_line
from cicada.tools.monitor.screen import Log, Screen
from cicada.tools.monitor.text import Cleaner

# Bytes that matter more often than by chance.
SPICE = st.sampled_from(
    [b"\x1b", b"\x1b[", b"\x1b[0;31m", b"\x1b[2J", b"\x1b]0;x\x07", b"\r", b"\n", b"\r\n", b"\xc2\x9b",
     b"\xe2\x82", b"\xac", b"I (1) node: ", b"E (2) wifi: ", b"W boot: ", b">>> ", b"\x0e", b"\x1b[12D",
     b"\x1b[K"]
)  # fmt: skip
TALK = st.lists(st.one_of(SPICE, st.binary(max_size=3)), max_size=30).map(b"".join)
HARMLESS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[[0-9]*[DK]|[^\x00-\x1f\x7f-\x9f]|[\t\b\r\n]")


class Terminal(io.StringIO):
    """Where text goes, and a terminal if need be."""

    def isatty(self):
        return True


def shown(data, size=None, **options):
    """What a screen shows of ``data``, fed in parts of ``size`` bytes."""
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), **options)
    size = size or max(len(data), 1)
    for at in range(0, len(data), size):
        screen.feed(data[at : at + size])
    screen.close()
    return out.getvalue()


@given(TALK, st.integers(1, 9))
@example(b"\x1b[1;1;1;1;1;1;1;1;1;1m\x1b[1234D\r\r\n", 1)
def test_text_does_not_depend_on_how_the_bytes_arrive(data, size):
    options = {"terminal": True, "colours": True, "rules": Filter("node:W")}
    assert shown(data, size, **options) == shown(data, **options)


@given(TALK)
def test_nothing_can_harm_the_terminal(data):
    left = HARMLESS.sub("", shown(data, terminal=True, colours=True))
    assert left == ""


@given(TALK)
def test_a_file_gets_neither_colours_nor_cursor_movements(data):
    assert "\x1b" not in shown(data)


def test_control_bytes_are_made_visible():
    assert shown(b"\x1b[2Ja\x07\x0e\x7f\xc2\x9bb\xff\n") == "^[[2Ja^G^N^?\\x9bb\ufffd\n"


def test_line_editing_of_the_repl_passes():
    typed = b">>> abc\x08\x08\x1b[Kx\x1b[10D"
    assert shown(typed, terminal=True) == typed.decode() + "\n"


def test_a_sequence_that_never_ends_is_shown_after_a_moment():
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), terminal=True)
    screen.feed(b"a\x1b[3")
    assert out.getvalue() == "a"
    screen.idle()
    assert out.getvalue() == "a^[[3"


def test_a_prompt_is_shown_at_once():
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), stamp=lambda: "12:00 ")
    screen.feed(b"ready\r\n>>> ")
    assert out.getvalue() == "12:00 ready\n12:00 >>> "


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_every_line_has_one_timestamp(size):
    times = iter("abcdef")
    text = shown(b"one\r\n\r\nI (5) node: three\r\nfo", size, stamp=lambda: next(times) + " ")
    assert text == "a one\nb \nc I (5) node: three\nd fo"


def test_a_line_is_stamped_when_it_begins():
    now = ["1 "]
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), stamp=lambda: now[0])
    screen.feed(b"I (5")
    now[0] = "2 "
    screen.feed(b") node: x\n")
    assert out.getvalue() == "1 I (5) node: x\n"


LINES = (
    b"I (1) node: a\r\nE (2) node: b\r\nW (3) wifi: c\r\nE (4) wifi: d\r\n"
    b"\x1b[0;33mW (5) phy init: e\x1b[0m\r\n"
    b'I boot: f\r\nEVENT {"n": 1}\r\nE: not a log line\r\nD (6) x:y\r\n>>> '
)
OTHERS = 'EVENT {"n": 1}\nE: not a log line\nD (6) x:y\n>>> '


@pytest.mark.parametrize(
    "rules, letters",
    [
        ("", "abcdef"),
        ("*:V", "abcdef"),
        ("*", "abcdef"),
        ("*:N", ""),
        ("node", "ab"),
        ("node:E", "b"),
        ("node:n *:w", "cde"),
        ("wifi:E boot:I", "df"),
        ("wifi:V *:E", "bcd"),
    ],
)
def test_filter_rules_are_those_of_idf_monitor_for_log_lines(rules, letters):
    got = shown(LINES, 3, rules=Filter(rules))
    assert "".join(re.findall(r"^[EWI] .*: (.)$", got, re.MULTILINE)) == letters
    assert got.endswith(OTHERS)


@pytest.mark.parametrize("rules", ["node:X", ":W", "node:I:W", "*:4"])
def test_a_wrong_filter_says_how_to_write_one(rules):
    with pytest.raises(UserError, match="TAG:LEVEL"):
        Filter(rules)


@given(
    st.sampled_from("EWIDV"), st.integers(0, 10**9), st.from_regex(r"[^:\n\r\x00-\x1f]{1,40}", fullmatch=True)
)
def test_the_beginning_of_a_log_line_is_recognised(level, time, tag):
    line = f"{level} ({time}) {tag}: "
    assert LOG_LINE.match(line)[2] == tag
    assert all(may_become_log_line(line[:n]) for n in range(1, len(line)))
    assert not may_become_log_line(line)


def test_half_a_log_line_is_shown_when_nothing_follows():
    out = io.StringIO()
    screen = Screen(out, io.StringIO(), rules=Filter("*:N"))
    screen.feed(b"I")
    assert out.getvalue() == ""
    screen.idle()
    screen.feed(b" am here\n")
    assert out.getvalue() == "I am here\n"


def test_log_lines_are_coloured_by_level_and_own_colours_are_kept():
    text = b"E (1) a: x\nW (1) a: x\nI (1) a: x\nD (1) a: x\n\x1b[0;35mI (1) a: x\x1b[0m\nprint\n"
    assert shown(text, terminal=True, colours=True) == (
        "\x1b[31mE (1) a: x\x1b[0m\n\x1b[33mW (1) a: x\x1b[0m\n\x1b[32mI (1) a: x\x1b[0m\n"
        "D (1) a: x\n\x1b[0;35mI (1) a: x\x1b[0m\nprint\n"
    )


def test_a_colour_left_on_ends_with_the_session():
    assert shown(b"\x1b[31mred\n", terminal=True, colours=True).endswith("red\n\x1b[0m")


def test_an_unfinished_coloured_line_leaves_the_terminal_plain():
    assert shown(b"E (1) a: x", terminal=True, colours=True) == "\x1b[31mE (1) a: x\x1b[0m\n"
    out = Terminal()
    screen = Screen(out, out, terminal=True, colours=True)
    screen.feed(b"\x1b[31mred")
    screen.paused = True
    screen.note("hidden")
    assert out.getvalue() == "\x1b[31mred\n\x1b[0m\x1b[33m--- hidden\x1b[0m\n"


def test_a_note_begins_a_line_of_its_own():
    out = Terminal()
    screen = Screen(out, out, terminal=True)
    screen.feed(b">>> ")
    screen.note("gone")
    screen.note("back")
    screen.feed(b"x\n")
    assert out.getvalue() == ">>> \n--- gone\n--- back\nx\n"


def test_the_log_gets_everything_without_colours(tmp_path):
    path = tmp_path / "logs" / "board.txt"
    log = Log(path, "/dev/ttyUSB7")
    shown(
        b"\x1b[0;32mI (1) node: a\x1b[0m\r\nI (2) wifi: b\r\n\xff\x1b[2J>>> ", 2, rules=Filter("x"), log=log
    )
    head, *lines = path.read_text().splitlines()
    assert re.fullmatch(r"--- \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+\d\d:\d\d /dev/ttyUSB7", head)
    assert lines == ["I (1) node: a", "I (2) wifi: b", "\ufffd^[[2J>>> "]


def test_an_old_log_is_never_lost(tmp_path):
    path = tmp_path / "log"
    for text in (b"first\n", b"second\n"):
        shown(text, log=Log(path, "p"))
    assert [line for line in path.read_text().splitlines() if "---" not in line] == ["first", "second"]


def test_hidden_output_is_logged(tmp_path):
    out, log = io.StringIO(), Log(tmp_path / "log", "p")
    screen = Screen(out, io.StringIO(), log=log)
    screen.paused = True
    screen.feed(b"secret\n")
    screen.paused = False
    screen.feed(b"open\n")
    assert out.getvalue() == "open\n"
    assert "secret\nopen\n" in (tmp_path / "log").read_text()


def test_a_log_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="writing the log"):
        Log(tmp_path / "file" / "log", "p")


def test_a_full_disk_ends_the_log_but_not_the_session():
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, log=FullDisk())
    screen.feed(b"one\ntwo\n")
    assert out.getvalue() == "one\ntwo\n" and err.getvalue().count("No space left") == 1


class FullDisk:
    """A log on a disk without room."""

    path = "some/log"

    def write(self, text):
        raise OSError(28, "No space left on device")


def test_a_cleaner_gives_back_what_it_held():
    cleaner = Cleaner()
    assert cleaner.feed(b"\xe2\x82") == []
    assert [piece.text for piece in cleaner.flush()] == ["\ufffd"]
    assert [piece.text for piece in cleaner.feed(b"ok")] == ["ok"]
