"""The twin's network port and its reset lines, against pyserial and esptool's own reset sequences."""

import select
import socket
import threading
import time
from types import SimpleNamespace

import pytest
import serial
from esp_pylib import serial_reset
from esptool.reset import ClassicReset, HardReset, UnixTightReset
from hypothesis import given, settings
from hypothesis import strategies as st
from serial import rfc2217

from cicada.tools.errors import UserError
from cicada.tools.twin.netport import Data, Lines, NetworkPort, ResetLines

# pyserial 3.5's own, on Python 3.10 and later.
pytestmark = pytest.mark.filterwarnings(r"ignore:set(Daemon|Name)\(\) is deprecated:DeprecationWarning")


@pytest.fixture
def port():
    port = NetworkPort()
    yield port
    port.close()


def _call(port):
    """A client that has no Telnet of its own."""
    client = socket.create_connection(port.sockets()[0].getsockname(), timeout=5)
    while len(port.sockets()) < 2:
        port.receive()
    return client


def _until(port, enough, seconds=5.0):
    """Everything that happens until ``enough(events)``."""
    events, end = [], time.monotonic() + seconds
    while not enough(events):
        assert time.monotonic() < end, events
        events += port.receive()
    return events


def _typed(events):
    return b"".join(e.data for e in events if isinstance(e, Data))


@pytest.fixture
def pyserial(port, monkeypatch):
    """pyserial's client on the port, and what happened there; the port is served by a thread."""
    monkeypatch.setattr(rfc2217, "time", SimpleNamespace(sleep=lambda s: time.sleep(s / 50)))
    events, over = [], threading.Event()

    def serve():
        while not over.is_set():
            select.select(port.sockets(), [], [], 0.02)
            events.extend(port.receive())

    thread = threading.Thread(target=serve)
    thread.start()
    client = serial.serial_for_url(port.url, baudrate=74880, timeout=5)
    try:
        yield SimpleNamespace(client=client, events=events)
    finally:
        client.close()
        over.set()
        thread.join()


def test_pyserial_opens_it_and_its_lines_and_bytes_come_in_order(port, pyserial):
    client, events = pyserial.client, pyserial.events
    assert events == [Lines(True, False), Lines(True, True)]
    everything = bytes(range(256)) * 40
    client.write(b"before")
    client.rts = False
    client.write(everything)
    client.dtr = False
    del events[:2]
    assert [type(e) for e in _joined(events)] == [Data, Lines, Data, Lines]
    assert _joined(events)[2].data == everything
    assert [e for e in events if isinstance(e, Lines)] == [Lines(True, False), Lines(False, False)]


def test_pyserial_reads_every_byte(port, pyserial):
    everything = bytes(range(256)) * 200
    port.send(everything)
    assert pyserial.client.read(len(everything)) == everything


def test_pyserial_may_set_what_a_serial_port_has(port, pyserial):
    client = pyserial.client
    client.baudrate = 460800
    client.parity, client.stopbits, client.bytesize = (
        serial.PARITY_EVEN,
        serial.STOPBITS_TWO,
        serial.SEVENBITS,
    )
    client.break_condition = True
    client.reset_input_buffer()
    client.reset_output_buffer()
    assert not client.cts and not client.cd


def _joined(events):
    joined = []
    for event in events:
        if isinstance(event, Data) and joined and isinstance(joined[-1], Data):
            event = Data(joined.pop().data + event.data)
        joined.append(event)
    return joined


def test_an_address_in_use_is_named(port):
    number = int(port.url.rsplit(":", 1)[1])
    with pytest.raises(UserError, match=f"port {number} of 127.0.0.1 is in use"):
        NetworkPort(("127.0.0.1", number))


def test_an_address_of_another_machine_is_named():
    with pytest.raises(UserError, match="listening on 192.0.2.1:0"):
        NetworkPort(("192.0.2.1", 0))


def test_a_second_client_is_turned_away_and_the_first_stays(port):
    with _call(port) as first, socket.create_connection(first.getpeername(), timeout=5) as second:
        port.receive()
        assert b"in use by another program" in second.recv(1000)
        assert second.recv(1000) == b""
        first.sendall(b"still here")
        assert _typed(_until(port, _typed)) == b"still here"


def test_a_client_that_goes_lets_the_lines_go_and_makes_room(port):
    with _call(port) as client:
        client.sendall(_set(rfc2217.SET_CONTROL_DTR_ON) + _set(rfc2217.SET_CONTROL_RTS_ON) + b"x")
        _until(port, _typed)
    with socket.create_connection(port.sockets()[0].getsockname(), timeout=5) as other:
        assert _until(port, lambda events: events) == [Lines(False, False)]
        other.sendall(b"next")
        assert _typed(_until(port, _typed)) == b"next"


def test_a_client_that_goes_without_having_touched_the_lines_is_no_event(port):
    with _call(port):
        pass
    end = time.monotonic() + 5
    while len(port.sockets()) == 2 and time.monotonic() < end:
        assert port.receive() == []
    assert len(port.sockets()) == 1


