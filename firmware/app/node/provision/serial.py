"""Setting a node up over the console: ``Serial.act`` is what the console's command ``provision`` does.

==========  =========================================================================================
``do``      arguments and answer
==========  =========================================================================================
``about``   -> ``provisioned`` (whether it has a network of its own), ``ssid``, ``setup_ssid``, ``sent`` (how
            many settings were)
``begin``   forget what was sent so far
``piece``   ``name``, ``at`` (bytes before it), ``data`` (base64), ``crc`` (CRC-32 of the piece): bytes of
            one setting -> ``size``, what has come of it
``try``     ``names``: ``{name: CRC-32 of the whole}``: try what was sent -> ``wifi`` and ``broker``: what
            was reached
``store``   store what was tried
``alone``   store that there is no network, and that none is to be asked for
``forget``  erase the network, the login and the certificates
==========  =========================================================================================

Settings are the keys of node.provision.apply.check; what is no bytes is sent as JSON. Nothing secret is ever
answered.
"""

import binascii
import json

from micropython import const

from node.net import LinkError
from node.provision import apply, name
from node.secrets import Secrets

_BYTES = ("client_cert", "client_key")
_MOST = const(8192)  # bytes of one setting: the largest configuration
_MOST_NAMES = const(16)
_ALL = ("wifi", "mqtt", "ca", "client_cert", "client_key")

#: How often something was stored in this run.
stored = 0


class Serial:
    """One console's setting up.

    Args:
        config: the ``node.config.Config``.
        feed: the watchdog's.
    """

    def __init__(self, config, feed):
        self._config = config
        self._feed = feed
        self._sent = {}
        self._tried = None

    def act(self, action):
        """Do what ``action`` says, as in the table above.

        Returns:
            ``{"ok": True, ...}``, or ``{"ok": False, "error": sentence}`` and everything is as before.
        """
        try:
            todo = getattr(self, "_" + str(action.get("do")), None) if action.get("do") in _ACTIONS else None
            if todo is None:
                raise ValueError("provision can %s" % ", ".join(_ACTIONS))
            answer = todo(action) or {}
        except LinkError as error:
            return {"ok": False, "error": str(error)}
        except OSError as error:
            return {"ok": False, "error": "the flash does not take it (%s)" % error}
        except MemoryError:
            self._begin(None)
            return {"ok": False, "error": "there is not enough memory for all that was sent"}
        except (ValueError, TypeError, KeyError) as error:
            text = str(error) if isinstance(error, ValueError) else "the command is not complete"
            return {"ok": False, "error": text}
        answer["ok"] = True
        return answer

    def _about(self, action):
        wifi = apply.credentials(self._config.data, Secrets())[0]
        ssid = (wifi or {}).get("ssid")
        return {"provisioned": bool(wifi), "ssid": ssid, "setup_ssid": name(), "sent": len(self._sent)}

    def _begin(self, action):
        self._sent = {}
        self._tried = None

    def _piece(self, action):
        key, at = action["name"], action["at"]
        data = binascii.a2b_base64(action["data"])
        if key not in apply.KEYS:
            raise ValueError("there is no setting called %s" % key)
        if binascii.crc32(data) != action["crc"]:
            raise ValueError("a piece of %s was damaged on the way" % key)
        self._tried = None
        sent = self._sent.get(key, b"")[:at]  # a piece whose answer was lost comes again
        if at != len(sent):
            raise ValueError("a piece of %s is missing" % key)
        if len(sent) + len(data) > _MOST or len(self._sent) >= _MOST_NAMES:
            raise ValueError("%s is too long: at most %d bytes" % (key, _MOST))
        self._sent[key] = sent + data
        return {"size": len(sent) + len(data)}

    def _try(self, action):
        given = {}
        whole = action["names"]
        for key in whole:
            data = self._sent.get(key, b"")
            if binascii.crc32(data) != whole[key]:
                raise ValueError("%s was damaged on the way" % key)
            given[key] = data if key in _BYTES else json.loads(data)
        if len(given) != len(self._sent):
            raise ValueError("more was sent than is to be tried")
        settings = apply.check(given, bool((self._config.data.get("mqtt") or {}).get("ca")))
        old = apply.credentials(self._config.data, Secrets())
        from node.provision.attempt import attempt, together

        wifi, mqtt = together(settings, old)
        if not given.get("standalone"):
            if mqtt and not wifi:
                raise ValueError("a broker was given, but no network")
            attempt(settings, self._feed, lambda what: None, old)
        self._tried = settings
        return {"wifi": (wifi or {}).get("ssid"), "broker": mqtt["host"] if mqtt and wifi else None}

    def _store(self, action):
        if self._tried is None:
            raise ValueError("nothing was tried yet")
        self._commit(self._tried)
        self._begin(action)

    def _alone(self, action):
        self._commit({"secrets": {"wifi": {}}, "patch": {}})

    def _forget(self, action):
        self._commit({"secrets": {key: None for key in _ALL}, "patch": {}})

    def _commit(self, settings):
        global stored
        apply.commit(settings, Secrets(), self._config)
        stored += 1


_ACTIONS = ("about", "begin", "piece", "try", "store", "alone", "forget")
