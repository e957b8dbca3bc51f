"""Lines and answers of commands: whatever is typed or answered, it is one JSON object of bounded length."""

import contextlib
import importlib
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.configs import documents
from support.pretend import pretend

LONGEST = 1024


@pytest.fixture(scope="module")
def commands():
    """``node.commands`` under CPython."""
    with pretend() as node:
        node.log.tail = lambda count: [f"line {n} " + "é" * 30 for n in range(count)]
        found = importlib.import_module("node.commands")
        found.brief.forget = lambda *names: None  # importing takes CPython long
        yield found


@pytest.fixture(scope="module")
def table(commands):
    return importlib.import_module("node.commands.table")


class Config:
    """A configuration that takes every change."""

    on_trial = staged = False
    errors = ()

    def __init__(self, data=None):
        self.data, self.changes = data or {}, []

    def get(self, path=""):
        return self.data

    def change(self, values, remote=False):
        self.changes.append((values, remote))

    def keep(self):
        raise ValueError("no configuration is on trial")

    def revert(self, why):
        return True


class Node:
    """Answers whatever it is given."""

    def __init__(self, answer=None, data=None):
        self.answer, self.requests, self.config = answer, [], Config(data)

    def status(self):
        return self.answer

    health = status

    def models(self):
        return []

    def use_model(self, name, slot):
        raise OSError(5)

    def check_updates(self):
        raise RuntimeError

    def adapt(self, name, action, label):
        return {"label": label}

    def capture(self, source, ms, sink):
        sink.write(bytes(ms % 700), "s16", 16000, True)

    def provision(self, action):
        return {}

    def request(self, what):
        self.requests.append(what)


def typed(commands, node, line):
    """The answer to a line."""
    paper = io.StringIO()
    with contextlib.redirect_stdout(paper):
        commands.Commands(node).console(line)
    *_, last = paper.getvalue().splitlines()
    word, _, text = last.partition(" ")
    assert word == "ANSWER" and len(text.encode()) <= LONGEST
    return json.loads(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner), max_leaves=30
)


@given(answer=st.dictionaries(st.text(), json_values, max_size=20))
@settings(max_examples=100, deadline=None)
def test_every_answer_fits_and_its_pages_make_it_up(commands, answer):
    answer = {key: value for key, value in answer.items() if key not in ("ok", "error", "counter", "part")}
    node = Node(answer)
    first = typed(commands, node, "status")
    if "part" in first:
        parts = [typed(commands, node, f"status {page}")["part"] for page in range(first["pages"])]
        first = json.loads("".join(parts))
    assert first == {"ok": True, **answer}


@given(data=documents())
@settings(max_examples=40, deadline=None)
def test_a_whole_configuration_comes_in_pages(commands, data):
    data = json.loads(json.dumps(data, default=str).replace("NaN", "0").replace("Infinity", "1"))
    node = Node(data=data)
    count = typed(commands, node, "config get page=0")["pages"]
    pages = [typed(commands, node, f"config get page={page}") for page in range(count)]
    whole = json.loads("".join(page["part"] for page in pages))
    assert whole["value"] == data


words = st.sampled_from(
    [
        *"help status health config get set keep revert capture models use model update check".split(),
        *"adapt teach log reboot setup provision factory reset erase page=1 page=x count=3".split(),
        *"{ [1] 0 -1 99999999999 = == name=".split(),
    ]
)


@given(line=st.lists(words | st.text(max_size=5), max_size=6).map(" ".join) | st.text(max_size=900))
@settings(max_examples=300, deadline=None)
def test_any_line_is_answered(commands, line):
    answer = typed(commands, Node({}), line)
    assert isinstance(answer["ok"], bool) and (answer["ok"] or answer["error"])


@given(name=st.text() | words, arguments=json_values | st.dictionaries(st.text(), json_values))
@settings(max_examples=200, deadline=None)
def test_anything_that_comes_as_a_command_is_answered(commands, name, arguments):
    answer = commands.Commands(Node({})).run(name, arguments, "network")
    assert isinstance(answer["ok"], bool)


def test_each_command_has_what_carries_it_out(commands, table):
    for row in table.TABLE:
        assert hasattr(commands.Commands, "_" + row[0].replace(" ", "_"))
        assert len({argument[0] for argument in row[1]}) == len(row[1])


def test_what_fails_says_so(commands):
    node = Node({})
    assert typed(commands, node, "use model a 1")["error"] == "5"  # as CPython says it
    assert typed(commands, node, "update check")["error"] == "RuntimeError"
    assert typed(commands, node, "config keep")["error"] == "no configuration is on trial"


def test_requests_are_made_after_checking(commands):
    node = Node({})
    for line in (
        "reboot",
        "setup",
        "config revert",
        "factory reset",
        "factory reset no",
        "factory reset erase",
    ):
        typed(commands, node, line)
    assert node.requests == ["reboot", "setup", "reload", "factory"]


def test_the_network_may_not_do_everything(commands):
    node = Node({})
    for name, arguments in (("factory reset", {"confirm": "erase"}), ("provision", {"action": {}})):
        answer = commands.Commands(node).run(name, arguments, "network")
        assert answer["error"] == f"{name} works at the console alone"
    commands.Commands(node).run("config set", {"path": "name", "value": "a"}, "network")
    commands.Commands(node).run("config set", {"path": "name", "value": None}, "console")
    assert node.config.changes == [({"name": "a"}, True), ({"name": None}, False)]
    assert node.requests == []


def test_log_lines_are_cut_to_fit(commands):
    lines = typed(commands, Node({}), "log 200")["lines"]
    assert 2 < len(lines) < 30 and lines[-1].startswith("line 199 ")
    assert typed(commands, Node({}), "log count=2")["lines"][0].startswith("line 0 ")
