"""Uplinks whose broker or way there is bad: bounded time, and no record lost."""

import pytest
import trustme

from cicada.tools.twin.world import Network, Steps
from support import broker
from support.certificates import server as certificate
from support.proxies import Proxy
from support.uplinks import Listener, begin, run

SESSION = (
    "began = time.ticks_ms(); reached = uplink.session(100)\n"
    "print(NAME, '->', reached, '|', uplink.last_error, '|', time.ticks_diff(time.ticks_ms(), began), "
    "box.pending(), uplink.failures, uplink.connected)\n"
)
CONNACK, SUBACK = b"\x20\x02\0\0", b"\x90\x03\0\1\1"


def parts(text):
    """``reached``, the error, ms, records left, failures, connected."""
    reached, error, rest = (part.strip() for part in text.split("|"))
    ms, left, failures, connected = rest.split()
    return reached == "True", error, int(ms), int(left), int(failures), connected == "True"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with broker.running(tmp_path_factory.mktemp("broker")) as running:
        yield running


def test_brokers_that_fall_silent_cost_bounded_time_and_nothing_else(tmp_path, server):
    spam = b"\x30\x06\0\4spam" * 1500
    peers = {
        "nobody": Proxy(None),
        "half": Proxy(None, says=CONNACK + b"\x90\x03\0"),
        "login": Proxy(None, says=CONNACK),
        "status": Proxy(None, says=CONNACK + SUBACK + b"\x40\x02\0\2"),
        "spam": Proxy(None, says=CONNACK + SUBACK + spam),
        "open": Proxy((server.host, server.port), silent_after=2500),
    }
    code = begin() + "fill(20, 300)\nuplink = make(MQTT, kind=Hasty)\n"
    for name in (*peers, "right"):
        code += f"NAME = MQTT['host'] = {name!r}\n" + SESSION
    hosts = {f"{name}:1883": peer.address for name, peer in peers.items()}
    with Listener(server) as listener:
        said = run(code, tmp_path, hosts | {"right:1883": (server.host, server.port)})
        records = listener.wait(20)
    for peer in peers.values():
        peer.close()
    reasons = {
        "nobody": "MQTT: the broker does not answer",
        "half": "MQTT: the broker stopped in the middle",
        "login": "MQTT: the broker does not acknowledge",
        "status": "MQTT: the broker does not acknowledge",
        "spam": "MQTT: the broker does not acknowledge",
        "open": "MQTT: the broker does not acknowledge",
    }
    for number, (name, reason) in enumerate(reasons.items()):
        reached, error, ms, left, failures, connected = parts(said[name])
        assert (error, failures, connected) == (reason, number + 1, False)
        assert reached == (name in ("status", "open")) and ms < (30_000 if name == "spam" else 6_000)
        assert left == 20 or (name == "open" and 0 < left < 20)
    reached, error, _, left, _, _ = parts(said["right"])
    assert reached and not error and left == 0
    # What was on its way when it fell silent may come twice, under the same id.
    assert {record["id"]: record["n"] for record in records} == {f"beef-{n + 1}": n for n in range(20)}


def test_a_connection_that_is_cut_again_and_again_delivers_all(tmp_path, server):
    code = begin() + "fill(40, 200)\nuplink = make(MQTT)\n"
    for n in range(7):  # each by another way
        code += f"MQTT['port'] = {n + 1}\n" + SESSION.replace("NAME", f"'{n}'")
    cuts = [1, 200, 700, 1200, 2500, 4000]
    with Listener(server) as listener:
        target = server.host, server.port
        proxies = [Proxy(target, cut_after=cut) for cut in cuts]
        hosts = {f"broker:{n + 1}": proxy.address for n, proxy in enumerate(proxies)}
        said = run(code, tmp_path, hosts | {"broker:7": target})
        records = listener.wait(40)
        for proxy in proxies:
            proxy.close()
    lefts = [parts(said[str(n)])[3] for n in range(7)]
    assert lefts == sorted(lefts, reverse=True) and lefts[0] == 40 and lefts[-1] == 0 and lefts[4] < 40
    assert {record["id"]: record["n"] for record in records} == {f"beef-{n + 1}": n for n in range(40)}
    assert [parts(said[str(n)])[4] for n in range(7)] == [1, 2, 3, 4, 5, 6, 6]


