"""The page of a node's own access point, with a real HTTP client: what works, and what is refused."""

import contextlib
import re
import socket
import time

import pytest

from cicada.tools.twin.world import Network
from support.broker import PASSWORD, USER, running
from support.setups import Phone, page
from support.slots import SLOTS

KEY = "twinkle twinkle"
SECRETS = (KEY, "hush hush hush", "battery staple", PASSWORD)


@pytest.fixture
def start(tmp_path):
    """Start a twin with the page; in the end nothing secret is on its console or outside NVS."""
    made = []

    def one(network=None, **parts):
        made.append(page(tmp_path, network, **parts))
        return made[-1]

    yield one
    for setup in made:
        setup.close()
        assert not [secret for secret in SECRETS if secret in setup.twin.text]
        nvs = SLOTS["nvs"]
        flash = bytearray(setup.twin.flash.read(0, setup.twin.flash.size))
        flash[nvs.offset : nvs.offset + nvs.size] = bytes(nvs.size)
        assert not [secret for secret in SECRETS if secret.encode() in flash]
        assert "Traceback" not in setup.twin.text


def test_a_phone_sets_it_up(start):
    setup = start()
    phone = Phone(setup)
    assert re.fullmatch(r"cicada-[0-9a-f]{4}", phone.about["ssid"])
    assert re.fullmatch(r"([a-km-z2-9]{4}-){2}[a-km-z2-9]{4}", phone.about["key"])
    text = setup.alongside(phone.get)[2]
    assert phone.about["ssid"] in text and "cicada</span>" in text
    assert "http:" not in text and "https:" not in text and "<script" not in text
    assert "It works" in setup.alongside(lambda: phone.save(key=KEY))
    setup.until("WIFI cicada False")
    assert "ENDED True" in setup.twin.text and "RADIO False False" in setup.twin.text


def test_a_wrong_key_is_said_and_the_next_try_can_work(start):
    setup = start()
    phone = Phone(setup)
    text = setup.alongside(lambda: phone.save(key="hush hush hush"))
    assert "the key was not accepted" in text and "Nothing was changed" in text
    again = setup.alongside(phone.get)[2]
    assert "the key was not accepted" in again and "checked><span>cicada" in again
    assert "hush" not in again
    text = setup.alongside(lambda: phone.save(net="-", ssid="elsewhere", key="hush hush hush"))
    assert "no such network in reach" in text
    assert "It works" in setup.alongside(lambda: phone.save(key=KEY))
    setup.until("WIFI cicada")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"net": ""}, "choose a network"),
        ({"net": "zz"}, "a number from 1 to 65535"),
        ({"key": "short"}, "8 to 63 letters"),
        ({"key": KEY, "host": "a b", "tls": "1"}, "letters, digits, dots"),
        ({"key": KEY, "host": "broker", "tls": "1"}, "TLS needs the certificate"),
        ({"key": KEY, "host": "broker", "port": "x"}, "a number from 1 to 65535"),
        ({"key": KEY, "host": "broker", "port": "70000"}, "a number from 1 to 65535"),
    ],
)
def test_mistakes_are_said_and_what_was_typed_stays(start, fields, said):
    setup = start()
    phone = Phone(setup)
    text = setup.alongside(lambda: phone.save(name="Barn <1>", **fields))
    assert said in text and 'value="Barn &lt;1&gt;"' in text and KEY not in text
    assert setup.twin.chip.parts["networks"].access.active


def test_names_of_networks_are_text_in_the_page_and_come_back_whole(start):
    odd = ["<script>alert(1)</script>", '"><img src=x>', "Caf\u00e9 & Bar", "a'b", "tab\there"]
    setup = start(Network(ssid="x\"'<&>\u00fc", others=[(name, -70) for name in odd]))
    phone = Phone(setup)
    text = setup.alongside(phone.get)[2]
    assert "<script" not in text and "<img" not in text
    assert "&lt;script&gt;" in text and "Caf\u00e9 &amp; Bar" in text
    name = setup.twin.world.network.ssid
    assert name.encode().hex() in text
    assert "It works" in setup.alongside(lambda: phone.save(net=name.encode().hex(), key=KEY))
    setup.until(f"WIFI {name}")


