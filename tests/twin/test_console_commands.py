"""Commands typed at the console of a twin, and envelopes handed to it: real interpreter, flash and NVS."""

import json
import random
import re
import string

import pytest

from cicada.tools.board import load_board
from cicada.tools.node import envelope
from cicada.tools.node.capture import Capture
from cicada.tools.twin import factory
from cicada.tools.twin.twin import Twin
from support.configs import EXAMPLE, text
from support.nodes import NODE, console_program
from support.releases import key_of
from support.twins import QUIET, run_script, script_flash

BOARD = load_board("twin")
SIGNER, KEY = key_of(41)
STRANGER, _ = key_of(42)
DEVICE = bytes.fromhex(BOARD.UNIQUE_ID)


class Terminal:
    """Somebody at the console of a twin that runs :func:`console_program`."""

    def __init__(self, folder, locked=False):
        self.twin = Twin(script_flash(console_program(locked), folder), BOARD, QUIET)
        self.twin.power_on()
        assert self.twin.run_until(lambda: "READY" in self.twin.text, 20), self.twin.text

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.twin.power_off()

    def type(self, keys, until="\nANSWER "):
        """What the console says from then on, to the end of the line that begins with ``until``."""
        at = len(self.twin.text)
        self.twin.type(keys)

        def done():
            said = self.twin.text[at:].replace("\r", "")
            return until in said and said[said.rindex(until) :].count("\n") > until.count("\n")

        assert self.twin.run_until(done, 10), self.twin.text[at:]
        return self.twin.text[at:].replace("\r", "")

    def ask(self, line):
        """The answer to a line."""
        said = self.type(line.encode() + b"\n")
        return json.loads(re.findall(r"^ANSWER (.*)$", said, re.MULTILINE)[-1])


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    with Terminal(tmp_path_factory.mktemp("console")) as terminal:
        yield terminal