def test_garbage_is_an_error_and_loses_nothing(tmp_path):
    says = [
        bytes(range(255, 0, -1)),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        CONNACK + b"\x40\x02\0\x63",
        CONNACK + SUBACK + b"\x40\x02\0\2" + b"\x40\x02\0\2",
        CONNACK + SUBACK + b"\x33\xff\xff\xff\x7f",
        CONNACK + b"\x90\x03\0\1\x80",
        b"\x20\x02\2\0",
    ]
    peers = [Proxy(None, says=data) for data in says]
    code = begin() + "fill(3)\nuplink = make(MQTT)\n"
    for n in range(len(says)):
        code += f"MQTT['host'] = 'peer{n}'\n" + SESSION.replace("NAME", f"'{n}'")
    said = run(code, tmp_path, {f"peer{n}:1883": peer.address for n, peer in enumerate(peers)})
    for peer in peers:
        peer.close()
    for n in range(len(says)):
        _, error, ms, left, failures, connected = parts(said[str(n)])
        assert error.startswith("MQTT: ") and ms < 4000 and (left, failures, connected) == (3, n + 1, False)


def test_a_slow_link_with_tls_takes_its_time(tmp_path):
    authority = trustme.CA()
    folder = tmp_path / "broker"
    folder.mkdir()
    slow = Network(latency_ms=Steps([(0, 300)]), bytes_per_s=Steps([(0, 800)]))
    files = {"/ca.pem": authority.cert_pem.bytes()}
    changes = {"host": "localhost", "port": 8883, "tls": True, "ca": "/ca.pem"}
    code = begin(files, **changes) + "fill(12, 500)\nuplink = make(MQTT)\nNAME = 'slow'\n" + SESSION
    with broker.running(folder, certificate(authority, folder, "localhost")) as running:
        with Listener(running) as listener:
            said = run(code, tmp_path, {"localhost:8883": ("127.0.0.1", running.port)}, slow)
            assert len(listener.wait(12)) == 12
    reached, error, ms, left, *_ = parts(said["slow"])
    assert reached and not error and left == 0 and 10_000 < ms < 100_000


def test_a_network_that_goes_in_the_middle_loses_nothing(tmp_path, server):
    gone = Network(up=Steps([(0, 1), (3_000_000, 0), (200_000_000, 1)]))
    code = begin() + (
        "fill(150, 50)\nuplink = make(MQTT)\nNAME = 'gone'\n"
        + SESSION
        + "NAME = 'still'\n"
        + SESSION
        + "time.sleep(300)\nNAME = 'back'\n"
        + SESSION
    )
    with Listener(server) as listener:
        said = run(code, tmp_path, {"broker:1883": (server.host, server.port)}, gone)
        records = listener.wait(150)
    reached, error, _, left, _, _ = parts(said["gone"])
    assert error and 0 < left < 150
    assert parts(said["still"])[:2] == (False, "Wi-Fi cicada: no such network in reach")
    assert parts(said["back"])[0] and parts(said["back"])[3] == 0
    assert {record["id"] for record in records} == {f"beef-{n + 1}" for n in range(150)}


def test_a_broker_that_never_stops_talking_is_left_after_a_minute(tmp_path):
    code = begin() + (
        "from node import uplink as module\n"
        "class Endless:\n"
        "    def __init__(self, *arguments, **more): self.number = 0\n"
        "    def connect(self): pass\n"
        "    def start_subscribe(self, topic): return 1\n"
        "    def start_publish(self, topic, payload, retain=False): return 2\n"
        "    def poll(self, patience_ms=0): time.sleep_ms(100); return 'spam', b'x', None\n"
        "    def acknowledge(self, number): pass\n"
        "    def close(self): pass\n"
        "module.Client = Endless\nfill(1)\nuplink = make(MQTT)\nNAME = 'endless'\n" + SESSION
    )
    reached, error, ms, left, failures, _ = parts(run(code, tmp_path, {})["endless"])
    assert (reached, error, left, failures) == (False, "MQTT: the broker does not acknowledge", 1, 1)
    assert 60_000 < ms < 65_000
