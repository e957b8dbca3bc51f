"""Setting a node up where it is used: over its own access point, or the console (``serial``)."""

import binascii
import os

import machine

from node import log
from node.secrets import Secrets

#: Letters of an access point's key: none that look alike, 30 of them.
_LETTERS = "abcdefghjkmnpqrstuvwxyz2345679"
_GROUPS = 3


def wanted(cause):
    """Whether the node should offer its access point without having been asked.

    Firmware for use does when the power comes and it was never told anything: neither a network nor
    ``/cicada.json``. Firmware for development does so only when it is asked.

    Args:
        cause: ``machine.reset_cause()``.
    """
    from node.identity import DEVELOPMENT

    if DEVELOPMENT or cause != machine.PWRON_RESET:
        return False
    try:
        os.stat("/cicada.json")
        return False
    except OSError:
        return Secrets().get("wifi") is None


def name():
    """What the access point is called: ``cicada-`` and the end of the device's id."""
    return "cicada-" + binascii.hexlify(machine.unique_id()).decode()[-4:]


def setup_key(secrets):
    """The key of the access point: random, made once for each device, kept through a factory reset.

    12 letters of 30 are 58 bits, which a recorded handshake of WPA2 does not give away. It can be read at the
    console, by whoever holds the device, and be printed on its label.
    """
    key = secrets.get("setup_key")
    if not isinstance(key, str) or len(key) < 8:
        letters = []
        while len(letters) < 4 * _GROUPS:
            byte = os.urandom(1)[0]
            if byte < 240:  # 8 times 30: no letter is likelier than another
                letters.append(_LETTERS[byte % 30])
        key = "-".join(["".join(letters[at : at + 4]) for at in range(0, 4 * _GROUPS, 4)])
        secrets.set("setup_key", key)
    return key


def run(feed, console_poll, timeout_s=600, config=None, ended=None):
    """Offer the access point and its page until somebody has set the node up.

    Args:
        feed: the watchdog's; called about every 100 ms, but not for 3 s while networks are looked for.
        console_poll: looks what is typed; its result does not matter. Ctrl-C ends the access point and goes
            on.
        timeout_s: after the last form that was sent; three times as long in all.
        config: the ``node.config.Config``, a new one by default.
        ended: asked about every 100 ms, True ends it: somebody typed a command that must not wait.

    Returns:
        whether something was stored. A change of the configuration waits for the next start.
    """
    from node.provision import serial
    from node.provision.portal import Portal

    if config is None:
        from node.config import Config

        config = Config()
    secrets = Secrets()
    key = setup_key(secrets)
    before = serial.stored

    def meanwhile():
        feed()
        console_poll()
        # Somebody may have done it at the console, too.
        return serial.stored != before or (ended is not None and ended())

    def ready():
        # Not by the log, which keeps its lines and can be asked for from far away.
        print('SETUP {"ssid": "%s", "key": "%s", "url": "http://192.168.4.1/"}' % (name(), key))
        log.info("set up: join the Wi-Fi network %s and open http://192.168.4.1/" % name())

    portal = Portal(name(), key, secrets, config, meanwhile)
    return portal.run(timeout_s, ready) or serial.stored != before
