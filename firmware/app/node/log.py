"""Console lines and events.

Log lines look like ESP-IDF's, ``I (1234) node: text``, so that the usual monitors colour them. An
event is one line, ``EVENT`` and a JSON object, for programs that listen at the console.
"""

import json
import time
from collections import OrderedDict


def info(text):
    """Print an ordinary line."""
    print("I (%d) node: %s" % (time.ticks_ms(), text))


def warn(text):
    """Print a line about something that is not as it should be."""
    print("W (%d) node: %s" % (time.ticks_ms(), text))


def error(text):
    """Print a line about something that failed."""
    print("E (%d) node: %s" % (time.ticks_ms(), text))


def event(kind, number, fields):
    """Print one event.

    Args:
        kind: what happened, e.g. ``"keyword"``.
        number: running number of the event on this device; survives deep sleep.
        fields: dict of JSON values that belong to it.
    """
    record = OrderedDict((("schema", 1), ("event", kind), ("n", number), ("ms", time.ticks_ms())))
    for name in sorted(fields):
        record[name] = fields[name]
    print("EVENT " + json.dumps(record))
