"""Wi-Fi as ``network.WLAN`` sees it, and what traffic through it costs."""

from __future__ import annotations

import errno
import json
import struct

from cicada.tools.twin.chip import SOFT_RESET, Chip, Due, Peripheral, ops, told
from cicada.tools.twin.peripherals.access import AccessPoint
from cicada.tools.twin.power import BUSY, IDLE

#: Values of ``wlan.status()`` (MicroPython ``ports/esp32/modnetwork.h``, ESP-IDF ``wifi_err_reason_t``).
IDLE_STATUS, CONNECTING, GOT_IP = 1000, 1001, 1010
BEACON_TIMEOUT, NO_AP_FOUND, AUTH_FAIL = 200, 201, 202
_SCAN_US = 2_200_000  # all channels, actively: an assumption
_JOIN_US = (600_000, 1_800_000)  # association, keys and DHCP: an assumption
_NEAR_US = 3_000  # half an exchange between the own access point and a station of it: an assumption
_SEND, _RECEIVE = 1, 2
#: Arguments of a request for traffic: whether the line was opened by somebody else, and what it does.
_KINDS = {0: (False, 0), 1: (False, 1), 2: (False, 2), 3: (True, 1), 4: (True, 2), 5: (True, 0)}


class Networks(Peripheral):
    """One station interface and one access point.

    The station tries again after every failure as often as ``config(reconnects=)`` allows, for ever by
    default.

    Attributes:
        sent, received: bytes of payload so far.
        access: the chip's own access point; ``access.join`` is for the phone that comes to it, and
            ``access.served`` says where on this machine a port is to be found that the program listens on.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.sent = self.received = 0
        self.access = AccessPoint(bytes.fromhex(chip.board.UNIQUE_ID))
        self._active = False
        self._asked: tuple[str, str] | None = None
        self._connected = False
        self._reason = 0
        self._allowed, self._tries = 0, 0
        self._due: Due | None = None
        self._what: str | None = None
        self.operations = {
            ops.WLAN_ACTIVE: self._set_active,
            ops.WLAN_CONNECT: self._connect,
            ops.WLAN_DISCONNECT: self._disconnect,
            ops.WLAN_STATUS: self._status,
            ops.WLAN_SCAN: self._scan,
            ops.WLAN_RECONNECTS: self._reconnects,
            ops.NET_TRAFFIC: self._traffic,
            ops.NET_RESOLVE: self._resolve,
            ops.WLAN_AP_ACTIVE: self._set_access,
            ops.WLAN_AP_CONFIG: self._configure_access,
            ops.WLAN_AP_STATIONS: self._stations,
            ops.NET_BIND: self._bind,
            ops.NET_REACH: self._reach,
        }

    def reset(self, cause: int) -> None:
        if cause != SOFT_RESET:
            self.radio(False)
            self._allowed = 0

    def radio(self, on: bool) -> None:
        """Switch the station on or off; off is the access point, too."""
        if not on:
            self.access.reset()
        self._station(on)

    def _station(self, on: bool) -> None:
        self._leave(0)
        self._asked = None
        self._active = on
        self._load("wifi_receive" if on else None)

    def _load(self, name: str | None) -> None:
        """What the station does; the access point's receiver is always on."""
        self._what = name
        if self.access.active and name in (None, "wifi_associated"):
            name = "wifi_receive"
        self.chip.meter.loads["wifi"] = self.chip.board.POWER[name] if name else 0.0

    def _leave(self, reason: int) -> None:
        if self._due:
            self._due.cancelled = True
            self._due = None
        self._connected, self._reason = False, reason

    def _set_active(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Argument: 0 off, 1 on, 2 only asks."""
        if argument != 2 and bool(argument) != self._active:
            self._station(bool(argument))
            self.chip.advance(50_000, BUSY)  # starting or stopping the driver
        return int(self._active), b""

    def _connect(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if not self._active:
            raise ValueError("Wifi Not Started")
        if payload:
            ssid, key = told(payload, list)
            self._asked = (ssid, key)
        if self._asked is None:
            raise ValueError("Wifi SSID Invalid")
        self._leave(0)
        self._tries = 0
        self._try()
        return 0, b""

    def _try(self) -> None:
        """Begin one attempt; its outcome falls due later."""
        self._tries += 1
        self._load("wifi_receive")
        network, now = self.chip.world.network, self.chip.meter.now
        heard = network.up.at(now) and self._asked[0] == network.ssid
        took = self.chip.random.randint(*_JOIN_US) if heard else _SCAN_US
        self._due = self.chip.at(now + took, self._outcome)

    def _outcome(self) -> None:
        network, now = self.chip.world.network, self.chip.meter.now
        if not network.up.at(now) or self._asked[0] != network.ssid:
            self._failed(NO_AP_FOUND)
        elif self._asked[1] != network.key:
            self._failed(AUTH_FAIL)
        else:
            self._connected, self._reason, self._tries = True, 0, 0
            self._load("wifi_associated")
            gone = network.up.when(0, now)
            self._due = None if gone is None else self.chip.at(gone, self._lost)

    def _failed(self, reason: int) -> None:
        self._leave(reason)
        if self._allowed == 0 or self._tries < self._allowed:
            self._try()

    def _lost(self) -> None:
        self._failed(BEACON_TIMEOUT)

    def _disconnect(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._leave(0)
        self._asked = None
        self._load("wifi_receive" if self._active else None)
        return 0, b""

    def _status(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if self._connected:
            status = GOT_IP
        elif self._reason in (NO_AP_FOUND, AUTH_FAIL):
            status = self._reason
        elif self._asked and (self._allowed == 0 or self._tries < self._allowed):
            status = CONNECTING
        else:
            status = self._reason or IDLE_STATUS
        about = {"rssi": self.chip.world.network.rssi, "ssid": self._asked[0] if self._asked else ""}
        return status, json.dumps(about).encode()

    def _scan(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        if not self._active:
            raise ValueError("STA must be active")
        self.chip.advance(_SCAN_US, IDLE)
        network = self.chip.world.network
        found = [[network.ssid, network.rssi]] if network.up.at(self.chip.meter.now) else []
        return 0, json.dumps(found + [list(other) for other in network.others]).encode()

    def _reconnects(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._allowed = 0 if argument == 0xFFFF else argument + 1
        return 0, b""

    # The access point

    def _set_access(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Argument: 0 off, 1 on, 2 only asks."""
        if argument != 2 and bool(argument) != self.access.active:
            self.access.switch(bool(argument))
            self._load(self._what)
            self.chip.advance(50_000, BUSY)
        return int(self.access.active), b""

    def _configure_access(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self.access.configure(told(payload, dict))
        return 0, json.dumps(self.access.settings).encode()

    def _stations(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return 0, b"".join(self.access.stations)

    def _bind(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Where on this machine the program is to listen for what comes to a port of the chip."""
        return self.access.place("tcp" if payload[0] == 1 else "udp", argument, bool(payload[1])), b""

    def _reach(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        return int(self._connected or bool(self.access.stations)), b""

    # Traffic

    def _traffic(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Let bytes pass.

        Args:
            argument: 0 only asks for the link, 1 sends, 2 receives; on a line that somebody opened to the
                chip 3 sends, 4 receives, 5 asks.
            payload: how many bytes.
        """
        served, kind = _KINDS[argument]
        if not self._linked(served):
            raise OSError(errno.EHOSTUNREACH, "no link")
        count = struct.unpack("<I", payload)[0] if payload else 0
        if kind:
            network, now, before = self.chip.world.network, self.chip.meter.now, self._what
            half = _NEAR_US if served and self.access.stations else network.latency_ms.at(now) * 1000 / 2
            took = half + count * 1e6 / network.bytes_per_s.at(now)
            self._load("wifi_send" if kind == _SEND else "wifi_receive")
            self.chip.advance(round(took), IDLE)
            if not self._linked(served):
                raise OSError(errno.ECONNABORTED, "the link is gone")
            self._load("wifi_associated" if self._connected else before)
            if kind == _SEND:
                self.sent += count
            else:
                self.received += count
        return 1, b""

    def _linked(self, served: bool) -> bool:
        return self._connected or (served and bool(self.access.stations))

    def _resolve(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        host, port = self.chip.world.hosts.get(payload.decode(), (None, None))
        return 0, payload if host is None else f"{host}:{port}".encode()
