"""What a node is told to be set up with: checked, and stored so that a power cut leaves the old or the new.

The page and the serial console both bring a flat dict; :func:`check` makes settings of it and :func:`commit`
stores them: secrets and certificates in NVS, the rest as a change of the configuration, which the next start
runs. NVS changes as a whole, and so does the configuration; the mark ``pending`` in NVS says that the second
waits for the first. :func:`recover` takes the change back if a power cut came between.
"""

import binascii

from micropython import const

from node.secrets import MOST

_MOST_CA = const(4096)
_MOST_TEXT = const(128)
_MOST_PASSWORD = const(256)
_MOST_NAME = const(32)
_HOST_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"
_BEGIN = "-----BEGIN CERTIFICATE-----"
_END = "-----END CERTIFICATE-----"
KEYS = (
    "ssid",
    "key",
    "host",
    "port",
    "tls",
    "user",
    "password",
    "ca",
    "client_cert",
    "client_key",
    "name",
    "config",
    "standalone",
)


class Invalid(ValueError):
    """Something that cannot be used; its text is a sentence without secrets.

    Attributes:
        field: key of the dict that it is about.
    """

    def __init__(self, field, sentence):
        super().__init__(sentence)
        self.field = field


def check(given, has_ca=False):
    """Settings from ``given``; nothing is stored.

    Args:
        given: any of: ``ssid`` and ``key`` (empty or None: open network), ``host``, ``port`` (None: the usual
            one), ``tls`` (True), ``user``, ``password``, ``ca`` (PEM text), ``client_cert`` and
            ``client_key`` (bytes, DER), ``name``, ``config`` (the document of docs/config.md),
            ``standalone`` (True: never ask for a network again).
        has_ca: whether there is a CA certificate from before.

    Returns:
        ``{"secrets": {name: value}, "patch": {path: value}}``, as ``Secrets.update`` and ``Config.change``
        take them.

    Raises:
        Invalid: what is wrong, in a sentence.
    """
    for key in given:
        if key not in KEYS:
            raise Invalid(key, "there is no setting called %s" % key)
    secrets, patch = {}, {}
    config = given.get("config")
    if config is not None:
        config = _document(config)
        patch[""] = config
    wifi = (config or {}).pop("wifi", None) or {}
    if given.get("standalone"):
        secrets["wifi"] = {}
    elif given.get("ssid"):
        secrets["wifi"] = _wifi(given["ssid"], given.get("key"))
    elif wifi.get("ssid"):
        secrets["wifi"] = _wifi(wifi["ssid"], given.get("key") or wifi.get("key"))
    elif given.get("key"):
        raise Invalid("ssid", "a key was given, but no network")
    for name in ("client_cert", "client_key"):
        if given.get(name) is not None:
            secrets[name] = _bytes(name, given[name])
    if ("client_cert" in secrets) != ("client_key" in secrets):
        raise Invalid("client_cert", "a client certificate and its key belong together")
    if given.get("ca"):
        secrets["ca"] = _ca(given["ca"])
    _mqtt(given, config, secrets, patch, has_ca)
    if given.get("name"):
        name = _text("name", given["name"], _MOST_NAME)
        if config is None:
            patch["name"] = name
        else:
            config["name"] = name
    return {"secrets": secrets, "patch": patch}


def _document(config):
    """A copy of a configuration whose parts can be taken away."""
    if not isinstance(config, dict):
        raise Invalid("config", "the configuration is no JSON object")
    config = dict(config)
    for key in ("wifi", "mqtt"):
        section = config.get(key)
        if section is not None:
            if not isinstance(section, dict):
                raise Invalid("config", "%s of the configuration is no JSON object" % key)
            config[key] = dict(section)
    return config


def _wifi(ssid, key):
    if not isinstance(ssid, str) or not 1 <= len(ssid.encode()) <= 32 or "\0" in ssid:
        raise Invalid("ssid", "the name of a network has 1 to 32 bytes")
    if not key:
        return {"ssid": ssid, "key": None}
    if not isinstance(key, str) or not 8 <= len(key) <= 64:
        raise Invalid("key", "the key of a network has 8 to 63 letters, or 64 hex digits")
    for letter in key:
        if not " " <= letter <= "~" or (len(key) == 64 and letter not in "0123456789abcdefABCDEF"):
            raise Invalid("key", "the key of a network has 8 to 63 letters, or 64 hex digits")
    return {"ssid": ssid, "key": key}


