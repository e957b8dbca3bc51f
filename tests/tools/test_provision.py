"""``cicada provision``: what it takes, what it says, and that a node at a serial port is set up by it."""

import datetime
import fcntl
import os
import re
import struct
import termios
import threading
import time

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from cicada.tools.provision.asking import Console
from cicada.tools.twin.world import Network, World
from support.broker import PASSWORD, USER, running
from support.consoles import Board
from support.setups import CONSOLE, Setup, command
from support.slots import SLOTS
from support.twins import QUIET

KEY = "twinkle twinkle"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    return str(path)


@pytest.fixture
def start(tmp_path):
    """Start a twin that listens at its port; nothing secret is on its console or outside NVS in the end."""
    made = []

    def one(code=CONSOLE, hosts=None):
        port = tmp_path / "tty"
        made.append(Setup(code, tmp_path, World(QUIET, network=Network(), hosts=hosts or {}), port))
        return made[-1], str(port)

    yield one
    for setup in made:
        setup.close()
        nvs = SLOTS["nvs"]
        flash = bytearray(setup.twin.flash.read(0, setup.twin.flash.size))
        flash[nvs.offset : nvs.offset + nvs.size] = bytes(nvs.size)
        for secret in (KEY, "hush hush", PASSWORD):
            assert secret not in setup.twin.text and secret.encode() not in flash


def test_a_node_is_set_up_and_a_wrong_key_leaves_that_as_it_is(start, key_file, tmp_path, capsys):
    setup, port = start()
    setup.until("READY")
    assert setup.alongside(lambda: command("--port", port, "--ssid", "cicada", "--key-file", key_file)) == (
        0,
        "",
    )
    said = capsys.readouterr().out
    assert "network now: none" in said and "it was in cicada: stored" in said and "starts again" in said
    setup.until("HAS cicada False")
    wrong = tmp_path / "wrong"
    wrong.write_text("hush hush hush")
    code, error = setup.alongside(
        lambda: command("--port", port, "--ssid", "cicada", "--key-file", str(wrong))
    )
    assert (code, error) == (2, "Wi-Fi cicada: the key was not accepted; nothing was changed")
    assert "network now: cicada" in capsys.readouterr().out
    setup.twin.press_reset()
    setup.until("HAS cicada False")


def test_broker_certificates_and_configuration_arrive_whole(start, key_file, tmp_path, monkeypatch, capsys):
    ca, device_ca = trustme.CA(), trustme.CA()
    server, device = ca.issue_cert("broker", "localhost"), device_ca.issue_cert("node1")
    names = {
        name: tmp_path / name for name in ("ca", "chain", "server.key", "device", "device.key", "devices")
    }
    ca.cert_pem.write_to_path(str(names["ca"]))
    server.cert_chain_pems[0].write_to_path(str(names["chain"]))
    server.private_key_pem.write_to_path(str(names["server.key"]))
    device.cert_chain_pems[0].write_to_path(str(names["device"]))
    device.private_key_pem.write_to_path(str(names["device.key"]))
    device_ca.cert_pem.write_to_path(str(names["devices"]))
    config = tmp_path / "config.json"
    config.write_text(
        '{"name": "Barn", "mqtt": {"host": "broker", "ntp": null, "ca": "/x"}, "site": "%s"}' % ("s" * 60)
    )
    monkeypatch.setenv("CICADA_MQTT_PASSWORD", PASSWORD)
    secure = names["ca"], names["chain"], names["server.key"]
    with running(tmp_path, secure, (f"cafile {names['devices']}", "require_certificate true")) as broker:
        setup, port = start(hosts={f"broker:{broker.port}": ("127.0.0.1", broker.port)})
        setup.until("READY")
        arguments = ["--port", port, "--ssid", "cicada", "--key-file", key_file, "--config", str(config)]
        arguments += ["--broker", f"mqtts://{USER}@broker:{broker.port}", "--ca", str(names["ca"])]
        code, error = setup.alongside(lambda: command(*arguments))
        assert code == 2 and "client certificate" in error and "nothing was changed" in error
        own = ["--cert", str(names["device"]), "--client-key", str(names["device.key"])]
        assert setup.alongside(lambda: command(*arguments, *own)) == (0, "")
        assert "in cicada and at broker: stored" in capsys.readouterr().out
        setup.until("HAS cicada True")
        assert re.search(r"READY Barn .*'host': 'broker'", setup.twin.text)
        assert "nvs:client_cert" in setup.twin.text and "nvs:ca" in setup.twin.text
        assert "cada-setup" in broker.log.read_text()


def test_a_prompt_of_micropython_is_told_from_an_application(start, key_file):
    setup, port = start("print('READY')\n")
    setup.until(">>> ")
    code, error = setup.alongside(lambda: command("--port", port, "--ssid", "cicada", "--key-file", key_file))
    assert code == 2 and "MicroPython's prompt answers" in error and "\n" not in error
    assert KEY not in setup.twin.text


def test_a_node_may_sleep_a_while(start, key_file):
    sleepy = "import machine\nif machine.reset_cause() == 1: machine.deepsleep(4000)\n" + CONSOLE
    setup, port = start(sleepy)
    assert setup.alongside(lambda: command("--port", port, "--standalone")) == (0, "")
    setup.until("HAS None False")
    assert setup.twin.wakes == 1


