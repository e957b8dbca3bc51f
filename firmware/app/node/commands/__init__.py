"""What a node can be told while it works: the same commands at the console and over the network.

commands = Commands(node)
commands.console("config get plan")             # prints ANSWER {...}
answer = commands.network(envelope)             # bytes, or None if it is nobody's who may command
commands.run("log", {"count": 5}, "console")    # {"ok": True, "lines": [...]}

``node`` is what carries them out: ``config``, ``status()``, ``health()``, ``models()``,
``use_model(name, slot)``, ``check_updates()``, ``adapt(name, action, label)``, ``capture(source, ms, sink)``,
``publish(topic, data)``, ``provision(action)`` and ``request(what)`` for what is done after the answer is
out: "reboot", "reload", "setup" or "factory".
"""

import json
from collections import OrderedDict

from micropython import const

from node import brief, log

LONGEST = const(1024)  # bytes of an answer
_PART = const(480)  # characters of a page: each may become two in the JSON around it
_LINES = const(880)  # bytes of log lines in an answer
_CONSOLE = "console"
_NETWORK = "network"


class Commands:
    """Carries out commands; nothing that is asked for makes it raise anything.

    Args:
        node: see above.
    """

    def __init__(self, node):
        self._node = node
        self._counters = None

    def run(self, name, arguments, source):
        """Carry out one command.

        Args:
            name: such as ``"config get"``.
            arguments: dict of JSON values.
            source: ``"console"`` or ``"network"``.

        Returns:
            ``{"ok": True, ...}`` or ``{"ok": False, "error": a sentence}``.
        """
        return self._run(name, arguments, source, None)

    def console(self, line):
        """Carry out a line that was typed, and print the answer."""
        from node.commands import table  # seldom needed, and large

        page = None
        try:
            name, arguments = table.parsed(line)
            result = self._run(name, arguments, _CONSOLE, None)
            page = _page(result, arguments)
        except (ValueError, MemoryError) as error:
            result = _failed(error)
        print("ANSWER " + encode(result, page).decode())

    def refuse(self, why):
        """Print an answer to what was no line."""
        print("ANSWER " + encode(_failed(why)).decode())

    def network(self, envelope):
        """Carry out what came over the network, if it may.

        Args:
            envelope: the bytes as they came (node.commands.envelope).

        Returns:
            the answer as JSON with the envelope's ``counter``; None, and a line on the console, for what is
            not from somebody who may command, or not for the first time.
        """
        keys = self._node.config.data["commands"]["keys"]
        if not keys:
            log.warn("command refused: no key may command over the network")
            return None
        import binascii

        import machine

        from node.commands.envelope import Counters, Refused, verify
        from node.updates.release import now

        if self._counters is None:
            self._counters = Counters()
        points = [binascii.unhexlify(key) for key in keys]
        try:
            counter, body = verify(envelope, points, machine.unique_id(), self._counters, now())
        except Refused as why:
            log.warn("command refused: %s" % why)
            return None
        name = page = None
        try:
            asked = json.loads(body)
            name, arguments = asked["command"], asked.get("arguments", {})
            result = self._run(name, arguments, _NETWORK, counter)
            page = _page(result, arguments)
        except (ValueError, KeyError, TypeError, AttributeError, MemoryError, RuntimeError):
            result = _failed('the body is not {"command": NAME, "arguments": {...}}')
        result["counter"] = counter
        return encode(result, page)

    def _run(self, name, arguments, source, counter):
        from node.commands import table

        try:
            given = table.checked(name, arguments)
            done = getattr(self, "_" + name.replace(" ", "_"))(given, source, counter)
        except ValueError as error:
            return _failed(error)
        except Exception as error:
            log.error("command %s: %s" % (name, _sentence(error)))
            return _failed(error)
        finally:
            _forget()
        log.info("command %s from the %s" % (name, source))
        result = {"ok": True}
        result.update(done or {})
        return result

    def _help(self, given, source, counter):
        from node.commands import table

        if "about" not in given:
            return {"commands": [found[0] for found in table.TABLE]}
        made = {}
        for found in table.TABLE:
            if found[0].split(" ")[0] == given["about"]:
                made[table.usage(found)] = found[2]
        if not made:
            table.row(given["about"])
        return made

    def _status(self, given, source, counter):
        return self._node.status()

    def _health(self, given, source, counter):
        return self._node.health()

    def _config_get(self, given, source, counter):
        config = self._node.config
        path = given.get("path", "")
        made = {"value": config.get(path), "on_trial": config.on_trial, "staged": config.staged}
        if config.errors:
            made["errors"] = config.errors
        return made

    def _config_set(self, given, source, counter):
        values = given.get("values")
        if values is None:
            if not given.get("path") or "value" not in given:
                raise ValueError("something is missing: config set PATH VALUE; null takes it away")
            values = {given["path"]: given["value"]}
        elif "path" in given or not isinstance(values, dict) or not values:
            raise ValueError("give path and value, or values: an object of new values by their paths")
        self._node.config.change(values, source == _NETWORK)
        return {"staged": True, "active": "from the next start on; 'reboot' is one"}

    def _config_keep(self, given, source, counter):
        self._node.config.keep()

    def _config_revert(self, given, source, counter):
        if self._node.config.revert("asked for at the %s" % source):
            self._node.request("reload")

    def _capture(self, given, source, counter):
        import time

        from node.commands.capture import Sink

        number = time.ticks_ms() if counter is None else counter
        send = None if counter is None else lambda data: self._node.publish("capture", data)
        sink = Sink(number, send)
        made = {"id": number}
        made.update(self._node.capture(given["source"], given["ms"], sink) or {})
        made["bytes"] = sink.bytes
        return made

    def _models(self, given, source, counter):
        return {"models": self._node.models()}

    def _use_model(self, given, source, counter):
        return self._node.use_model(given["name"], given["slot"])

    def _update_check(self, given, source, counter):
        return self._node.check_updates()

    def _adapt(self, given, source, counter):
        if (given["action"] == "teach") != ("label" in given):
            raise ValueError("a label goes with teach: adapt NAME teach LABEL")
        return self._node.adapt(given["name"], given["action"], given.get("label"))

    def _log(self, given, source, counter):
        lines, room = [], _LINES
        for line in reversed(log.tail(given.get("count", 20))):
            room -= len(json.dumps(line).encode()) + 2
            if room < 0:
                break
            lines.insert(0, line)
        return {"lines": lines}

    def _reboot(self, given, source, counter):
        self._node.request("reboot")

    def _setup(self, given, source, counter):
        self._node.request("setup")

    def _provision(self, given, source, counter):
        _at_console("provision", source)
        return self._node.provision(given["action"])

    def _factory_reset(self, given, source, counter):
        _at_console("factory reset", source)
        self._node.request("factory")


