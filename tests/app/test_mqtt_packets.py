"""Whatever a broker sends, the node's MQTT client ends in an answer or a LinkError."""

import contextlib
import socket
import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from support.twins import micropython

CODE = """
import socket
from node.net import LinkError, mqtt
for _ in range({count}):
    client = mqtt.Client("127.0.0.1", {port}, "fuzzed", timeout_s=5)
    try:
        client.connect()
        client.subscribe("t")
        heard = client.wait(1)
        client.publish("t", b"x")
        client.ping()
        client.disconnect()
        print("heard", heard)
    except LinkError as error:
        print("LinkError", error)
"""
#: What a broker may send in this conversation.
WHOLE = [b"\x20\x02\0\0", b"\x90\x03\0\1\1", b"\x33\x07\0\1t\0\1hi", b"\x40\x02\0\2", b"\xd0\0"]
pieces = st.one_of(st.sampled_from(WHOLE), st.binary(max_size=12))
order = st.lists(pieces, max_size=4).map(b"".join)


@st.composite
def spoilt(draw):
    """The right conversation with a few bytes changed, and cut somewhere."""
    data = bytearray(b"".join(WHOLE))
    for at in draw(st.lists(st.integers(0, len(data) - 1), max_size=2)):
        data[at] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(0, len(data)))])


def conversations(streams):
    """What the client says of each stream."""

    def serve():
        for stream in streams:
            line, _ = listener.accept()
            with line, contextlib.suppress(OSError):
                line.sendall(stream)
                line.shutdown(socket.SHUT_WR)
                while line.recv(4096):
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        said = micropython(CODE.format(count=len(streams), port=listener.getsockname()[1])).splitlines()
        thread.join(5)
    return said


def test_the_right_conversation_is_understood():
    assert conversations([b"".join(WHOLE)]) == ["heard ('t', b'hi')"]


def test_looking_for_nothing_allocates_nothing():
    """So a connection can stay open beside a pipeline that hears in time."""
    code = """
import micropython
from node.net.mqtt import Client
client = Client("127.0.0.1", {port}, "polls")
client.connect()
client.poll()
client.keep_alive()
micropython.heap_lock()
events = client.poll()
client.keep_alive()
micropython.heap_unlock()
print("looked", events)
"""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            line, _ = listener.accept()
            with line:
                line.sendall(WHOLE[0])
                while line.recv(4096):
                    pass

        threading.Thread(target=serve, daemon=True).start()
        assert micropython(code.format(port=listener.getsockname()[1])) == "looked None\n"


@given(st.lists(st.one_of(order, spoilt(), st.binary(max_size=64)), min_size=20, max_size=60))
@settings(max_examples=15, deadline=None)
def test_any_other_is_an_answer_or_a_link_error(streams):
    said = conversations(streams)
    assert len(said) == len(streams)
    assert all(line.startswith(("heard ", "LinkError MQTT: ")) for line in said), said