@pytest.mark.parametrize("lines", [3, 5])
def test_a_node_that_falls_asleep_in_the_middle_is_told_again(lines, start, key_file, tmp_path):
    tired = CONSOLE.replace(
        "    console.poll()\n",
        "    if console.poll():\n        wdt.lines = getattr(wdt, 'lines', 0) + 1\n"
        f"        if machine.reset_cause() == 1 and wdt.lines == {lines}: machine.deepsleep(1500)\n",
    )
    config = tmp_path / "config.json"
    config.write_text('{"site": "%s"}' % ("s" * 60))
    setup, port = start(tired)
    setup.until("READY")
    arguments = ["--port", port, "--ssid", "cicada", "--key-file", key_file, "--config", str(config)]
    assert setup.alongside(lambda: command(*arguments)) == (0, "")
    setup.until("HAS cicada False")
    assert setup.twin.wakes == 1


def test_a_port_that_is_not_there_or_says_nothing_is_one_sentence(tmp_path, key_file, monkeypatch):
    code, error = command("--port", str(tmp_path / "none"), "--ssid", "x", "--key-file", key_file)
    assert code == 2 and "there is no port" in error
    monkeypatch.setattr("cicada.tools.provision.commands._HEARS_S", 0.2)
    monkeypatch.setattr("cicada.tools.provision.commands._AGAIN_S", 0.1)
    monkeypatch.setattr("cicada.tools.provision.asking._TAKES_S", 0.1)
    board = Board(tmp_path / "tty")
    code, error = command("--port", str(board.link), "--ssid", "x", "--key-file", key_file)
    assert code == 2 and "no node answers there" in error
    board.unplug()


def test_no_more_is_typed_than_a_board_has_room_for(tmp_path):
    """A stand-in that looks for keys every 20 ms and then shows a star for each, as the node does."""
    board, most, got, stop = Board(tmp_path / "tty"), [0], bytearray(), threading.Event()

    def work():
        while not stop.is_set():
            time.sleep(0.02)
            waiting = struct.unpack("i", fcntl.ioctl(board.master, termios.FIONREAD, b"\0" * 4))[0]
            most[0] = max(most[0], waiting)
            keys = os.read(board.master, waiting) if waiting else b""
            got.extend(keys)
            board.say(b"*" * len(keys.replace(b"\r", b"")))
            if b"}\r" in keys:
                board.say(b'\r\nI (1) node: ANSWER no\r\nANSWER {broken\r\nANSWER {"ok":true,"n":7}\r\n')

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    with Console(str(board.link)) as console:
        assert console.provision({"do": "piece", "data": "x" * 600}, 5) == {"ok": True, "n": 7}
    stop.set()
    thread.join()
    board.unplug()
    assert most[0] <= 260 and b"x" * 600 in got


def fails(*arguments):
    code, error = command("--port", "nowhere", *arguments)
    assert code == 2 and "\n" not in error
    return error


def test_what_is_missing_or_wrong_is_said_before_any_port_is_opened(tmp_path, key_file, monkeypatch):
    monkeypatch.delenv("CICADA_WIFI_KEY", raising=False)
    file = tmp_path / "file"
    file.write_text("nonsense")
    network = ["--ssid", "barn", "--key-file", key_file]
    assert "nothing to set up" in fails()
    assert "no network" in fails("--key-file", key_file)
    assert "into CICADA_WIFI_KEY" in fails("--ssid", "barn")  # nobody is there to type it
    assert "leave out" in fails("--standalone", *network)
    assert "no such file" in fails("--ssid", "barn", "--key-file", str(tmp_path / "none"))
    assert "is no broker" in fails(*network, "--broker", "http://x")
    assert "no certificate in PEM" in fails(*network, "--broker", "mqtts://x", "--ca", str(file))
    assert "belong together" in fails(*network, "--cert", str(file))
    assert "is not JSON" in fails("--config", str(file))
    file.write_text('{"colour": 1}')
    assert "colour" in fails("--config", str(file))
    file.write_text("short")
    assert "8 to 63 letters" in fails("--ssid", "barn", "--key-file", str(file))
    monkeypatch.setenv("CICADA_WIFI_KEY", "from the environment")
    assert "there is no port" in fails("--ssid", "barn")
    assert "there is no port" in fails("--ssid", "barn", "--open")


def test_a_key_must_be_that_of_its_certificate_and_no_secret_is_repeated(tmp_path, key_file):
    ca = trustme.CA()
    one, other = ca.issue_cert("one"), ca.issue_cert("other", not_after=datetime.datetime(2099, 1, 1))
    cert, key = tmp_path / "cert", tmp_path / "key.pem"
    one.cert_chain_pems[0].write_to_path(str(cert))
    other.private_key_pem.write_to_path(str(key))
    pair = [
        "--ssid",
        "barn",
        "--key-file",
        key_file,
        "--broker",
        "mqtt://x",
        "--cert",
        str(cert),
        "--client-key",
    ]
    assert "is not the key of" in fails(*pair, str(key))
    private = serialization.load_pem_private_key(one.private_key_pem.bytes(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    key.write_bytes(locked)
    assert "is encrypted" in fails(*pair, str(key))
    key.write_text("nonsense")
    assert "no private key in PEM" in fails(*pair, str(key))


def test_no_option_takes_a_secret_itself(capsys):
    with pytest.raises(SystemExit):
        command("--help")
    options = re.findall(r"--[\w-]+", capsys.readouterr().out)
    assert "--key-file" in options and "--password-file" in options
    assert not {"--key", "--password"} & set(options)