def test_very_many_networks_are_no_problem(start):
    setup = start(Network(others=[(f"network {n}" + "x" * 20, -50 - n) for n in range(60)]))
    phone = Phone(setup)
    text = setup.alongside(phone.get)[2]
    assert text.count("<li>") == 17  # the 16 strongest, and "another one"
    assert "network 0x" in text and "network 30x" not in text


def test_phones_find_the_page_by_themselves(start):
    setup = start()
    phone = Phone(setup)

    def ask():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(20)
            line.sendto(
                b"\x12\x34\1\0\0\1\0\0\0\0\0\0\7captive\5apple\3com\0\0\1\0\1", ("127.0.0.1", phone.dns)
            )
            return line.recv(512)

    assert setup.alongside(ask)[-4:] == bytes((192, 168, 4, 1))
    for host, path in (
        ("connectivitycheck.gstatic.com", "/generate_204"),
        ("captive.apple.com", "/"),
        ("", "/"),
    ):
        status, headers, text = setup.alongside(lambda host=host, path=path: phone.get(path, host))
        assert (status, headers["Location"]) == (302, "http://192.168.4.1/")
        assert "token" not in text


def test_forms_from_elsewhere_are_refused(start):
    setup = start()
    phone = Phone(setup)
    form = {"net": b"cicada".hex(), "key": KEY, "do": "join"}
    assert setup.alongside(lambda: phone.post("/save", form))[0] == 403
    assert setup.alongside(lambda: phone.post("/save", form | {"token": "0" * 32}))[0] == 403
    token = setup.alongside(phone.token)
    form |= {"token": token}
    assert setup.alongside(lambda: phone.post("/save", form, Host="evil.example"))[0] == 302
    assert setup.alongside(lambda: phone.post("/other", form))[0] == 404
    assert setup.alongside(lambda: phone.get("/../../etc/passwd"))[0] == 404
    assert setup.alongside(lambda: phone.post("/save", form, **{"Content-Type": "text/plain"}))[0] == 415
    headers = setup.alongside(phone.get)[1]
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert "joining" not in setup.twin.text


def raw(phone, *pieces, pause=0.0, patience=20.0):
    """What comes back for these bytes."""
    said = b""
    with socket.create_connection(("127.0.0.1", phone.port), patience) as line:
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause)
        with contextlib.suppress(ConnectionError):
            while more := line.recv(4096):
                said += more
    return said


def test_nothing_that_is_sent_ends_it(start):
    setup = start(timeout=600)
    phone = Phone(setup)
    head = b"POST /save HTTP/1.1\r\nHost: 192.168.4.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    for data, status in (
        (b"\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600) + b"\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 5000, b"431"),
        (b"GET /" + b"y" * 100_000, b"431"),
        (head + b"Content-Length: 100000\r\n\r\n" + b"z" * 100_000, b"413"),
        (head + b"Content-Length: 5\r\n\r\n%zz=1", b"400"),
        (head + b"Content-Length: 60\r\n\r\n" + b"a=1&" * 15, b"403"),
        (head + b"Content-Length: 6144\r\n\r\n" + b"%00" * 2048, b"403"),
        (b"HEAD / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n", b"200"),
    ):
        said = setup.alongside(lambda data=data: raw(phone, data))
        assert said.startswith(b"HTTP/1.1 " + status), (data[:60], said[:60])
    drops = [bytes([byte]) for byte in b"GET / HTTP/1.1\r\nHost: 192.168.4.1\r\n\r\n"]
    assert setup.alongside(lambda: raw(phone, *drops)).startswith(b"HTTP/1.1 200")
    assert setup.alongside(phone.get)[0] == 200


