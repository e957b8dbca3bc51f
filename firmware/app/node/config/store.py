"""The configuration on the file system: read, changed, tried and, if it does not work, taken back.

Three files, each of which littlefs replaces at once or not at all:

- ``/cicada.json``: what counts;
- ``/cicada.new``: a change. The next start runs it, on trial, until :meth:`Config.keep`;
- ``/cicada.try``: how often that was tried: CRC-32 of ``/cicada.new`` and a count, 5 bytes.

So a power cut leaves the old configuration or the new one, never a mixture. A change is written beside, then
renamed to ``/cicada.new``; keeping it renames it to ``/cicada.json``; a count that is not about the file
beside it counts for nothing.
"""

import binascii
import gc
import json
import os
import struct

from node import brief, log

PATH = "/cicada.json"
NEW = "/cicada.new"
_TRIED = "/cicada.try"
_BESIDE = "/cicada.tmp"
_TRIES = 3
_LARGEST = 8192  # bytes: what is parsed must fit into the heap beside everything else


class ConfigError(ValueError):
    """A change that is not made; the text says why, in one sentence."""


class Config:
    """The configuration that counts now.

    Args:
        checked: :attr:`checked` of the run before a deep sleep, during which the firmware cannot change:
            files that are still the same are not checked again. None after any other reset.

    Attributes:
        data: all of it, checked, with defaults.
        errors: sentences about what was wrong; ``data`` then has defaults in its place.
        on_trial: whether it is a change that has yet to prove itself.
        checked: what to give to the next run, for RTC memory; None if something was wrong.
    """

    def __init__(self, checked=None):
        self.data = self.errors = self.checked = None
        self.on_trial = False
        self._crc = 0  # of the file in use
        if _size(NEW) is not None:
            self.on_trial = True
            self._use(NEW, checked)
            if self.errors:
                # It was right when it was made, so the firmware is another one now.
                self.revert(self.errors[0])
        else:
            self._load(checked)

    def get(self, path=""):
        """A part of the configuration as it was given, with defaults, and with secrets as ``***``.

        Args:
            path: such as ``"plan"`` or ``"pipelines.0.threshold"``; empty for all.

        Raises:
            ConfigError: there is nothing of that name.
        """
        from node.config import shape

        value = self.data
        parts = path.split(".") if path else []
        for part in parts:
            value = _step(value, part, path)
        value = shape.masked(value, shape.row_of(parts))
        _forget()
        return value

    def set(self, path, value, remote=False):
        """Change one thing; see :meth:`change`."""
        return self.change({path: value}, remote)

    def change(self, values, remote=False):
        """Write a change down; the next start tries it. Several before that come together.

        Args:
            values: new values by their paths. The number after the last entry of a list adds one; None takes
                a key or an entry away, or is the value where null is one. The empty path is everything.
            remote: whether this comes over the network, which may neither change who commands nor end TLS.

        Raises:
            ConfigError: the configuration would be wrong, or one is on trial already.
        """
        if self.on_trial:
            raise ConfigError("a change is on trial: 'config keep' or 'config revert' ends that")
        made = _parsed(NEW) if _size(NEW) is not None else _parsed(PATH)
        if not isinstance(made, dict):
            made = {}
        before = json.dumps(made.get("commands")), made.get("mqtt") is not None, _encrypted(made)
        for path in values:
            made = _changed(made, path, values[path])
        if remote:
            if json.dumps(made.get("commands")) != before[0]:
                raise ConfigError("who may command is changed at the console alone")
            if before[1] and made.get("mqtt") is None:
                raise ConfigError("the broker is taken away at the console alone")
            if before[2] and not _encrypted(made):
                raise ConfigError("TLS is switched off at the console alone")
        errors = _judged(made)[1]
        _forget()
        if errors:
            raise ConfigError(errors[0])
        text = json.dumps(made).encode()
        if len(text) > _LARGEST:
            raise ConfigError("the configuration would have %d bytes: at most %d fit" % (len(text), _LARGEST))
        _write(_BESIDE, text)
        os.rename(_BESIDE, NEW)

    @property
    def staged(self):
        """Whether a change waits for the next start."""
        return not self.on_trial and _size(NEW) is not None

    def keep(self):
        """What is on trial has proved itself. Raises ConfigError if nothing is."""
        if not self.on_trial:
            raise ConfigError("no configuration is on trial")
        os.rename(NEW, PATH)
        self.on_trial = False
        _remove(_TRIED)
        log.info("config: the change is kept")

    def revert(self, why):
        """Forget a change, whether it runs already or not; ``data`` is what counted before it.

        Args:
            why: for the console.

        Returns:
            whether what ran was reverted: the node must start anew.

        Raises:
            ConfigError: there is no change.
        """
        if _size(NEW) is None:
            raise ConfigError("there is no change to take back")
        _remove(NEW)
        _remove(_TRIED)
        log.warn("config: the change is taken back: %s" % why)
        ran, self.on_trial = self.on_trial, False
        if ran:
            said, self.errors = self.errors, []
            self._load(None)
            self.errors = (said or []) + self.errors
        return ran

    def tried(self):
        """Count a try of what is on trial: a start, or a session that failed.

        A wake from the node's own sleep is no start.

        Returns:
            True if there were three already: it is reverted now, and the node must start anew.
        """
        if not self.on_trial:
            return False
        kept = _read(_TRIED) or b""
        count = 0
        if len(kept) == 5:
            crc, count = struct.unpack("<IB", kept)
            count = count if crc == self._crc else 0
        if count >= _TRIES:
            return self.revert("it did not work %d times" % count)
        _write(_TRIED, struct.pack("<IB", self._crc, count + 1))
        return False

    def _load(self, checked):
        """Use what counts when nothing is on trial."""
        self._use(PATH, checked)
        for sentence in self.errors:
            log.error("config: %s" % sentence)

    def _use(self, path, checked):
        """Let ``data`` and ``errors`` be what comes of a file."""
        self.errors, found, text = [], {}, None
        try:
            text = _read(path)
            if text is not None:
                found = json.loads(text)
        except ValueError as error:
            said = str(error) if text is None else "%s is not JSON: going on without it" % path
            self.errors = [said]
        except (MemoryError, RuntimeError):
            self.errors = ["%s is too much to read: going on without it" % path]
        self._crc = binascii.crc32(text or b"")
        self.data, wrong = _judged(found, checked == self._crc and not self.errors)
        self.errors += wrong
        self.checked = None if self.errors else self._crc
        # What was made amid all that was needed for a moment would leave no large hole in the heap.
        text = json.dumps(self.data)
        self.data = found = None
        _forget()
        gc.collect()
        self.data = json.loads(text)