def _set(what):
    return (
        rfc2217.IAC
        + rfc2217.SB
        + rfc2217.COM_PORT_OPTION
        + rfc2217.SET_CONTROL
        + what
        + rfc2217.IAC
        + rfc2217.SE
    )


def test_what_nobody_hears_is_lost(port):
    port.send(b"lost")
    with _call(port) as client:
        port.send(b"heard")
        assert client.recv(1000).endswith(b"heard")
        assert not port.wants_write


def test_a_client_that_does_not_read_stops_nobody_and_gets_the_beginning(port):
    with _call(port) as client:
        for number in range(20_000):
            port.send(b"%07d\n" % number * 128)
        assert port.wants_write
        heard = b""
        while port.wants_write:
            heard += client.recv(1 << 20)
            port.receive()
        client.settimeout(0.2)
        while True:
            try:
                heard += client.recv(1 << 20)
            except TimeoutError:
                break
    lines = heard[heard.index(b"0000000\n") :].splitlines()
    assert 256 * 1024 / 8 <= len(lines) < 20_000 * 128
    whole = [line for line in lines if len(line) == 7]
    assert whole == sorted(whole) and len(whole) >= len(lines) - 1


NOISE = st.lists(
    st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [b"\xff", b"\xff\xff", b"\xff\xfa\x2c", b"\xff\xf0", b"\xff\xfd", b"\xff\xfa\x2c\x03\x09"]
        ),
        st.builds(
            lambda o, v: b"\xff\xfa\x2c" + o + v + b"\xff\xf0", st.binary(max_size=1), st.binary(max_size=5)
        ),
    ),
    max_size=12,
).map(b"".join)


@settings(max_examples=150)
@given(NOISE)
def test_no_client_can_make_it_stumble(noise):
    """Whatever is sent, the port hears the next client."""
    port = NetworkPort()
    try:
        with _call(port) as client:
            client.sendall(noise)
            client.shutdown(socket.SHUT_WR)
            while len(port.sockets()) == 2:
                port.receive()
        with _call(port) as client:
            client.sendall(b"hello")
            assert _typed(_until(port, _typed)) == b"hello"
    finally:
        port.close()


def test_an_option_without_end_is_hung_up_on(port):
    with _call(port) as client:
        client.sendall(b"\xff\xfa\x2c" + bytes(1000))
        while len(port.sockets()) == 2:
            port.receive()


@settings(max_examples=60)
@given(st.lists(st.sampled_from([b"\xff", b"a", b"\x00", b"\xff\xff\xff"]), max_size=40), st.data())
def test_bytes_arrive_however_they_were_cut(pieces, data):
    plain = b"".join(pieces) + b"end"
    wire = plain.replace(b"\xff", b"\xff\xff")
    cut = data.draw(st.integers(0, len(wire)))
    port = NetworkPort()
    try:
        with _call(port) as client:
            client.sendall(wire[:cut])
            events = port.receive()
            client.sendall(wire[cut:])
            events += _until(port, lambda more: _typed(events + more).endswith(b"end"))
            assert _typed(events) == plain
    finally:
        port.close()


class _Lines:
    """What esptool takes for a serial port; every step goes to the circuit."""

    def __init__(self, opened):
        self.circuit, self.said = ResetLines(), []
        self.dtr = self.rts = False
        if opened:  # as pyserial does it over the network
            self.setDTR(True)
            self.setRTS(True)

    def isOpen(self):
        return True

    def setDTR(self, state):
        self._feed(bool(state), self.rts)

    def setRTS(self, state):
        self._feed(self.dtr, bool(state))

    def both(self, dtr=False, rts=False):
        self._feed(dtr, rts)

    def _feed(self, dtr, rts):
        self.dtr, self.rts = dtr, rts
        self.said += [said for said in [self.circuit.feed(dtr, rts)] if said]


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(serial_reset, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.setattr(serial_reset, "set_dtr_rts", lambda port, dtr=False, rts=False: port.both(dtr, rts))


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("strategy", [ClassicReset, UnixTightReset])
def test_esptools_resets_lead_to_download_mode(strategy, opened):
    port = _Lines(opened)
    strategy(port, 0.05)()
    assert port.said == ["download"] and not port.circuit.held
    HardReset(port)()
    assert port.said == ["download", "run"]


def test_opening_a_port_resets_nothing():
    port = _Lines(opened=True)
    assert port.said == [] and not port.circuit.held
    port.both(False, False)  # and closing it neither
    assert port.said == []


def test_both_lines_do_not_end_a_reset():
    circuit = ResetLines()
    assert circuit.feed(False, True) is None
    assert circuit.feed(True, True) is None and circuit.held
    assert circuit.feed(False, False) == "run" and not circuit.held


def test_a_client_that_goes_while_it_holds_the_chip_lets_it_run():
    circuit = ResetLines()
    assert circuit.feed(False, True) is None and circuit.held
    assert circuit.feed(False, False) == "run"
    assert circuit.feed(False, False) is None
