"""``cicada node``: configurations, keys, counters, captures, and a command through a real broker."""

import argparse
import json
import threading
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicada.tools.errors import UserError
from cicada.tools.node import commands, device, envelope, reference, remote
from cicada.tools.node.capture import Capture
from support import broker
from support.configs import EXAMPLE
from support.releases import PASSPHRASE

DEVICE = "240ac4c1cada"


def run(*words):
    """Exit code of ``cicada node WORDS``."""
    parser = argparse.ArgumentParser()
    commands.add_parser(parser.add_subparsers(dest="command"))
    options = parser.parse_args(["node", *map(str, words)])
    return options.run(options)


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A key's file."""
    monkeypatch.setenv("CICADA_PASSPHRASE", PASSPHRASE)
    run("key", tmp_path / "me.pem")
    return tmp_path / "me.pem"


def test_the_reference_is_current():
    assert reference.PAGE.read_text() == reference.text(), (
        "docs/config.md is old: run 'cicada node config --reference --write'"
    )


def test_every_key_of_the_schema_is_in_the_reference():
    text = reference.text()
    schema = device.modules().schema
    for name in (name for name in vars(schema) if name.isupper()):
        for line in getattr(schema, name).split("\n"):
            assert f"| `{line.split('|')[0]}` |" in text
            assert line.count("|") == 6


def test_a_right_configuration_passes(tmp_path, capsys):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(EXAMPLE))
    assert run("config", path) == 0
    assert capsys.readouterr().out == f"{path}: right; plan 'event', pipelines: kws, vib, eye\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"plan": {"quiet": 1}}', "plan.quiet is not known: did you mean 'quiet_s'?"),
        ('{"plan": {"quiet": 1}, "x": 1}', "(and 1 more)"),
        ('{"rules": [{}]}', "a rule needs a name"),
        ("{", "is not JSON"),
        ("[" * 3000, "is not JSON"),
        (" " * 9000, "a device reads 8192"),
    ],
)
def test_a_wrong_configuration_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        run("config", path)
    assert said in str(error.value) and error.value.code == 2


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        run("config", tmp_path / "none.json")
    with pytest.raises(UserError, match="give a FILE"):
        run("config")


def test_the_devices_modules_leave_no_trace():
    import sys

    device.modules()
    assert "node" not in sys.modules and "micropython" not in sys.modules


def test_a_key_is_made_once_and_shown_again(key, capsys):
    run("key", key)
    shown = json.loads("{" + capsys.readouterr().out.splitlines()[-1] + "}")
    assert device.check(shown)[1] == []
    assert b"ENCRYPTED" in key.read_bytes()


def test_a_missing_key_says_how_to_make_one(tmp_path):
    with pytest.raises(UserError, match="makes a key"):
        run("command", DEVICE, "status", "--key", tmp_path / "no.pem", "--out", tmp_path / "o")


def test_counters_grow_whatever_the_clock_does(tmp_path):
    path = tmp_path / "key.pem"
    assert [envelope.next_counter(path, now) for now in (100, 100, 50, 200, 101)] == [100, 101, 102, 200, 201]


def test_counters_of_commands_at_the_same_time_differ(tmp_path):
    numbers = []
    threads = [
        threading.Thread(target=lambda: numbers.append(envelope.next_counter(tmp_path / "k", 7)))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(7, 27))


def test_a_broken_counter_is_not_guessed(tmp_path):
    (tmp_path / "k.counter").write_text("soon")
    with pytest.raises(UserError, match="holds no number"):
        envelope.next_counter(tmp_path / "k")


def test_an_envelope_for_later_is_written(key, tmp_path):
    out = tmp_path / "command.bin"
    assert run("command", DEVICE, "config", "set", "plan.quiet_s=9", "--key", key, "--out", out) == 0
    body = json.loads(out.read_bytes()[30:-64])
    assert body == {"command": "config set", "arguments": {"values": {"plan.quiet_s": 9}}}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0102", "status"], "is no device"),
        ([DEVICE, "log", "5"], "is no KEY=VALUE"),
    ],
)
def test_what_cannot_be_sent(key, tmp_path, words, said):
    with pytest.raises(UserError, match=said):
        run("command", *words, "--key", key, "--out", tmp_path / "o")
    with pytest.raises(UserError, match="give --broker"):
        run("command", DEVICE, "status", "--key", key)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["status"], "status"),
        (["config", "get", "plan.kind"], None),
        (["config", "get", "path=plan", "page=1"], "config get path=plan page=1"),
        (["config", "set", "name=barn"], 'config set name "barn"'),
        (["config set", 'wifi={"ssid": "a"}'], 'config set wifi {"ssid": "a"}'),
        (["log", "count=5"], "log count=5"),
        (["factory", "reset", "confirm=erase"], "factory reset confirm=erase"),
        (["nonsense"], None),
        (["log", "lines=5"], None),
        (["config", "set", "a=1", "b=2"], None),
    ],
)
def test_words_become_a_line_that_the_device_understands(words, line):
    if line is None:
        with pytest.raises(UserError):
            commands.line(*commands.parse(words))
        return
    name, arguments = commands.parse(words)
    assert commands.line(name, arguments) == line
    table = commands._table()
    found, given = table.parsed(line)
    assert found == name and table.checked(found, given) == given
    if name != "config set":
        assert given == arguments


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("mqtts://a", ("a", 8883, True, None)),
        ("mqtt://u@a:7", ("a", 7, False, "u")),
        ("http://a", None),
        ("mqtt://a:x", None),
        ("mqtt://u:p@a", None),
        ("a", None),
    ],
)
def test_urls_of_brokers(url, found):
    if found is None:
        with pytest.raises(UserError, match="is no broker"):
            remote.Broker.parse(url)
    else:
        assert remote.Broker.parse(url) == remote.Broker(*found)


