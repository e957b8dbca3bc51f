"""The chip's own access point: its settings, who is there, and where its ports are on this machine."""

from __future__ import annotations

import socket

OPEN, WPA2 = 0, 3  # ``wifi_auth_mode_t`` (ESP-IDF ``esp_wifi_types_generic.h``)
_MOST = 10  # stations that the driver takes (ESP-IDF, ESP_WIFI_MAX_CONN_NUM)
_SHORTEST_KEY, _LONGEST_KEY, _LONGEST_NAME = 8, 63, 32


class AccessPoint:
    """An access point that others come to.

    Until it is told otherwise it is open and called ``ESP_`` and the last half of its address, as ESP-IDF's
    is. Settings last until the chip is reset; MicroPython has the driver keep them in RAM.

    Args:
        mac: address of the station interface; the access point's is one higher.

    Attributes:
        active: whether it is on.
        settings: as of ``wlan.config``: ssid, key, security, max_clients, channel, hidden.
        stations: addresses of those who are there.
        served: ``("tcp", 80)`` and the like, of sockets that the program has bound -> port on 127.0.0.1.
    """

    def __init__(self, mac: bytes) -> None:
        self.mac = mac[:5] + bytes([mac[5] + 1 & 0xFF])
        self.active = False
        self.stations: list[bytes] = []
        self.served: dict[tuple[str, int], int] = {}
        self.reset()

    def reset(self) -> None:
        """Off, with the settings of a chip that has just started."""
        self.active = False
        self.stations.clear()
        name = "ESP_" + self.mac[3:].hex().upper()
        self.settings = {
            "ssid": name,
            "key": "",
            "security": OPEN,
            "max_clients": 4,
            "channel": 1,
            "hidden": False,
        }

    def switch(self, on: bool) -> None:
        """On or off; who was there is not any more."""
        self.active = on
        self.stations.clear()

    def configure(self, changes: dict) -> None:
        """Change settings.

        Raises:
            ValueError: as the driver refuses them: ``Wifi Invalid Mode`` while it is off, and
                ``Wifi Invalid Password`` for a key of fewer than 8 or more than 63 letters with WPA2.
        """
        if not changes:
            return
        if not self.active:
            raise ValueError("Wifi Invalid Mode")
        settings = self.settings | changes
        settings["ssid"] = settings["ssid"].encode()[:_LONGEST_NAME].decode("utf-8", "ignore")
        settings["key"] = settings["key"][:_LONGEST_KEY]
        if settings["security"] != OPEN and len(settings["key"]) < _SHORTEST_KEY:
            raise ValueError("Wifi Invalid Password")
        if not 1 <= settings["max_clients"] <= _MOST:
            raise ValueError("Wifi Unknown Error 0x0102")
        self.settings = settings
        self.stations.clear()

    def join(self, ssid: str, key: str = "", mac: bytes = b"\x02\x00\x00\x00\x00\x77") -> None:
        """Be a phone that joins it.

        Raises:
            ConnectionError: there is no such access point, it is full, or the key is not its key.
        """
        if not self.active or ssid != self.settings["ssid"]:
            raise ConnectionError(f"no access point '{ssid}' in reach")
        if self.settings["security"] != OPEN and key != self.settings["key"]:
            raise ConnectionError("the key was not accepted")
        if mac not in self.stations:
            if len(self.stations) >= self.settings["max_clients"]:
                raise ConnectionError("the access point takes no more stations")
            self.stations.append(mac)

    def leave(self, mac: bytes = b"\x02\x00\x00\x00\x00\x77") -> None:
        """Be a phone that goes."""
        if mac in self.stations:
            self.stations.remove(mac)

    def place(self, kind: str, port: int, fresh: bool) -> int:
        """A free port of 127.0.0.1 for ``port`` of the chip, the same as before unless ``fresh``."""
        if fresh or (kind, port) not in self.served:
            how = socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM
            with socket.socket(socket.AF_INET, how) as probe:
                probe.bind(("127.0.0.1", 0))
                self.served[kind, port] = probe.getsockname()[1]
        return self.served[kind, port]
