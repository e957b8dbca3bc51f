"""The way to the network as a whole: Wi-Fi that is up, and a clock that is right."""

import gc

from micropython import const

from node import log
from node.net import LinkError
from node.net.wifi import Wifi
from node.updates.release import now

_DAY_S = const(86400)
_AGAIN_S = const(3600)  # a clock that is set can wait for a time server that does not answer


class Link:
    """Wi-Fi and clock.

    Args:
        wifi: ``{"ssid", "key"}``.
        ntp: host of a time server; None if nobody needs the time.
        feed: called again and again while it waits; for the watchdog.

    Attributes:
        clock_set: when the clock was set, in seconds since 1970; 0 if that is not known. Whoever has memory
            for it through deep sleep keeps it.
    """

    def __init__(self, wifi, ntp, feed):
        self._wifi = Wifi(wifi)
        self._ntp = ntp
        self._feed = feed
        self.clock_set = 0

    def up(self):
        """Connect, and set a clock that was never set, or not for a day.

        Raises:
            LinkError: there is no connection. A time server that does not answer is a line on the console.
        """
        self._wifi.up(feed=self._feed)
        gc.collect()  # what is done on the network wants room in one piece, for updates 4 KB more than once
        if self._ntp and self._stale():
            from node.net.clock import set_clock

            self._feed()
            try:
                set_clock(self._ntp)
                self.clock_set = now()
            except LinkError as error:
                log.warn("clock: %s" % error)
                if now() is not None:
                    self.clock_set = now() - _DAY_S + _AGAIN_S

    def down(self):
        """Switch the radio off; again does nothing."""
        self._wifi.down()

    @property
    def rssi(self):
        """Strength of the signal in dBm, None without a connection."""
        return self._wifi.rssi()

    def _stale(self):
        seconds = now()
        if seconds is None:
            return True
        if not self.clock_set:
            self.clock_set = seconds  # by somebody before us; a day from now it is our turn
        return not 0 <= seconds - self.clock_set < _DAY_S
