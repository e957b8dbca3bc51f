"""Defaults, paths and secrets of a configuration, by the tables of node.config.schema.

Runs under MicroPython and CPython alike. A row is a line of a table, taken apart: see the constants.
"""

import json

from node.config import schema

KEY = 0
KINDS = 1
TYPE = 2
DEFAULT = 3
FLAGS = 4
LIMIT = 5
TEXT = 6

#: The row of the whole configuration.
ROOT = ("", "", "object", "", "", "DOCUMENT", "")


def rows(table):
    """The rows of a table by its name, one after the other."""
    for line in getattr(schema, table).split("\n"):
        yield line.split("|")


def counts(row, kind):
    """Whether a row counts in an object of this kind."""
    return not row[KINDS] or (kind is not None and kind in row[KINDS].split(" "))


def limit(row):
    """The limit of a row's values: a list, or None."""
    return json.loads(row[LIMIT]) if row[LIMIT] else None


def item_of(row):
    """``(row of an entry, most entries)`` of a row whose type is a list."""
    what, most = row[LIMIT].split(" ")
    if what == what.upper():
        return ("", "", "object", "", "!", what, ""), int(most)
    return ("", "", what, "", "!", "", ""), int(most)


def complete(found):
    """A configuration that was checked before, with its defaults: the same as node.config.check gives."""
    data = _filled(found, "DOCUMENT")
    set_port(data["mqtt"])
    return data


def set_port(mqtt):
    """Let the broker's port depend on TLS where it is not given."""
    if mqtt and mqtt["port"] is None:
        mqtt["port"] = 8883 if mqtt["tls"] else 1883


def default(row):
    """The value of a key that is not there."""
    text = row[DEFAULT]
    if not text:
        return None
    if row[TYPE] == "object":
        return _filled({}, row[LIMIT])
    if row[TYPE] == "list":
        return [_filled(item, item_of(row)[0][LIMIT]) for item in json.loads(text)]
    return _plain(text)


def _plain(text):
    """``json.loads`` of a default; most are quicker to read without it, and this runs at each wake."""
    if text.isdigit():
        return int(text)
    if text[0] == '"':
        return text[1:-1]
    return json.loads(text)


def _filled(found, table):
    made = {}
    kind = None
    for line in getattr(schema, table).split("\n"):
        key, kinds, what, text, _ = line.split("|", 4)
        if kinds and (kind is None or kind not in kinds.split(" ")):
            continue
        if key in found:
            value = found[key]
            if what == "kind":
                kind = value
            elif value is None or what == "object" or what == "list":
                value = _inner(value, line.split("|"))
        elif not text:
            value = None
        elif what == "object" or what == "list":
            value = default(line.split("|"))
        else:
            value = _plain(text)
        made[key] = value
    return made


def _inner(value, row):
    """A value that is null, an object or a list, with its defaults."""
    if value is None:
        return None if "0" in row[FLAGS] else default(row)
    if row[TYPE] == "object" and "~" not in row[FLAGS]:
        return _filled(value, row[LIMIT])
    if row[TYPE] == "list":
        item = item_of(row)[0]
        if item[TYPE] == "object":
            return [_filled(entry, item[LIMIT]) for entry in value]
    return value


def row_of(path):
    """The row that ``path``, a list of keys and numbers as text, leads to; None if there is none.

    Where a key has several rows for different kinds, the first one.
    """
    row = ROOT
    for part in path:
        if row[TYPE] == "list":
            row = item_of(row)[0]
        elif row[TYPE] == "object":
            row = _row(row[LIMIT], part)
        else:
            row = None
        if row is None:
            return None
    return row


def masked(value, row):
    """A copy of the value of ``row`` in which secrets are ``***``."""
    if row is None or value is None:
        return value
    if row[TYPE] == "secret":
        return "***"
    if row[TYPE] == "list":
        item = item_of(row)[0]
        return [masked(entry, item) for entry in value]
    if row[TYPE] != "object":
        return value
    return {key: masked(value[key], _row(row[LIMIT], key)) for key in value}


def _row(table, key):
    for row in rows(table):
        if row[KEY] == key:
            return row
    return None