def _mqtt(given, config, secrets, patch, has_ca):
    """The broker: its login goes to ``secrets``, the rest to the document or to ``patch``."""
    host = given.get("host")
    section = (config or {}).get("mqtt")
    if not host and section is None:
        for key in ("port", "user", "password", "ca", "client_cert"):
            if given.get(key):
                raise Invalid("host", "settings of a broker were given, but not its name")
        return
    changes = {}
    if host:
        if not isinstance(host, str) or len(host) > 253 or [c for c in host if c not in _HOST_LETTERS]:
            raise Invalid("host", "the broker's name may have letters, digits, dots and hyphens")
        changes["host"] = host
        changes["port"] = port = given.get("port")
        if port is not None and (not isinstance(port, int) or not 1 <= port <= 65535):
            raise Invalid("port", "a port is a number from 1 to 65535")
        changes["tls"] = bool(given.get("tls", True))
    if "ca" in secrets:
        changes["ca"] = "nvs:ca"
    if "client_cert" in secrets:
        changes["cert"], changes["key"] = "nvs:client_cert", "nvs:client_key"
    section = {} if section is None else section
    login = {}
    for key, most in (("user", _MOST_TEXT), ("password", _MOST_PASSWORD)):
        old = section.pop(key, None)
        login[key] = given.get(key) or old
        if login[key] is not None:
            _text(key, login[key], most)
    if login["password"] and not login["user"]:
        raise Invalid("user", "a password was given, but no user name")
    secrets["mqtt"] = login if login["user"] else None
    section.update(changes)
    if section.get("tls", True) and not section.get("ca") and not (has_ca and config is None):
        raise Invalid("ca", "TLS needs the certificate of the authority that signed the broker's")
    if config is None:
        for key in changes:
            patch["mqtt." + key] = changes[key]


def _text(field, value, most):
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise Invalid(field, "%s must have 1 to %d letters" % (field, most))
    for letter in value:
        if letter < " " or letter == "\x7f":
            raise Invalid(field, "%s has a character that cannot be used" % field)
    return value


def _bytes(name, data):
    if not 0 < len(data) <= MOST:
        raise Invalid(name, "%s must have 1 to %d bytes" % (name, MOST))
    return bytes(data)


def _ca(text):
    """One certificate as DER, several as PEM."""
    if not isinstance(text, str) or len(text) > _MOST_CA:
        raise Invalid("ca", "the CA certificate has more than %d letters" % _MOST_CA)
    found = []
    for part in text.split(_BEGIN)[1:]:
        body, end, _ = part.partition(_END)
        try:
            der = binascii.a2b_base64(body) if end else b""
        except ValueError:
            der = b""
        if der[:1] != b"\x30":  # a certificate is a SEQUENCE (RFC 5280, X.690)
            raise Invalid("ca", "the CA certificate is not whole")
        found.append(der)
    if not found:
        raise Invalid("ca", "the CA certificate must begin with " + _BEGIN)
    if len(found) == 1:
        return _bytes("ca", found[0])
    pem = [_BEGIN + "\n" + binascii.b2a_base64(der).decode() + _END + "\n" for der in found]
    return _bytes("ca", "".join(pem).encode())


def commit(settings, secrets, config):
    """Store what :func:`check` has found.

    Args:
        settings: of :func:`check`.
        secrets: the ``node.secrets.Secrets``.
        config: the ``node.config.Config``; its ``change(values)`` and ``revert(why)`` are used.

    Raises:
        OSError: the flash is full or does not work.
        ValueError: the configuration does not take its part (``node.config.store.ConfigError``).

        Either way everything is as before.
    """
    changes = dict(settings["secrets"])
    if not settings["patch"]:
        secrets.update(changes)
        return
    secrets.set("pending", 1)
    staged = False
    try:
        config.change(settings["patch"])
        staged = True
        changes["pending"] = None
        secrets.update(changes)
    except (OSError, ValueError):
        if staged:
            config.revert("the secrets that belong to it could not be stored")
        secrets.erase("pending")
        raise


def recover(secrets, config):
    """Take a change of the configuration back whose secrets were never stored; call it at boot.

    Returns:
        whether a power cut had come between.
    """
    if secrets.get("pending") is None:
        return False
    try:
        config.revert("the power went while it was stored")
    except ValueError:
        pass  # it had not got so far
    secrets.erase("pending")
    return True


def credentials(data, secrets):
    """``(wifi, mqtt)`` as the link and the uplink take them: NVS's secrets over the configuration.

    Args:
        data: ``Config().data``.
        secrets: the ``node.secrets.Secrets``.

    Returns:
        dict or None each.
    """
    wifi = secrets.get("wifi")
    mqtt = data.get("mqtt")
    if mqtt is not None:
        mqtt = dict(mqtt)
        mqtt.update(secrets.get("mqtt") or {})
    return (data.get("wifi") if wifi is None else wifi) or None, mqtt
