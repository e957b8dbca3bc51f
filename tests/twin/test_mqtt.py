"""The node's MQTT client on the twin: a real broker, and peers that are none."""

import contextlib
import json
import re
import socket
import ssl
import struct
import threading
import time

import pytest
import trustme

from cicada.tools.board import load_board
from cicada.tools.release.serve import ReleaseServer
from cicada.tools.twin.twin import Twin
from cicada.tools.twin.world import Network, Steps, World
from support import broker
from support.twins import QUIET, script_flash

BOARD = load_board("twin")
START = (
    "import json, machine, network, time\n"
    "w = network.WLAN(network.STA_IF); w.active(True); w.connect('cicada', 'twinkle twinkle')\n"
    "while not w.isconnected(): time.sleep_ms(50)\n"
    "from node.net import LinkError, mqtt\nfrom node.net.mqtt_transport import MqttTransport\n"
    "def attempt(name, function):\n"
    "    t = time.ticks_ms()\n"
    "    try: print(name, 'gives', function())\n"
    "    except LinkError as e: print(name, 'LinkError', e)\n"
    "    print(name, 'took', time.ticks_diff(time.ticks_ms(), t))\n"
)
END = "\nmachine.deepsleep()\n"
ENVELOPE = bytes(range(256)) * 8 + b"e" * 80
TOPIC = "cicada/cicada/twin/firmware"


def run(code, folder, hosts=None, network=None, seconds=300):
    """Console of a twin that runs ``code`` once it is on the network."""
    world = World(QUIET, network=network or Network(), hosts=hosts or {})
    twin = Twin(script_flash(START + code + END, folder), BOARD, world)
    twin.run(seconds)
    assert "Traceback" not in twin.text, twin.text
    return twin.text


def settings(host="broker", port=1883, **changes):
    """Code of a transport's config."""
    mqtt = {"host": host, "port": port, "user": broker.USER, "password": broker.PASSWORD, "tls": False}
    config = {"url": "http://releases/", "mqtt": mqtt | changes.pop("mqtt", {})} | changes
    return f"json.loads({json.dumps(config)!r})"


def newest(name, config, kind="firmware", model="app"):
    """Code that asks for the newest release, in a line that begins with ``name``."""
    call = f"MqttTransport({config}).newest('twin', 'cicada', {kind!r}, {model!r})"
    return f"attempt({name!r}, lambda: {call})\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with broker.running(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("secure")
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("broker", "localhost")
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    other.cert_pem.write_to_path(str(folder / "other.pem"))
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(str(folder / "chain.pem"), append=True)
    files = (folder / "ca.pem", folder / "chain.pem", folder / "key.pem")
    with broker.running(folder, files) as running:
        yield running


def test_gets_the_retained_announcement_of_its_kind_and_reports(tmp_path, server):
    server.publish(TOPIC, ENVELOPE)
    server.publish("cicada/cicada/twin/model/kws", b"small")
    heard = []
    listener = server.client()
    listener.on_message = lambda client, data, message: heard.append((message.topic, message.payload))
    listener.subscribe("cicada/+/+/+/updates", 1)
    time.sleep(0.2)
    config = settings()
    code = (
        f"t = MqttTransport({config})\n"
        "print('firmware', t.newest('twin', 'cicada', 'firmware', 'app') == "
        "b''.join(bytes(range(256)) for _ in range(8)) + b'e' * 80)\n"
        "print('model', t.newest('twin', 'cicada', 'model', 'kws'))\n"
        "attempt('none', lambda: t.newest('twin', 'cicada', 'model', 'other'))\n"
        "attempt('report', lambda: t.report('model', 17, 'failed', 'wrong \"answer\"'))\n"
        "b = t.open('twin', 'a.payload', 100); d = bytearray(200)\n"
        "print('fetched', b.size, b.readinto(d), d == bytes(range(100, 256)) + bytes(44))\n"
        "b.close(); t.close()\n"
    )
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "a.payload").write_bytes(bytes(range(256)))
    with ReleaseServer(tmp_path) as files:
        hosts = {"broker:1883": (server.host, server.port), "releases:80": files.address}
        text = run(code, tmp_path, hosts)
    assert "fetched 156 156 True" in text
    assert "firmware True" in text and "model b'small'" in text
    assert "none gives None" in text and "report gives None" in text
    for _ in range(50):
        if heard:
            break
        time.sleep(0.05)
    listener.loop_stop()
    (topic, payload), device = heard[0], re.search(r"cicadau([0-9a-f]{12})", server.log.read_text()).group(1)
    assert topic == f"cicada/cicada/twin/{device}/updates"
    said = {"kind": "model", "serial": 17, "result": "failed", "text": 'wrong "answer"', "schema": 1}
    assert json.loads(payload) == said
    assert f"Received PUBACK from cicadau{device}" in server.log.read_text()
    # It took its leave: the broker would say "closed its connection" of a client that just went.
    assert f"Received DISCONNECT from cicadau{device}" in server.log.read_text()