def _judged(found, known=False):
    """A document with its defaults, and what is wrong in it; ``known`` to be right it is not checked."""
    if known:
        from node.config import shape

        return shape.complete(found), []
    from node.config import check

    return check.document(found, _rule, _plan)


def _forget():
    """Give back what the schema and its check take of the heap."""
    from node import config

    brief.forget(config, "check", "shape", "schema")


def _rule(rule):
    """What is wrong with a fusion rule; None if nothing is."""
    from node.fusion import check

    return check(rule)


def _plan(data):
    """What of a configuration's wake plan this board cannot do; None if nothing is."""
    import board

    from node.plan.wakes import check
    from node.sensors import Sensors

    return check(data["plan"], board, Sensors(data["sensors"], board).interrupt)


def _encrypted(document):
    """Whether a document asks for TLS, or for no broker at all."""
    mqtt = document.get("mqtt")
    return not isinstance(mqtt, dict) or mqtt.get("tls", True) is True


def _step(value, part, path):
    """The entry ``part`` of an object or a list."""
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and part.isdigit() and int(part) < len(value):
        return value[int(part)]
    raise ConfigError("there is no '%s' in the configuration" % path[:48])


def _changed(document, path, value):
    """A document with one change, made in place where that is possible."""
    if not path:
        if not isinstance(value, dict):
            raise ConfigError("the whole configuration is an object in braces")
        return value
    from node.config import shape

    parts = path.split(".")
    row = shape.row_of(parts)
    at = document
    for number, part in enumerate(parts[:-1]):
        inner = at.get(part) if isinstance(at, dict) else _entry(at, part, path)
        if inner is None and isinstance(at, dict):
            inner = at[part] = _begun(shape.row_of(parts[: number + 1]))
        at = inner
    last = parts[-1]
    if isinstance(at, list):
        if last.isdigit() and int(last) == len(at) and value is not None:
            at.append(value)
        else:
            _entry(at, last, path)
            if value is None:
                at.pop(int(last))
            else:
                at[int(last)] = value
    elif not isinstance(at, dict):
        raise ConfigError("there is no '%s' in the configuration" % path[:48])
    elif value is None and not (row and "0" in row[shape.FLAGS]):
        at.pop(last, None)
    else:
        at[last] = value
    return document


def _begun(row):
    """What a change begins with where nothing was: the default of a list, else an empty object."""
    from node.config import shape

    return shape.default(row) if row is not None and row[shape.TYPE] == "list" else {}


def _entry(at, part, path):
    if isinstance(at, list) and part.isdigit() and int(part) < len(at):
        return at[int(part)]
    raise ConfigError("there is no '%s' in the configuration" % path[:48])


# Files


def _size(path):
    """Bytes of a file; None if there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return None


def _read(path):
    """A file's bytes; None if it cannot be read. Of one that is too long only that it is."""
    size = _size(path)
    if size is None:
        return None
    if size > _LARGEST:
        raise ValueError("%s has %d bytes, at most %d are read: going on without it" % (path, size, _LARGEST))
    try:
        with open(path, "rb") as file:
            return file.read(size)
    except OSError:
        return None


def _parsed(path):
    """What a file says; an empty object for a file that says nothing."""
    try:
        return json.loads(_read(path) or b"{}")
    except ValueError:
        return {}


def _write(path, data):
    """littlefs has it on the flash when the file is closed."""
    with open(path, "wb") as file:
        file.write(data)


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass
