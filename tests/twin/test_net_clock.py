"""A node asks for the time of day, and believes only what is an answer."""

import socket
import struct
import threading

import pytest

from support.wires import talk

ANSWER_S = 1_800_000_000  # since 1970


def answer(seconds=ANSWER_S, mode=4, stratum=2):
    packet = bytearray(48)
    packet[0], packet[1] = 0x20 | mode, stratum
    struct.pack_into("!I", packet, 40, (seconds + 2208988800) & 0xFFFFFFFF)
    return bytes(packet)


def asked(tmp_path, reply):
    """What a node prints that asks a server which answers ``reply`` (None: not at all)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)
        requests = []

        def serve():
            try:
                request, address = server.recvfrom(100)
            except OSError:
                return
            requests.append(request)
            if reply is not None:
                server.sendto(reply, address)

        thread = threading.Thread(target=serve)
        thread.start()
        code = (
            "from node.net.clock import set_clock\n"
            "from node.updates.release import now\n"
            "attempt('before', now)\n"
            "attempt('set', set_clock, 'time.cicada', 1)\n"
            "attempt('after', now)\n"
        )
        said = talk(code, tmp_path, {"time.cicada:123": server.getsockname()})
        thread.join()
    return said, requests


def test_the_clock_is_set_to_utc(tmp_path):
    said, (request,) = asked(tmp_path, answer())
    assert said["before"] == "None"
    assert abs(int(said["after"]) - ANSWER_S) <= 1
    assert request == b"\x23" + bytes(47)


def test_the_era_after_2036_is_understood(tmp_path):
    said, _ = asked(tmp_path, answer(2_100_000_000))
    assert abs(int(said["after"]) - 2_100_000_000) <= 1


@pytest.mark.parametrize(
    "reply",
    [None, b"", answer()[:47], answer(mode=3), answer(stratum=0), answer(stratum=16)],
    ids=["silence", "nothing", "short", "not a server", "kiss of death", "not synchronised"],
)
def test_anything_else_leaves_it_alone(tmp_path, reply):
    said, _ = asked(tmp_path, reply)
    assert said["set"].startswith("LinkError: no ") and "time.cicada" in said["set"]
    assert said["after"] == "None"