def test_each_command_answers_with_one_line_of_json(terminal):
    assert terminal.ask("status") == {"ok": True, "name": "", "state": "listening"}
    assert "config get" in terminal.ask("help")["commands"]
    assert terminal.ask("help use") == {"ok": True, "use model NAME SLOT": "run another of its models"}
    assert terminal.ask("models")["models"] == [{"name": "kws", "slot": 0}]
    assert terminal.ask("use model kws 1") == {"ok": True, "slot": "1"}
    assert terminal.ask("adapt name=vib reset")["action"] == "reset"
    assert terminal.ask("adapt kws teach hello")["label"] == "hello"
    assert terminal.ask("update check")["ok"]
    assert terminal.ask('provision {"do": "about"}')["do"] == "about"
    assert terminal.ask("config get plan.quiet_s")["value"] == 5
    assert terminal.ask("log 2")["lines"][-1].endswith("node: command config get from the console")


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("nonsense", "there is no such command: there are help, status, "),
        ("config", "there is no such command"),
        ("capture", "source is missing: capture SOURCE MS"),
        ("capture microphone", "ms is missing: capture SOURCE MS"),
        ("capture microphone soon", "ms must be a whole number from 1 to 60000: capture SOURCE MS"),
        ("capture eye 10", "[Errno 19] ENODEV"),
        ("status now", "page must be a whole number from 0 to 99: status [PAGE]"),
        ("status 0 1", "that is too much: status [PAGE]"),
        ("reboot now", "that is too much: reboot"),
        ("use model mine 1", "there is no model 'mine'"),
        ("adapt kws teach", "a label goes with teach: adapt NAME teach LABEL"),
        ("factory reset", "confirm is missing: factory reset erase"),
        ("factory reset yes", "confirm must be erase: factory reset erase"),
        ("config set plan.quiet_s", "something is missing: config set PATH VALUE; null takes it away"),
        ("config set plan.quiet_s {", "the value is no JSON"),
        ("config set plan.quiet 3", "plan.quiet is not known: did you mean 'quiet_s'?"),
        ("config get nothing", "there is no 'nothing' in the configuration"),
        ("health page=99", "there are 5 pages, from 0 on"),
        ("x" * 1000, "the line is longer than 768 characters"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(terminal, line, error):
    answer = terminal.ask(line)
    assert answer["ok"] is False and answer["error"].startswith(error)


def test_a_long_answer_comes_in_pages(terminal):
    first = terminal.ask("health")
    parts = [terminal.ask(f"health {page}")["part"] for page in range(first["pages"])]
    assert parts[0] == first["part"] and len(parts) == 5
    assert json.loads("".join(parts)) == {"ok": True, "uptime_s": 12, "heap": list(range(400))}


def test_the_line_may_be_edited_and_noise_is_left_out(terminal):
    said = terminal.type(b"\x00\xffst\x80aX\x7fYZ\x08\x08tus\r\n")
    assert json.loads(said.split("ANSWER ")[1])["state"] == "listening"
    assert said.startswith("staX\b \bYZ\b \b\b \btus\n")


def test_both_kinds_of_line_ends_are_one(terminal):
    said = terminal.type(b"status\r\n\r\n\n\rconfig get plan.kind\r\n", until='"listen"')
    assert said.count("ANSWER") == 2


def test_a_capture_comes_in_pieces(terminal):
    capture = Capture()
    said = terminal.type(b"capture microphone 100\n")
    for line in re.findall(r"^CAPTURE (.*)$", said, re.MULTILINE):
        capture.line(json.loads(line))
    assert (capture.form, capture.rate, capture.complete) == ("s16", 16000, True)
    assert capture.data == bytes(range(256)) * 5


def test_no_line_of_noise_stops_the_console(terminal):
    rng = random.Random(3)
    words = [
        "config",
        "set",
        "get",
        "plan",
        "{",
        '"',
        "[1,",
        "log",
        "-1",
        "99999999999999",
        "help",
        "page=",
        "=",
        ".",
    ]
    for _ in range(60):
        if rng.random() < 0.5:
            line = " ".join(rng.choice(words) for _ in range(rng.randrange(1, 7)))
        else:
            line = "".join(rng.choice(string.printable[:95]) for _ in range(rng.randrange(1, 40)))
        if line.strip().startswith(("reboot", "factory")) or not line.strip():
            continue
        assert isinstance(terminal.ask(line)["ok"], bool)
    noise = bytes(rng.choice([*range(4, 8), *range(14, 32), *range(128, 256)]) for _ in range(400))
    terminal.twin.type(noise)
    assert terminal.ask("status")["ok"]


def test_secrets_that_are_typed_appear_nowhere(tmp_path):
    secrets = ("first secret", "second secret", "third secret", "fourthsecret")
    with Terminal(tmp_path) as terminal:
        assert terminal.ask('config set wifi {"ssid": "barn", "key": "first secret"}')["ok"]
        assert terminal.ask('config set wifi.key "second secret"')["ok"]
        assert terminal.ask(
            'config  set  mqtt {"host": "b", "tls": false, "user": "u", "password": "third secret"}'
        )["ok"]
        assert terminal.ask("config set mqtt.password fourthsecret extra")["ok"] is False
        assert terminal.ask('config set wifi {"ssid": "barn", "keys": "first secret"}')["ok"] is False
        assert terminal.ask('config set wifi.key {"a": "first secret"}')["ok"] is False
        assert terminal.ask('config set {"wifi": "first secret"}')["ok"] is False
        assert terminal.ask('provision {"do": "piece", "data": "first secret"}')["ok"]
        terminal.type(b"reboot\n", until="REQUEST reboot")
        assert "barn" in json.dumps(terminal_after(terminal).ask("config get wifi"))
        for page in range(3):
            terminal.ask(f"config get page={page}")
        terminal.ask("log 200")
        said = terminal.twin.text
    assert not any(secret in said for secret in secrets)
    assert said.count("***") >= 4


def terminal_after(terminal):
    """The same terminal, once the program has started again."""
    terminal.twin.press_reset()
    count = terminal.twin.text.count("READY")
    assert terminal.twin.run_until(lambda: terminal.twin.text.count("READY") > count, 20), terminal.twin.text
    return terminal


def test_ctrl_c_stops_a_development_image(tmp_path):
    with Terminal(tmp_path) as terminal:
        terminal.twin.type(b"\x03")
        assert terminal.twin.run_until(lambda: ">>> " in terminal.twin.text, 10)


def test_ctrl_c_does_not_get_into_a_locked_image(tmp_path):
    with Terminal(tmp_path, locked=True) as terminal:
        said = terminal.type(b"confi\x03\x01\x04\x05\x02status\n")
        assert '"state": "listening"' in said and "KeyboardInterrupt" not in said
        terminal.twin.type(b"\x03" * 50)
        assert terminal.ask("status")["ok"]
        assert ">>>" not in terminal.twin.text


def test_waiting_for_somebody_allocates_nothing(tmp_path):
    code = (
        NODE
        + """
import machine, micropython
from node.commands import Commands
from node.console import Console
console = Console(Commands(Node()))
console.poll()
micropython.heap_lock()
for _ in range(50):
    console.poll()
micropython.heap_unlock()
print("nothing was allocated")
machine.deepsleep()
"""
    )
    assert "nothing was allocated" in run_script(code, tmp_path, seconds=20).text


def by_network(folder, envelopes, code="", seconds=30):
    """What a node says that is handed envelopes; ``code`` runs between them and the end."""
    config = text(EXAMPLE | {"commands": {"keys": [KEY.public.hex()]}})
    program = (
        NODE
        + f"""
import machine
with open("/cicada.json", "w") as file:
    file.write({config!r})
from node.commands import Commands
node = Node()
commands = Commands(node)
def hand(data):
    answer = commands.network(bytes.fromhex(data))
    print("GOT", answer.decode() if answer else "null")
for data in {[data.hex() for data in envelopes]!r}:
    hand(data)
{code}
machine.deepsleep()
"""
    )
    return run_script(program, folder, seconds=seconds).text.replace("\r", "")


def signed(name, counter, signer=SIGNER, device=DEVICE, expiry=0, **arguments):
    return envelope.pack(signer, device, counter, expiry, name, arguments)


def test_signed_commands_are_carried_out_once_and_answered(tmp_path):
    status = signed("status", 5)
    said = by_network(
        tmp_path,
        [
            status,
            status,
            signed("status", 4),
            signed("status", 6, STRANGER),
            signed("status", 7, device=bytes(6)),
            signed("status", 8, expiry=1),
            signed("config set", 9, values={"plan.quiet_s": 9}),
            signed("config set", 10, values={"mqtt.tls": False}),
            signed("factory reset", 11, confirm="erase"),
            signed("provision", 12, action={"do": "forget"}),
            envelope.seal(SIGNER, DEVICE, 13, 0, b"[1, 2"),
            envelope.seal(SIGNER, DEVICE, 14, 0, b'{"command": 7}'),
            signed("capture", 15, source="microphone", ms=10),
            signed("health", 16, page=1),
        ],
        'print("SENT", len(node.published), node.published[0][0])\nprint(open("/cicada.new").read())',
    )
    got = re.findall(r"^GOT (.*)$", said, re.MULTILINE)
    answers = [json.loads(line) for line in got]
    assert answers[0] == {"counter": 5, "ok": True, "name": "barn", "state": "listening"}
    assert answers[1:6] == [None] * 5
    assert re.findall(r"command refused: (.*)", said) == [
        "counter 5 was used before",
        "counter 4 was used before",
        "signed with a key that may not command",
        "for another device",
        "it expires, and the clock is not set",
    ]
    assert answers[6]["staged"] and answers[6]["counter"] == 9
    assert answers[7]["error"] == "TLS is switched off at the console alone"
    assert answers[8]["error"] == "factory reset works at the console alone"
    assert answers[9]["error"] == "provision works at the console alone"
    assert answers[10]["error"] == 'the body is not {"command": NAME, "arguments": {...}}'
    assert answers[11]["error"].startswith("there is no such command")
    assert answers[12]["bytes"] == 1280 and answers[12]["id"] == 15
    assert (answers[13]["page"], answers[13]["pages"], answers[13]["counter"]) == (1, 5, 16)
    assert "SENT 3 capture" in said and '"quiet_s": 9' in said


def test_the_network_is_off_without_keys(tmp_path):
    code = (
        NODE
        + f"""
import machine
from node.commands import Commands
print("GOT", Commands(Node()).network(bytes.fromhex({signed("status", 5).hex()!r})))
machine.deepsleep()
"""
    )
    said = run_script(code, tmp_path, seconds=20).text
    assert "GOT None" in said and "no key may command over the network" in said


def test_no_power_cut_lets_a_command_run_twice(tmp_path):
    """The power goes at each flash operation of the counter; the same envelope comes again afterwards."""
    import copy

    from cicada.tools.twin.flash import Cut

    config = json.dumps({"commands": {"keys": [KEY.public.hex()]}})
    program = (
        NODE
        + f"""
import machine
from node.commands import Commands
print("READY")
print("GOT", Commands(Node()).network(bytes.fromhex({signed("status", 5).hex()!r})))
print("DONE")
machine.deepsleep(100000000)
"""
    )
    contents = script_flash(program, tmp_path)
    files = factory.file_system({"/cicada.json": config.encode()})
    from support.slots import SLOTS

    contents = bytearray(contents)
    slot = SLOTS["vfs"]
    contents[slot.offset : slot.offset + len(files)] = files
    twin = Twin(bytes(contents), BOARD, QUIET)
    twin.flash.log = []
    twin.run(20)
    operations = len(twin.flash.log)
    assert twin.text.count("'state'") + twin.text.count('"state"') == 1 and operations > 2
    for number in range(operations):
        for when in ("before", "after", "inside"):
            twin = Twin(copy.copy(bytes(contents)), BOARD, QUIET)
            twin.cut_later([Cut(number, when, "prefix", 1)])
            twin.power_on()
            assert twin.run_until(lambda twin=twin: "DONE" in twin.text, 20), twin.text
            twin.press_reset()
            twin.run_until(lambda twin=twin: twin.text.count("DONE") > 1, 20)
            assert twin.text.count('"state"') <= 1, (number, when, twin.text)
            twin.power_off()
