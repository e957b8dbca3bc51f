"""Which records are worth keeping, and how much each matters."""

import binascii
import json
import struct

from micropython import const

from node.records import HIGH, LOW, NORMAL

_VERSION = const(1)
_MOST = const(16)
_HEAD = "<BBI"  # version, entries, CRC-32 of the filters
_ENTRY = "<IIf"  # key, when, value or NaN
_PRIORITIES = {"low": LOW, "normal": NORMAL, "high": HIGH}
_IMPORTANT = ("alarm", "anomaly", "keyword", "class", "battery")
#: Two roundings to a float of 32 bits, as a part of the value.
_ROUNDING = 2e-7


class Filters:
    """The filters of a configuration, and what they last let through.

    The first filter decides whose ``match`` has only fields that are in the record with the same values. A
    record that none matches is kept: with its own ``priority`` if it has one, as alarms do; else anomalies,
    keywords, classes and the state of the battery with high priority, other events with normal priority,
    readings with low priority.

    What was let through last is remembered for 16 kinds of records, a kind being a filter, a source and the
    name of the event or reading. The one longest ago is forgotten, so that its next record counts as a first.

    Args:
        report: the configuration's ``report``; only ``filters`` is used, each a dict of ``match``,
            ``priority`` ("low", "normal", "high", or "drop"), ``every_s``, ``change`` ({"field", "by"} or
            None) and ``heartbeat_s``. What is missing asks for nothing.
    """

    def __init__(self, report):
        self._filters = report.get("filters") or ()
        self._last = []  # (key, when, value or None), longest ago first
        self._crc = binascii.crc32(json.dumps(self._filters).encode())

    def wants(self, record, now_s):
        """The priority of a record that is to be kept, None for one that is not.

        Args:
            record: flat dict of an event or a reading.
            now_s: ``time.time()``. If it is earlier than it was, or 0 or None, nobody knows how long ago
                something was; then times hold nothing back.

        A record passes a filter with ``change`` if its field is ``by`` or more away from what it was in the
        last one that passed, or is a number now and was none, or the other way round. ``heartbeat_s`` lets it
        pass without that after such a time; ``every_s`` lets nothing pass before such a time.
        """
        for i, about in enumerate(self._filters):
            if _matches(record, about.get("match") or {}):
                break
        else:
            return _usual(record)
        priority = about.get("priority")
        if priority == "drop":
            return None
        change = about.get("change")
        value = _number(record.get(change["field"])) if change else None
        every_s = about.get("every_s", 0)
        if every_s or change:
            key = _key(i, record)
            last = self._find(key)
            if last and not _due(about, last, value, now_s):
                return None
            self._remember(last, (key, now_s or 0, value))
        return _PRIORITIES.get(priority, _usual(record))

    def state(self):
        """What was let through last, at most 198 bytes."""
        raw = bytearray(struct.pack(_HEAD, _VERSION, len(self._last), self._crc))
        for key, when, value in self._last:
            value = float("nan") if value is None else value
            raw.extend(struct.pack(_ENTRY, key, when & 0xFFFFFFFF, value))
        return bytes(raw)

    def restore(self, state):
        """Go on from :meth:`state`; one of other filters, or anything else, is passed over."""
        self._last = []
        head, entry = struct.calcsize(_HEAD), struct.calcsize(_ENTRY)
        if len(state) < head:
            return
        version, count, crc = struct.unpack_from(_HEAD, state)
        if version != _VERSION or count > _MOST or crc != self._crc or len(state) != head + count * entry:
            return
        for i in range(count):
            key, when, value = struct.unpack_from(_ENTRY, state, head + i * entry)
            self._last.append((key, when, _number(value)))

    def _find(self, key):
        for last in self._last:
            if last[0] == key:
                return last
        return None

    def _remember(self, last, entry):
        if last:
            self._last.remove(last)
        elif len(self._last) == _MOST:
            self._last.pop(0)
        self._last.append(entry)


def _due(about, last, value, now_s):
    """Whether a record passes after the last one, ``(key, when, value)``."""
    change, every_s, heartbeat_s = about.get("change"), about.get("every_s", 0), about.get("heartbeat_s", 0)
    _, when, before = last
    passed = now_s - when if now_s and when and now_s >= when else None
    if passed is not None and passed < every_s:
        return False
    if not change or _changed(before, value, change["by"]):
        return True
    return bool(heartbeat_s) and (passed is None or passed >= heartbeat_s)


def _changed(before, value, by):
    if before is None or value is None:
        return before is not value
    return abs(value - before) >= by - _ROUNDING * abs(value)


def _matches(record, match):
    for name in match:
        if name not in record or record[name] != match[name]:
            return False
    return True


def _usual(record):
    if "event" not in record:
        return LOW
    if record.get("priority") in _PRIORITIES:
        return _PRIORITIES[record["priority"]]
    return HIGH if record["event"] in _IMPORTANT else NORMAL


def _key(i, record):
    """32 bits for the number of a filter, a source, and the name of an event or reading."""
    name = record.get("event", record.get("reading"))
    return binascii.crc32(("%d %s %s" % (i, record.get("source"), name)).encode())


def _number(value):
    """A number that a float of 32 bits can hold, None for anything else."""
    if isinstance(value, (int, float)) and -3e38 < value < 3e38:
        return float(value)
    return None