def test_pages_become_one_answer():
    text = json.dumps({"ok": True, "value": list(range(50))})
    parts = [text[at : at + 40] for at in range(0, len(text), 40)]

    def ask(more):
        page = more.get("page", 0)
        return {"ok": True, "page": page, "pages": len(parts), "part": parts[page]}

    assert remote.whole(ask) == json.loads(text)
    assert remote.whole(lambda more: {"ok": True}) == {"ok": True}
    assert remote.whole(lambda more: None) is None


@given(st.binary(max_size=3000), st.randoms(use_true_random=False), st.booleans())
def test_a_capture_is_put_together_from_pieces_in_any_order(data, rng, twice):
    pieces = []
    for at in range(0, max(len(data), 1), 1000):
        part = data[at : at + 1000]
        last = at + 1000 >= len(data)
        pieces.append(
            b"CCAP"
            + bytes([1, 1])
            + last.to_bytes(2, "little")
            + b"".join(value.to_bytes(4, "little") for value in (9, at, 16000, len(part)))
            + part
        )
    rng.shuffle(pieces)
    capture = Capture()
    for piece in pieces * (1 + twice):
        capture.message(piece)
    capture.message(b"noise")
    assert capture.complete and capture.data == data


def test_a_capture_with_a_gap_is_not_written(tmp_path):
    capture = Capture()
    capture.line({"id": 1, "form": "s16", "offset": 4, "rate": 8000, "last": True, "data": "AAAA"})
    with pytest.raises(UserError, match="gaps"):
        capture.write(tmp_path / "a.wav")
    capture.line({"id": 1, "form": "s16", "offset": 0, "rate": 8000, "last": False, "data": "AQACAA=="})
    capture.line({"id": 2, "form": "s16", "offset": 0, "rate": 8000, "last": False, "data": "/////w=="})
    capture.line({"form": "s16"})
    capture._pieces[4] = b"\3\0"
    capture._size = 6
    capture.write(tmp_path / "a.wav")
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getframerate(), file.readframes(9)) == (8000, b"\1\0\2\0\3\0")


def test_a_picture_is_written_as_one(tmp_path):
    from PIL import Image

    capture = Capture()
    capture.message(
        b"CCAP\1\3\1\0" + b"".join(value.to_bytes(4, "little") for value in (1, 0, 3, 6)) + bytes(range(6))
    )
    capture.write(tmp_path / "a.pgm")
    image = Image.open(tmp_path / "a.pgm")
    assert image.size == (3, 2) and image.tobytes() == bytes(range(6))


def test_a_command_goes_through_a_real_broker_and_its_answer_comes_back(key, tmp_path, capsys, monkeypatch):
    (tmp_path / "broker").mkdir()
    with broker.running(tmp_path / "broker") as there:
        node = there.client()

        def on_message(client, data, message):
            counter = int.from_bytes(message.payload[22:26], "little")
            asked = json.loads(message.payload[30:-64])
            client.publish(f"cicada/{DEVICE}/answer", b"noise", 1)
            client.publish(f"cicada/{DEVICE}/answer", json.dumps({"counter": 1, "ok": True}), 1)
            answer = {
                "v": 1,
                "id": "0001-7",
                "counter": counter,
                "ok": asked["command"] == "status",
                "error": "no",
            }
            client.publish(f"cicada/{DEVICE}/answer", json.dumps(answer), 1)

        node.on_message = on_message
        node.subscribe(f"cicada/{DEVICE}/command", 1)
        monkeypatch.setenv("CICADA_MQTT_PASSWORD", broker.PASSWORD)
        url = f"mqtt://{broker.USER}@{there.host}:{there.port}"
        try:
            assert run("command", DEVICE, "status", "--key", key, "--broker", url) == 0
            assert json.loads(capsys.readouterr().out)["id"] == "0001-7"
            with pytest.raises(UserError, match="the node says: no"):
                run("command", DEVICE, "reboot", "--key", key, "--broker", url)
            with pytest.raises(UserError, match="no answer within 0.2 s"):
                run("command", "000000000001", "status", "--key", key, "--broker", url, "--wait", "0.2")
            monkeypatch.setenv("CICADA_MQTT_PASSWORD", "wrong")
            with pytest.raises(UserError, match="refuses: Not authorized"):
                run("command", DEVICE, "status", "--key", key, "--broker", url)
            with pytest.raises(UserError, match="no TLS|does not answer|cannot be reached"):
                run("command", DEVICE, "status", "--key", key, "--broker", url.replace("mqtt:", "mqtts:"))
        finally:
            node.disconnect()
            node.loop_stop()
