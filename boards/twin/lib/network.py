"""``network`` as MicroPython's ESP32 port has it: a Wi-Fi station and an access point."""

import json

import _chip
import _ops
import machine

STA_IF = 0
AP_IF = 1
STAT_IDLE = 1000
STAT_CONNECTING = 1001
STAT_GOT_IP = 1010
STAT_NO_AP_FOUND = 201
STAT_WRONG_PASSWORD = 202
STAT_BEACON_TIMEOUT = 200
STAT_ASSOC_FAIL = 203
STAT_HANDSHAKE_TIMEOUT = 204
AUTH_OPEN = 0
AUTH_WPA2_PSK = 3

_hostname = "mpy-esp32"
_country = "XX"


def hostname(name=None):
    global _hostname
    if name is None:
        return _hostname
    if len(name) > 32:
        raise ValueError
    _hostname = name


def country(code=None):
    global _country
    if code is None:
        return _country
    if len(code) != 2:
        raise ValueError
    _country = code


def _wifi(op, argument=0, payload=b""):
    try:
        return _chip.call(op, argument, payload)
    except ValueError as error:
        raise OSError(error.args[0])


class WLAN:
    IF_STA = STA_IF
    IF_AP = AP_IF
    SEC_OPEN = AUTH_OPEN
    SEC_WPA2 = AUTH_WPA2_PSK
    PM_NONE = 0
    PM_PERFORMANCE = 1
    PM_POWERSAVE = 2

    def __new__(cls, interface=STA_IF):
        if cls is WLAN and interface == AP_IF:
            return _AccessPoint()
        if interface != STA_IF:
            raise ValueError("invalid WLAN interface identifier")
        return super().__new__(cls)

    def active(self, on=None):
        argument = 2 if on is None else int(bool(on))
        return bool(_chip.call(_ops.WLAN_ACTIVE, argument, b"", b""))

    def connect(self, ssid=None, key=None, *, bssid=None):
        asked = b"" if ssid is None else json.dumps([_text(ssid), _text(key or "")]).encode()
        _wifi(_ops.WLAN_CONNECT, 0, asked)

    def disconnect(self):
        _wifi(_ops.WLAN_DISCONNECT)

    def isconnected(self):
        return self.status() == STAT_GOT_IP

    def status(self, what=None):
        status, about = _chip.call(_ops.WLAN_STATUS)
        if what is None:
            return status
        if what == "stations":
            raise OSError("AP required")
        if what != "rssi":
            raise ValueError("unknown status param")
        if status != STAT_GOT_IP:
            raise OSError("Wifi Not Connected")
        return json.loads(about)["rssi"]

    def scan(self):
        rows = json.loads(_wifi(_ops.WLAN_SCAN)[1])
        return [(ssid.encode(), b"\x02\x00\x00\x00\x00\x01", 6, rssi, 3, False) for ssid, rssi in rows]

    def config(self, what=None, **changes):
        for name, value in changes.items():
            if name == "reconnects":
                _chip.call(_ops.WLAN_RECONNECTS, 0xFFFF if value == -1 else value)
            elif name in ("hostname", "dhcp_hostname"):
                hostname(value)
            elif name not in ("pm", "txpower", "channel", "mac", "protocol"):
                raise ValueError("unknown config param")
        if what is None:
            return None
        values = {"mac": machine.unique_id(), "channel": 6, "pm": self.PM_PERFORMANCE, "hostname": _hostname}
        if what in ("ssid", "essid"):
            return json.loads(_chip.call(_ops.WLAN_STATUS)[1])["ssid"]
        if what not in values:
            raise ValueError("unknown config param")
        return values[what]

    def ifconfig(self, addresses=None):
        if not self.isconnected():
            return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")
        return ("10.0.0.2", "255.255.255.0", "10.0.0.1", "10.0.0.1")

    def ipconfig(self, what):
        if what == "addr4":
            return self.ifconfig()[:2]
        if what == "gw4":
            return self.ifconfig()[2]
        if what == "has_dhcp4":
            return self.isconnected()
        raise ValueError("unexpected key")


class _AccessPoint(WLAN):
    def active(self, on=None):
        argument = 2 if on is None else int(bool(on))
        return bool(_chip.call(_ops.WLAN_AP_ACTIVE, argument, b"", b""))

    def _stations(self):
        data = _chip.call(_ops.WLAN_AP_STATIONS)[1]
        return [(data[at : at + 6],) for at in range(0, len(data), 6)]

    def isconnected(self):
        return bool(self._stations())

    def status(self, what=None):
        if what is None:
            return None
        if what == "stations":
            return self._stations()
        if what == "rssi":
            raise OSError("STA required")
        raise ValueError("unknown status param")

    def config(self, what=None, **changes):
        told = {}
        for name, value in changes.items():
            if name in _ACCESS:
                told[_ACCESS[name]] = _text(value) if name in _TEXTS else value
            elif name == "reconnects":
                raise OSError("STA required")
            elif name not in ("pm", "txpower", "mac", "protocol"):
                raise ValueError("unknown config param")
        settings = json.loads(_wifi(_ops.WLAN_AP_CONFIG, 0, json.dumps(told).encode())[1])
        if what is None:
            return None
        if what == "mac":
            mac = machine.unique_id()
            return mac[:5] + bytes([mac[5] + 1 & 0xFF])
        if what in _ACCESS and what not in ("key", "password"):
            return settings[_ACCESS[what]]
        raise ValueError("unknown config param")

    def ifconfig(self, addresses=None):
        return ("192.168.4.1", "255.255.255.0", "192.168.4.1", "0.0.0.0")

    def ipconfig(self, what):
        if what == "addr4":
            return self.ifconfig()[:2]
        if what == "gw4":
            return self.ifconfig()[2]
        raise ValueError("unexpected key")


# What the settings of an access point are called, old names and new ones.
_ACCESS = {
    "ssid": "ssid",
    "essid": "ssid",
    "key": "key",
    "password": "key",
    "security": "security",
    "authmode": "security",
    "max_clients": "max_clients",
    "channel": "channel",
    "hidden": "hidden",
}
_TEXTS = ("ssid", "essid", "key", "password")


def _text(value):
    return value if isinstance(value, str) else bytes(value).decode()