def test_publishes_and_pings_and_hears_itself(tmp_path, server):
    code = (
        f"c = mqtt.Client('broker', 1883, 'talker', {broker.USER!r}, {broker.PASSWORD!r})\n"
        "c.connect(); c.subscribe('talk'); c.subscribe('talk/more')\n"
        "c.publish('talk', b'zero', 0); c.publish('talk', b'one')\n"
        "c.publish('talk/more', b'x' * 4000); c.ping()\n"
        "got = [c.wait(1000) for _ in range(3)]\n"
        "print('heard', got[0], got[1], got[2][0], len(got[2][1]), c.wait(200))\n"
        "c.publish('kept', b'r', 1, True); c.disconnect(); c.disconnect()\n"
        "attempt('after', lambda: c.publish('talk', b''))\n"
    )
    text = run(code, tmp_path, {"broker:1883": (server.host, server.port)})
    assert "heard ('talk', b'zero') ('talk', b'one') talk/more 4000 None" in text
    assert "after LinkError MQTT: not connected" in text
    kept = []
    reader = server.client()
    reader.on_message = lambda client, data, message: kept.append((message.payload, message.retain))
    reader.subscribe("kept", 1)
    for _ in range(50):
        if kept:
            break
        time.sleep(0.05)
    reader.loop_stop()
    assert kept == [(b"r", True)]


def test_what_goes_wrong_is_said_without_the_password(tmp_path, server):
    server.publish("cicada/cicada/twin/model/big", b"x" * 2129)
    server.publish("cicada/cicada/twin/model/huge", b"x" * 5000)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    code = (
        newest("password", settings(mqtt={"password": "wrong secret"}))
        + newest("nobody", settings(mqtt={"user": None}))
        + newest("away", settings(port=2))
        + newest("big", settings(), "model", "big")
        + newest("huge", settings(), "model", "huge")
        + "w.disconnect()\n"
        + newest("offline", settings())
    )
    hosts = {"broker:1883": (server.host, server.port), "broker:2": ("127.0.0.1", port)}
    text = run(code, tmp_path, hosts)
    assert "password LinkError MQTT: broker refused: not authorised" in text
    assert "nobody LinkError MQTT: broker refused: not authorised" in text
    assert "away LinkError no connection to broker (error 111)" in text
    assert "big LinkError MQTT: not an announcement" in text
    assert re.search(r"huge LinkError MQTT: packet of 50\d\d bytes", text)
    assert "offline LinkError the name broker was not found" in text
    assert "secret" not in text and broker.PASSWORD not in text


def test_tls_only_with_the_right_ca_and_name(tmp_path, secure):
    secure.publish(TOPIC, b"over TLS")
    folder = secure.ca.parent
    tls, pem = {"tls": True}, (folder / "ca.pem").read_bytes()
    both = (folder / "other.pem").read_bytes() + pem
    code = (
        f"with open('/ca.pem', 'wb') as f: f.write({pem!r})\n"
        f"with open('/other.pem', 'wb') as f: f.write({(folder / 'other.pem').read_bytes()!r})\n"
        f"with open('/both.pem', 'wb') as f: f.write({both!r})\n"
        f"with open('/ca.der', 'wb') as f: f.write({ssl.PEM_cert_to_DER_cert(pem.decode())!r})\n"
        "with open('/long.pem', 'wb') as f: f.write(b'x' * 8193)\n"
        "with open('/cut.pem', 'wb') as f: f.write(b'-----BEGIN CERTIFICATE-----\\nAAAA')\n"
        + newest("right", settings(mqtt=tls, ca="/ca.pem"))
        + newest("der", settings(mqtt=tls, ca="/ca.der"))
        + newest("both", settings(mqtt=tls, ca="/both.pem"))
        + newest("long", settings(mqtt=tls, ca="/long.pem"))
        + newest("cut", settings(mqtt=tls, ca="/cut.pem"))
        + newest("other", settings(mqtt=tls, ca="/other.pem"))
        + newest("name", settings("elsewhere", mqtt=tls, ca="/ca.pem"))
        + newest("missing", settings(mqtt=tls, ca="/none.pem"))
        + newest("without", settings(mqtt=tls))
        + newest("plain", settings())
    )
    hosts = {f"{name}:1883": ("127.0.0.1", secure.port) for name in ("broker", "elsewhere")}
    text = run(code, tmp_path, hosts)
    for name in ("right", "der", "both"):
        assert f"{name} gives b'over TLS'" in text
    for name in ("long", "cut"):
        assert f"{name} LinkError no CA certificate in /{name}.pem" in text
    assert (
        "other LinkError TLS: the certificate of broker is not signed by an authority in /other.pem" in text
    )
    assert "name LinkError TLS: the server's certificate is not for the name elsewhere" in text
    assert "missing LinkError no CA certificate in /none.pem" in text
    assert "without LinkError TLS needs a CA certificate" in text
    assert "plain LinkError " in text