def _forget():
    """Give back what the table of commands takes of the heap."""
    from node import commands

    brief.forget(commands, "table", "capture")


def _at_console(name, source):
    """For what takes the network away: nobody could undo it over the network."""
    if source != _CONSOLE:
        raise ValueError("%s works at the console alone" % name)


def _page(result, arguments):
    """Which page of the answer was asked for; an error is not cut into any."""
    return arguments.get("page") if result["ok"] else None


def encode(result, page=None):
    """An answer as JSON, at most 1024 bytes.

    A longer one comes in pages: ``{"ok": true, "page": 0, "pages": 3, "part": "..."}``. The parts together
    are the JSON of the whole; a command that may be long has the argument ``page``.
    """
    head = OrderedDict()
    for key in ("counter", "ok", "error"):
        if key in result:
            head[key] = result[key]
    whole = head.copy()
    whole.update(result)
    data = json.dumps(whole).encode()
    if page is None and len(data) <= LONGEST:
        return data
    text = _ascii(data.decode())
    page, pages = page or 0, (len(text) + _PART - 1) // _PART
    if page >= pages:
        return json.dumps(_failed("there are %d pages, from 0 on" % pages)).encode()
    head["page"] = page
    head["pages"] = pages
    head["part"] = text[page * _PART : (page + 1) * _PART]
    return json.dumps(head).encode()


def _ascii(text):
    """JSON without letters beyond ASCII, each of which would take several bytes of a page."""
    if len(text.encode()) == len(text):
        return text
    made = []
    for letter in text:
        code = ord(letter)
        if code < 128:
            made.append(letter)
        elif code < 0x10000:
            made.append("\\u%04x" % code)
        else:
            code -= 0x10000
            made.append("\\u%04x\\u%04x" % (0xD800 | code >> 10, 0xDC00 | code & 0x3FF))
    return "".join(made)


def _failed(why):
    return {"ok": False, "error": _sentence(why)}


def _sentence(why):
    """What an exception says, or which it is if it says nothing; not too long for an answer."""
    return (str(why) or type(why).__name__)[:400]
