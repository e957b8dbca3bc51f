"""Records: what a node has to say, as it lies in the outbox and as it is sent.

A record is a JSON object in UTF-8. The outbox keeps it without its id, which is its number there.
docs/node.md has the schema.
"""

import json
import time
from collections import OrderedDict

from micropython import const

from node.updates.release import now

VERSION = 1

#: What a record is; also the last part of its topic, see KINDS.
EVENT = const(0)
READING = const(1)
HEALTH = const(2)
UPDATE = const(3)
ANSWER = const(4)
KINDS = ("event", "reading", "health", "update", "answer")

#: How much it matters: what is dropped first when flash is full, and what waits for the next session.
LOW = const(0)
NORMAL = const(1)
HIGH = const(2)


def kind_of(fields):
    """The kind of an event's or reading's dict."""
    return READING if "reading" in fields else EVENT


def encode(boot, fields):
    """A record as bytes, without its id.

    Args:
        boot: number of this boot since power-on: with ``ms`` it orders what came before the clock was set.
        fields: dict of JSON values.

    Returns:
        JSON with ``at`` (Unix seconds, None while the clock is not set), ``boot``, ``ms`` since boot, and the
        fields in alphabetical order.
    """
    record = OrderedDict((("at", now()), ("boot", boot), ("ms", time.ticks_ms())))
    for name in sorted(fields):
        record[name] = fields[name]
    return json.dumps(record).encode()


def with_id(generation, sequence, data):
    """The record as it is sent: version and id in front.

    Args:
        generation: of the outbox; drawn by lot whenever it is made anew.
        sequence: number in that generation.
        data: what :func:`encode` made.
    """
    return b'{"v": %d, "id": "%04x-%d", %s' % (VERSION, generation, sequence, data[1:])