CONNACK = b"\x20\x02\0\0"
SUBACK = b"\x90\x03\0\1\1"


def message(topic, payload, qos=1, number=1, retain=1):
    body = struct.pack(">H", len(topic)) + topic + (struct.pack(">H", number) if qos else b"") + payload
    return bytes([0x30 | qos << 1 | retain, len(body) & 127 | 128, len(body) >> 7]) + body


GOOD = message(TOPIC.encode(), b"good")
#: What a peer sends in answer to each of the client's packets, and what the client must make of it.
PEERS = {
    "good": ([CONNACK, SUBACK + GOOD], "gives b'good'"),
    "early": ([CONNACK, GOOD + SUBACK], "gives b'good'"),
    "qos0": ([CONNACK, SUBACK + message(TOPIC.encode(), b"good", 0)], "gives b'good'"),
    "http": (
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        "unexpected packet 48",
    ),
    "closed": ([b""], "the broker closed the connection"),
    "noise": ([bytes(range(255, 0, -1))], "LinkError MQTT: "),
    "session": ([b"\x20\x02\1\0"], "malformed CONNACK"),
    "much-longer-ack": ([b"\x20\x04\0\0\0\0"], "packet of 4 bytes"),
    "long-ack": ([b"\x20\x03\0\0\0"], "unexpected packet 20 of 3 bytes"),
    "unknown-code": ([b"\x20\x02\0\x77"], "broker refused: 119"),
    "unavailable": ([b"\x20\x02\0\3"], "broker refused: out of service"),
    "other-suback": ([CONNACK, b"\x90\x03\0\2\1"], "SUBACK for something else"),
    "refused": ([CONNACK, b"\x90\x03\0\1\x80"], "subscription refused"),
    "qos2-granted": ([CONNACK, b"\x90\x03\0\1\2"], "subscription refused"),
    "huge": ([CONNACK, SUBACK + b"\x33\xff\xff\xff\x7f" + b"x" * 9999], "packet of 268435455 bytes"),
    "endless-length": ([CONNACK, SUBACK + b"\x33\xff\xff\xff\xff\x7f"], "malformed length"),
    "over": ([CONNACK, SUBACK + b"\x33\x81\x20"], "packet of 4097 bytes"),
    "qos2": ([CONNACK, SUBACK + message(TOPIC.encode(), b"x", 2)], "malformed message"),
    "qos3": ([CONNACK, SUBACK + message(TOPIC.encode(), b"x", 3)], "malformed message"),
    "empty-topic": ([CONNACK, SUBACK + message(b"", b"x")], "malformed message"),
    "long-topic": ([CONNACK, SUBACK + message(b"t" * 129, b"x")], "malformed message"),
    "wildcard": ([CONNACK, SUBACK + message(b"cicada/#", b"x")], "malformed topic"),
    "utf8": ([CONNACK, SUBACK + message(b"\xff\xfe", b"x")], "malformed topic"),
    "number-0": ([CONNACK, SUBACK + message(TOPIC.encode(), b"x", 1, 0)], "message without a number"),
    "topic-too-long": ([CONNACK, SUBACK + b"\x33\x04\0\x09ab"], "malformed message"),
    "no-topic": ([CONNACK, SUBACK + b"\x33\x01\0"], "malformed message"),
    "empty": ([CONNACK, SUBACK + b"\x33\x00"], "malformed message"),
    "other-topic": ([CONNACK, SUBACK + message(b"cicada/other", b"x")], "not an announcement"),
    "flood": ([CONNACK, GOOD * 5], "too many messages at once"),
    "not-a-message": ([CONNACK, SUBACK + b"\xd0\0"], "unexpected packet d0 of 0 bytes"),
    "taken-back": ([CONNACK, SUBACK + message(TOPIC.encode(), b"")], "gives None"),
    "cut": ([CONNACK, SUBACK + GOOD[:-1]], "the broker closed the connection"),
}