def test_who_says_nothing_or_too_little_is_not_waited_for(start):
    setup = start(timeout=600)
    phone = Phone(setup)
    began = setup.twin.now
    with socket.create_connection(("127.0.0.1", phone.port)):  # as browsers do, in case they need it
        assert setup.alongside(phone.get)[0] == 200
    assert setup.twin.now - began < 5
    # A request that never ends is, after 5 s.
    assert setup.alongside(lambda: raw(phone, b"GET / HTTP/1.1\r\nHost:")).startswith(b"HTTP/1.1 408")
    assert setup.alongside(phone.get)[0] == 200
    lines = [socket.create_connection(("127.0.0.1", phone.port)) for _ in range(3)]
    assert setup.alongside(phone.get)[0] == 200
    for line in lines:
        line.close()


def test_it_gives_up_when_nobody_comes(start):
    setup = start(timeout=600)
    setup.until("WIFI None", 700)
    assert 600 <= setup.twin.now < 620
    for line in ("nobody came in 600 s", "ENDED False", "RADIO False False"):
        assert line in setup.twin.text


def test_ctrl_c_and_the_console_still_work(start):
    setup = start(
        before="typed = []\ndef poll():\n    typed.append(1)\n    if len(typed) == 30: print('POLLED')",
        poll="poll",
        timeout=600,
    )
    setup.until("POLLED")
    assert setup.twin.now < 10
    setup.twin.type(b"\x03")
    setup.until("INTERRUPTED")
    setup.until("RADIO False False")


def test_being_set_up_at_the_console_ends_it(start):
    setup = start(
        before=(
            "from node.config import Config\nfrom node.provision.serial import Serial\nseen = []\n"
            "def poll():\n    seen.append(1)\n"
            "    if len(seen) == 20: print(Serial(Config(), wdt.feed).act({'do': 'alone'}))"
        ),
        poll="poll",
    )
    setup.until("ENDED True")
    setup.until("WIFI None")


def test_it_can_be_told_to_do_without_a_network(start):
    setup = start(after="print('LEFT', secrets.get('wifi'), provision.wanted(1))")
    phone = Phone(setup)
    assert "works without a network" in setup.alongside(lambda: phone.save(do="alone", net=""))
    setup.until("LEFT {}")


def test_a_broker_is_tried_and_stored_with_its_login(start, tmp_path):
    with running(tmp_path) as broker:
        after = (
            "from node.config import Config\nd = Config().data\nprint('BROKER', d['mqtt']['host'], d['name'])"
        )
        setup = start(hosts={"broker:1883": ("127.0.0.1", broker.port)}, after=after)
        phone = Phone(setup)
        form = {"key": KEY, "host": "broker", "user": USER, "name": "Barn"}
        text = setup.alongside(lambda: phone.save(password="battery staple", **form))
        assert "broker refused" in text and "Nothing was changed" in text
        assert "It works" in setup.alongside(lambda: phone.save(password=PASSWORD, **form))
        setup.until("BROKER broker Barn")
        assert "WIFI cicada True" in setup.twin.text
        assert "-setup" in broker.log.read_text()


def test_memory_is_bounded(start):
    """What is in use while phones load the page and send it, modules included."""
    code = (
        "most = [0]\ngc.collect(); base = gc.mem_alloc()\n"
        "def measured():\n    gc.collect(); most[0] = max(most[0], gc.mem_alloc() - base)\n"
    )
    setup = start(
        Network(others=[(f"network {n}" + "x" * 20, -50 - n) for n in range(30)]),
        before=code,
        poll="measured",
        after="print('HEAP', most[0] * 100 // (gc.mem_alloc() + gc.mem_free()))",
    )
    phone = Phone(setup)
    for _ in range(3):
        setup.alongside(phone.get)
    setup.alongside(lambda: phone.save(key=KEY))
    setup.until("HEAP")
    assert int(re.search(r"HEAP (\d+)", setup.twin.text)[1]) <= 33  # % of the chip's 100 KB


def test_the_key_stays_the_same(start):
    setup = start(timeout=1, after="machine.reset() if machine.reset_cause() == 1 else None")
    setup.twin.run_until(lambda: setup.twin.text.count("SETUP") == 2, 60)
    keys = re.findall(r'"key": "([^"]+)"', setup.twin.text)
    assert len(keys) == 2 and keys[0] == keys[1]
