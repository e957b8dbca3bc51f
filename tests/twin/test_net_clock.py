"""A node asks for the time of day, and believes only what is an answer."""

import contextlib
import socket
import struct
import threading

import pytest

from support.wires import talk

ANSWER_S = 1_800_000_000  # since 1970
_1900 = 2208988800


def answer(request, seconds=ANSWER_S, mode=4, stratum=2, leap=0, version=4, origin=None, **more):
    """A server's packet (RFC 4330, section 4)."""
    packet = bytearray(48)
    packet[0], packet[1] = leap << 6 | version << 3 | mode, stratum
    struct.pack_into("!II", packet, 4, more.get("delay", 900), more.get("dispersion", 900))
    packet[12:16] = b"RATE" if not stratum else b"GPS\0"
    packet[24:32] = request[40:48] if origin is None else origin
    struct.pack_into("!I", packet, 40, (seconds + _1900) & 0xFFFFFFFF if seconds is not None else 0)
    return bytes(packet)


SET = (
    "from node.net.clock import now, set_clock\n"
    "attempt('before', now)\n"
    "attempt('set', set_clock, 'time.cicada', 1)\n"
    "attempt('after', now)\n"
)


@contextlib.contextmanager
def server(reply):
    """A time server: ``reply(request, number)`` gives the packets to answer with."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(0.05)
        requests, over = [], threading.Event()

        def serve():
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    request, address = line.recvfrom(100)
                    requests.append(request)
                    for packet in reply(request, len(requests)):
                        line.sendto(packet, address)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield {"time.cicada:123": line.getsockname()}, requests
        finally:
            over.set()
            thread.join()


def asked(tmp_path, reply, code=SET):
    """What a node prints that runs ``code`` with such a server, and what it sent."""
    with server(reply) as (hosts, requests):
        return talk(code, tmp_path, hosts), requests


def test_the_clock_is_set_to_utc(tmp_path):
    said, (request,) = asked(tmp_path, lambda r, n: [answer(r)])
    assert said["before"] == "None"
    assert abs(int(said["after"]) - ANSWER_S) <= 1
    assert request[:40] == b"\x23" + bytes(39) and request[40:48] != bytes(8)


def test_the_era_after_2036_is_understood(tmp_path):
    said, _ = asked(tmp_path, lambda r, n: [answer(r, 2_100_000_000)])
    assert abs(int(said["after"]) - 2_100_000_000) <= 1


def test_answers_to_somebody_else_are_passed_over(tmp_path):
    lies = [b"", bytes(10), bytes(48), bytes(49)]
    said, _ = asked(
        tmp_path, lambda r, n: [answer(r, 1_900_000_000, origin=bytes(8)), *lies, answer(r), answer(r, 1)]
    )
    assert abs(int(said["after"]) - ANSWER_S) <= 1


@pytest.mark.parametrize(
    "change",
    [
        None,
        {"origin": b"whatever"},
        {"mode": 3},
        {"mode": 5},
        {"version": 2},
        {"leap": 3},
        {"stratum": 16},
        {"stratum": 0},
        {"delay": 0x10000},
        {"dispersion": 0x10000},
        {"seconds": 1_700_000_000},
        {"seconds": 2_400_000_000},
        {"seconds": None},
    ],
    ids=lambda change: "silence" if change is None else " ".join(f"{k}={v}" for k, v in change.items()),
)
def test_anything_else_leaves_it_alone(tmp_path, change):
    said, _ = asked(tmp_path, lambda r, n: [] if change is None else [answer(r, **change)])
    assert said["set"].startswith("LinkError: no ") and "time.cicada" in said["set"]
    assert said["after"] == "None"
    if change == {"stratum": 0}:
        assert said["set"].endswith("it refuses (RATE)")


def test_a_short_answer_leaves_it_alone(tmp_path):
    said, _ = asked(tmp_path, lambda r, n: [answer(r)[:47]])
    assert said["set"].startswith("LinkError: no ") and said["after"] == "None"


def test_a_jump_needs_a_second_answer_that_agrees(tmp_path):
    """The third question gets an answer 5 hours off, the fourth one agrees; the sixth does not."""
    at = [0, 3600, 6 * 3600, 6 * 3600 + 2, 50_000, 90_000]
    code = (
        "from node.net.clock import now, set_clock\n"
        "for name in ('first', 'near', 'far', 'liar'):\n"
        "    attempt(name, set_clock, 'time.cicada', 1); print('at', name, '->', now())\n"
    )
    said, requests = asked(tmp_path, lambda r, n: [answer(r, ANSWER_S + at[n - 1])], code)
    assert len(requests) == 6
    for name, want in (("first", 0), ("near", 3600), ("far", 6 * 3600 + 2), ("liar", 6 * 3600 + 2)):
        assert abs(int(said[f"at {name}"]) - ANSWER_S - want) <= 3, name
    assert said["liar"] == "LinkError: two answers from time.cicada differ by 40000 s"


def test_a_link_sets_the_clock_when_it_never_was_and_once_a_day(tmp_path):
    code = (
        "from node.net.link import Link\n"
        "from node.net.clock import now\n"
        "wifi.down()\n"
        "def feed():\n"
        "    global fed\n"
        "    fed += 1\n"
        "right = {'ssid': 'cicada', 'key': 'twinkle twinkle'}\n"
        "link = Link(right, 'time.cicada', feed)\n"
        "print('off ->', link.rssi)\n"
        "def visit(name):\n"
        "    global fed\n"
        "    fed = 0; link.up(); print(name, '->', now() - 1800000000, link.rssi, fed > 5); link.down()\n"
        "visit('first'); time.sleep(80000); visit('same day'); time.sleep(8000); visit('next day')\n"
        "time.sleep(1000); visit('hour')\n"
        "link = Link(right, 'time.cicada', feed); visit('other'); time.sleep(90000); visit('refused')\n"
        "time.sleep(60); visit('minute'); time.sleep(3600); visit('another')\n"
        "link = Link({'ssid': 'cicada', 'key': 'wrong'}, 'time.cicada', feed)\n"
        "attempt('wrong', link.up); print('fed ->', fed > 100)\n"
    )

    # By the server's clock the next day comes 1000 s later than by the node's.
    def reply(r, n):
        return [answer(r, ANSWER_S + 89_000 * (n - 1), stratum=1 if n < 3 else 0)]

    with server(reply) as (hosts, requests):
        said = talk(code, tmp_path, hosts, seconds=400_000)
    assert said["off"] == "None" and said["wrong"] == "LinkError: Wi-Fi cicada: the key was not accepted"
    assert said["fed"] == "True"
    wanted = {"first": 0, "same day": 80_000, "next day": 89_000, "hour": 90_000, "other": 90_000}
    wanted |= {"refused": 180_000, "minute": 180_060, "another": 183_660}
    for name, want in wanted.items():
        seconds, rssi, fed = said[name].split()
        assert abs(int(seconds) - want) < 60 and rssi == "-58" and fed == "True", name
    # first, next day, refused, and an hour after that.
    assert len(requests) == 4
