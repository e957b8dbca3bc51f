"""Wi-Fi that is switched on to be used, and off again."""

import time

import network
from micropython import const

from node.net import LinkError

_STEP_MS = const(50)
#: ESP-IDF's WIFI_REASON_4WAY_HANDSHAKE_TIMEOUT: what many access points make of a wrong key.
_HANDSHAKE = const(15)


class Wifi:
    """The board's Wi-Fi station.

    Args:
        config: ``{"ssid": name, "key": password}``; a network without a password has no key.
    """

    def __init__(self, config):
        self._config = config
        self._wlan = None

    def up(self, timeout_ms=15000, feed=None):
        """Connect; at once if that is done already.

        Args:
            feed: called again and again while it waits.

        Raises:
            LinkError: if there is no connection after ``timeout_ms``; it says why, and the radio is off.
        """
        ssid = self._config.get("ssid")
        if not ssid:
            raise LinkError("no Wi-Fi network is configured")
        wlan = self._wlan = network.WLAN(network.WLAN.IF_STA)
        if wlan.isconnected():
            return
        try:
            wlan.active(True)
            wlan.connect(ssid, self._config.get("key"))
            began = time.ticks_ms()
            while not wlan.isconnected():
                if time.ticks_diff(time.ticks_ms(), began) >= timeout_ms:
                    raise LinkError("Wi-Fi %s: %s" % (ssid, _reason(wlan.status())))
                time.sleep_ms(_STEP_MS)
                if feed:
                    feed()
        except OSError:
            self.down()
            raise LinkError("Wi-Fi %s: the radio does not start" % ssid)
        except LinkError:
            self.down()
            raise

    def down(self):
        """Switch the radio off; again does nothing."""
        if self._wlan is None:
            return
        try:
            self._wlan.disconnect()
        except OSError:
            pass  # it was not connected
        try:
            self._wlan.active(False)
        except OSError:
            pass  # it was not on

    def rssi(self):
        """Strength of the access point's signal in dBm, None without a connection."""
        try:
            return self._wlan.status("rssi") if self._wlan else None
        except OSError:
            return None


def _reason(status):
    """Words for ``wlan.status()``; on the ESP32 it keeps the last reason while it tries again."""
    if status == network.STAT_NO_AP_FOUND:
        return "no such network in reach"
    if status in (network.STAT_WRONG_PASSWORD, network.STAT_HANDSHAKE_TIMEOUT, _HANDSHAKE):
        return "the key was not accepted"
    return "no connection (status %d)" % status
