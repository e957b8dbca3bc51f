"""Wi-Fi as ``network.WLAN`` sees it, and what traffic through it costs."""

from __future__ import annotations

import errno
import json
import struct

from cicada.tools.twin.chip import SOFT_RESET, Chip, Due, Peripheral, ops, told
from cicada.tools.twin.power import BUSY, IDLE

#: Values of ``wlan.status()`` (MicroPython ``ports/esp32/modnetwork.h``, ESP-IDF ``wifi_err_reason_t``).
IDLE_STATUS, CONNECTING, GOT_IP = 1000, 1001, 1010
BEACON_TIMEOUT, NO_AP_FOUND, AUTH_FAIL = 200, 201, 202
_SCAN_US = 2_200_000  # all channels, actively: an assumption
_JOIN_US = (600_000, 1_800_000)  # association, keys and DHCP: an assumption


class Networks(Peripheral):
    """One station interface.

    It tries again after every failure as often as ``config(reconnects=)`` allows, for ever by default.

    Attributes:
        sent, received: bytes of payload so far.
    """

    def __init__(self, chip: Chip) -> None:
        super().__init__(chip)
        self.sent = self.received = 0
        self._active = False
        self._asked: tuple[str, str] | None = None
        self._connected = False
        self._reason = 0
        self._allowed, self._tries = 0, 0
        self._due: Due | None = None
        self.operations = {
            ops.WLAN_ACTIVE: self._set_active,
            ops.WLAN_CONNECT: self._connect,
            ops.WLAN_DISCONNECT: self._disconnect,
            ops.WLAN_STATUS: self._status,
            ops.WLAN_SCAN: self._scan,
            ops.WLAN_RECONNECTS: self._reconnects,
            ops.NET_TRAFFIC: self._traffic,
            ops.NET_RESOLVE: self._resolve,
        }

    def reset(self, cause: int) -> None:
        if cause != SOFT_RESET:
            self.radio(False)
            self._allowed = 0

    def radio(self, on: bool) -> None:
        """Switch the station on or off."""
        self._leave(0)
        self._asked = None
        self._active = on
        self._load("wifi_receive" if on else None)

    def _load(self, name: str | None) -> None:
        self.chip.meter.loads["wifi"] = self.chip.board.POWER[name] if name else 0.0

    def _leave(self, reason: int) -> None:
        if self._due:
            self._due.cancelled = True
            self._due = None
        self._connected, self._reason = False, reason

    def _set_active(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Argument: 0 off, 1 on, 2 only asks."""
        if argument != 2 and bool(argument) != self._active:
            self.radio(bool(argument))
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
        return 0, json.dumps(found).encode()

    def _reconnects(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        self._allowed = 0 if argument == 0xFFFF else argument + 1
        return 0, b""

    def _traffic(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        """Let bytes pass: argument 0 only asks for the link, 1 sends, 2 receives; payload: how many."""
        if not self._connected:
            raise OSError(errno.EHOSTUNREACH, "no link")
        count = struct.unpack("<I", payload)[0] if payload else 0
        if argument:
            network, now = self.chip.world.network, self.chip.meter.now
            took = network.latency_ms.at(now) * 1000 / 2 + count * 1e6 / network.bytes_per_s.at(now)
            self._load("wifi_send" if argument == 1 else "wifi_receive")
            self.chip.advance(round(took), IDLE)
            if not self._connected:
                raise OSError(errno.ECONNABORTED, "the link is gone")
            self._load("wifi_associated")
            if argument == 1:
                self.sent += count
            else:
                self.received += count
        return 1, b""

    def _resolve(self, argument: int, payload: bytes) -> tuple[int, bytes]:
        host, port = self.chip.world.hosts.get(payload.decode(), (None, None))
        return 0, payload if host is None else f"{host}:{port}".encode()