@pytest.fixture
def peers():
    """One port for each of PEERS: ``name:1`` -> address."""
    listeners, hosts = [], {}

    def serve(listener, answers):
        line, _ = listener.accept()
        with line, contextlib.suppress(ConnectionError):
            for answer in answers:
                if not line.recv(4096):
                    return
                line.sendall(answer)
            line.shutdown(socket.SHUT_WR)
            while line.recv(4096):
                pass

    for name, (answers, _) in PEERS.items():
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        hosts[f"{name}:1"] = listener.getsockname()
        threading.Thread(target=serve, args=(listener, answers), daemon=True).start()
    yield hosts
    for listener in listeners:
        listener.close()


def test_peers_that_are_no_brokers_are_link_errors(tmp_path, peers):
    text = run("".join(newest(name, settings(name, 1)) for name in PEERS), tmp_path, peers)
    for name, (_, wanted) in PEERS.items():
        line = re.search(rf"^{name} (gives|LinkError) .*", text, re.M).group()
        assert re.search(wanted, line), line
        assert wanted.startswith("gives") == (" gives " in line), line


def test_a_peer_that_says_nothing_or_dribbles_is_left_in_bounded_time(tmp_path):
    def dribble(listener):
        line, _ = listener.accept()
        with line:
            line.recv(4096)
            line.sendall(CONNACK)
            line.recv(4096)
            line.sendall(SUBACK + b"\x33\xff\x1f")
            with contextlib.suppress(ConnectionError):
                while True:
                    line.sendall(b"x")
                    time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as slow:
        threading.Thread(target=dribble, args=(slow,), daemon=True).start()
        hosts = {"silent:1": silent.getsockname(), "slow:1": slow.getsockname()}
        code = (
            "def talk(host):\n"
            "    c = mqtt.Client(host, 1, 'x', timeout_s=1); c.connect(); c.subscribe('t')\n"
            "    return c.wait(500)\n"
            "attempt('silent', lambda: talk('silent'))\nattempt('slow', lambda: talk('slow'))\n"
        )
        text = run(code, tmp_path, hosts)
    assert "silent LinkError MQTT: the broker does not answer" in text
    assert "slow LinkError MQTT: the broker stopped in the middle" in text
    assert all(int(ms) < 2500 for ms in re.findall(r"(?:silent|slow) took (\d+)", text))


def test_a_handshake_that_comes_byte_by_byte_is_left_in_bounded_time(tmp_path, secure):
    def dribble(listener):
        line, _ = listener.accept()
        with line, socket.create_connection(("127.0.0.1", secure.port)) as there:
            with contextlib.suppress(ConnectionError):
                there.sendall(line.recv(4096))
                for byte in there.recv(4096):
                    line.sendall(bytes([byte]))
                    time.sleep(0.02)

    pem = secure.ca.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as slow:
        threading.Thread(target=dribble, args=(slow,), daemon=True).start()
        code = (
            f"with open('/ca.pem', 'wb') as f: f.write({pem!r})\n"
            "c = mqtt.Client('slow', 1, 'x', secure=('/ca.pem', None, None), timeout_s=0.5)\n"
            "attempt('slow', c.connect)\n"
        )
        text = run(code, tmp_path, {"slow:1": slow.getsockname()})
    assert "slow LinkError slow does not finish the handshake of TLS" in text
    assert 1400 < int(re.search(r"slow took (\d+)", text).group(1)) < 2500


def test_a_link_that_goes_in_the_middle_is_a_link_error(tmp_path, server):
    down = Network(up=Steps([(0, 1), (8_000_000, 0)]))
    code = (
        f"c = mqtt.Client('broker', 1883, 'talker', {broker.USER!r}, {broker.PASSWORD!r})\n"
        "c.connect(); c.subscribe('talk')\n"
        "def talk():\n    while True: c.publish('talk', b'x'); c.wait(1000)\n"
        "attempt('lost', talk)\nattempt('then', c.ping)\n"
    )
    text = run(code, tmp_path, {"broker:1883": (server.host, server.port)}, down)
    assert "lost LinkError the connection broke" in text and "then LinkError MQTT: not connected" in text
