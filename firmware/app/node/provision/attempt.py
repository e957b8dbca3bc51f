"""Trying settings before they are stored: join the network, reach the broker."""

import binascii
import time

import machine
import network
from micropython import const

from node.net import LinkError
from node.secrets import tried

_JOIN_MS = const(20000)
_STUBBORN_MS = const(5000)  # the same reason for so long: it will not change
_STEP_MS = const(50)
_HANDSHAKE = const(15)  # ESP-IDF's WIFI_REASON_4WAY_HANDSHAKE_TIMEOUT: what many make of a wrong key
_TLS_PORT = const(8883)
_PORT = const(1883)
_CERTIFICATES = ("ca", "client_cert", "client_key")


def attempt(settings, feed, say, old=None):
    """Try what is to be stored; nothing is.

    Args:
        settings: of node.provision.apply.check.
        feed: called about every 50 ms while the network is joined, and every second later.
        say: called with what is done now, a few words.
        old: ``(wifi, mqtt)`` that count so far, for what the settings leave as it is.

    Raises:
        LinkError: what does not work; the radio's station is off then.
    """
    wifi, mqtt = together(settings, old or (None, None))
    if not wifi:
        return
    wlan = network.WLAN(network.WLAN.IF_STA)
    try:
        say("joining " + wifi["ssid"])
        _join(wlan, wifi, feed)
        if mqtt:
            say("connecting to " + mqtt["host"])
            for name in _CERTIFICATES:
                if name in settings["secrets"]:
                    tried[name] = settings["secrets"][name]
            _reach(mqtt, feed)
    finally:
        tried.clear()
        for step in (wlan.disconnect, lambda: wlan.active(False)):
            try:
                step()
            except OSError:
                pass  # it was not on


def together(settings, old):
    """``(wifi, mqtt)`` as they will be: those of the settings over the old ones."""
    secrets, patch = settings["secrets"], settings["patch"]
    wifi = secrets.get("wifi", old[0])
    mqtt = patch[""].get("mqtt") if "" in patch else old[1]
    mqtt = dict(mqtt or {})
    for path in patch:
        if path.startswith("mqtt."):
            mqtt[path[5:]] = patch[path]
    if "mqtt" in secrets:
        mqtt.update(secrets["mqtt"] or {"user": None, "password": None})
    return wifi, mqtt if mqtt.get("host") else None


def _join(wlan, wifi, feed):
    ssid = wifi["ssid"]
    try:
        wlan.active(True)
        wlan.connect(ssid, wifi.get("key"))
        began = since = time.ticks_ms()
        reason = None
        while not wlan.isconnected():
            feed()
            time.sleep_ms(_STEP_MS)
            now = time.ticks_ms()
            found = _reason(wlan.status())
            if found != reason:
                reason, since = found, now
            if (reason and time.ticks_diff(now, since) >= _STUBBORN_MS) or time.ticks_diff(
                now, began
            ) >= _JOIN_MS:
                raise LinkError(
                    "Wi-Fi %s: %s" % (ssid, reason or "no connection (status %d)" % wlan.status())
                )
    except OSError:
        raise LinkError("Wi-Fi %s: the radio does not start" % ssid)


def _reason(status):
    if status == network.STAT_NO_AP_FOUND:
        return "no such network in reach"
    if status in (network.STAT_WRONG_PASSWORD, network.STAT_HANDSHAKE_TIMEOUT, _HANDSHAKE):
        return "the key was not accepted"
    return None


def _reach(mqtt, feed):
    """Connect to the broker and log in, under a name of its own, so that no session is disturbed."""
    from node.net.mqtt import Client

    secure = None
    if mqtt.get("tls", True):
        secure = (mqtt.get("ca"), mqtt.get("cert"), mqtt.get("key"))
        _clock(mqtt.get("ntp", "pool.ntp.org"), feed)
    who = binascii.hexlify(machine.unique_id()).decode() + "-setup"
    port = mqtt.get("port") or (_TLS_PORT if secure else _PORT)
    client = Client(mqtt["host"], port, who, mqtt.get("user"), mqtt.get("password"), secure, feed=feed)
    client.connect()
    client.disconnect()


def _clock(host, feed):
    """Certificates have dates. A clock that was set stays; without one TLS says what is wrong."""
    from node.net.clock import set_clock
    from node.updates.release import now

    if host and now() is None:
        feed()
        try:
            set_clock(host)
        except LinkError:
            pass
