"""Which port a board is found at."""

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from cicada.tools.errors import UserError
from cicada.tools.flashing import finding
from cicada.tools.flashing.finding import attached, find_port


def usb(device, vid=0x10C4, product="CP2102N USB to UART Bridge", number="0001"):
    port = ListPortInfo(device)
    port.vid, port.product, port.serial_number = vid, product, number
    return port


@pytest.fixture
def plugged(monkeypatch):
    """List of what is plugged in; a mouse's receiver and a port without USB are always there."""
    ports = [usb("/dev/ttyACM9", 0x046D, "Receiver"), ListPortInfo("/dev/ttyS0")]
    monkeypatch.setattr(list_ports, "comports", lambda: list(ports))
    return ports


def test_the_only_board_is_found(plugged):
    plugged.append(usb("/dev/ttyUSB0"))
    assert find_port("esp32", None) == "/dev/ttyUSB0"


def test_a_port_that_was_named_is_taken_as_it_is(plugged):
    assert find_port("esp32", "rfc2217://lab:4000") == "rfc2217://lab:4000"
    assert find_port("twin", "/dev/ttyUSB7") == "/dev/ttyUSB7"


@pytest.mark.parametrize("vid", finding.BRIDGES)
def test_every_usual_bridge_counts(plugged, vid):
    plugged.append(usb("/dev/ttyUSB3", vid, None, None))
    assert attached() == [finding.Attached("/dev/ttyUSB3", finding.BRIDGES[vid])]


def test_several_boards_are_listed_by_name(plugged):
    plugged += [usb("/dev/ttyUSB1"), usb("/dev/ttyACM0", 0x303A, "USB JTAG/serial debug unit", "F4:12")]
    with pytest.raises(UserError) as error:
        find_port("esp32", None)
    assert str(error.value) == (
        "several boards are attached: /dev/ttyACM0 (USB JTAG/serial debug unit, F4:12), "
        "/dev/ttyUSB1 (CP2102N USB to UART Bridge, 0001); name one with PORT=/dev/ttyACM0"
    )


def test_without_a_board_it_says_what_to_check(plugged):
    with pytest.raises(UserError, match="no board is attached: check the cable .*'dialout'"):
        find_port("esp32", None)


def test_the_twin_has_a_console_and_a_port_with_reset_lines(tmp_path, monkeypatch, plugged):
    plugged.append(usb("/dev/ttyUSB0"))
    monkeypatch.setattr(finding, "BUILD", tmp_path)
    monkeypatch.setenv("CICADA_TWIN_PORT", str(tmp_path / "tty"))
    for lines in (False, True):
        with pytest.raises(UserError, match="no twin is running: start one with 'make twin'"):
            find_port("twin", None, lines)
    (tmp_path / "tty").touch()
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "rfc2217").write_text("rfc2217://127.0.0.1:4000\n")
    assert find_port("twin", None) == str(tmp_path / "tty")
    assert find_port("twin", None, reset_lines=True) == "rfc2217://127.0.0.1:4000"
