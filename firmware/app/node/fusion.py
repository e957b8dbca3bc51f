"""Rules over what several pipelines and sensors have said lately.

    from node.fusion import Fusion
    fusion = Fusion(config["rules"])
    for alarm in fusion.feed({"event": "anomaly", "source": "vib", "score": 4.2}, time.time()):
        ...

A rule is a dict, as in the configuration:

    {"name": "bearing", "within_s": 60, "priority": "high", "refractory_s": 600, "when": [
        {"event": "anomaly", "source": "vib", "field": "score", "above": 3.0},
        {"reading": "air", "field": "temperature_c", "rises": 5, "within_s": 60}]}

``when``: conditions that must all have been met within ``within_s``. Each looks at events of a kind or
readings of a sensor, and has any of

- other names: that field of the event or reading equals that value (``"source": "vib"``, ``"word": "help"``)
- ``field`` with ``above`` or ``below``: that number is so
- ``field`` with ``rises`` or ``falls``: it is so much higher or lower than it was at some time in the last
  ``within_s``
- ``count``: it was met so often, within its own ``within_s``, or that of the rule; the rule's ``count`` (1)
  is what its conditions have that say none
- ``not``: true: for ``within_s`` nothing met it

When all are met, an event ``alarm`` comes of it, with the numbers that met them; conditions must then be met
anew, and not before ``refractory_s``.

Times are whole seconds that go on in deep sleep. A clock that is set back makes rules forget what they saw,
one that is set forward ages it; neither raises an alarm, as time counts towards an absence only in steps of
a quarter of ``within_s``.
"""

import binascii
import struct

from micropython import const

_VERSION = const(1)
_STATE_BYTES = const(384)
_RULES = const(16)
_CONDITIONS = const(6)
_COUNT = const(8)
_POINTS = const(8)  # of a trend: lows that matter still
_LONGEST_S = const(604800)
_PRIORITIES = ("low", "normal", "high")
_RULE_KEYS = ("name", "when", "within_s", "count", "priority", "refractory_s")
_OWN = ("event", "reading", "field", "above", "below", "rises", "falls", "within_s", "count", "not")


def check(rule):
    """What is wrong with a rule, as a sentence; None if nothing is."""
    if not isinstance(rule, dict):
        return "a rule must be an object"
    name = rule.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= 32:
        return "a rule needs a name of 1 to 32 characters"
    for key in rule:
        if key not in _RULE_KEYS:
            return "rule '%s' has an unknown key '%s'" % (name, key)
    for key, least, most, default in (
        ("within_s", 1, _LONGEST_S, 60),
        ("count", 1, _COUNT, 1),
        ("refractory_s", 0, _LONGEST_S, 0),
    ):
        if not _whole(rule.get(key, default), least, most):
            return "rule '%s': %s must be a whole number from %d to %d" % (name, key, least, most)
    if rule.get("priority", "normal") not in _PRIORITIES:
        return "rule '%s': priority must be low, normal or high" % name
    when = rule.get("when")
    if not isinstance(when, list) or not 1 <= len(when) <= _CONDITIONS:
        return "rule '%s': when must be a list of 1 to %d conditions" % (name, _CONDITIONS)
    for condition in when:
        wrong = _check_condition(condition)
        if wrong:
            return "rule '%s': %s" % (name, wrong)
    return None


def _check_condition(condition):
    if not isinstance(condition, dict):
        return "a condition must be an object"
    of = [key for key in ("event", "reading") if key in condition]
    if len(of) != 1 or not isinstance(condition[of[0]], str):
        return "a condition needs either an event or a reading, by name"
    compared = [key for key in ("above", "below", "rises", "falls") if key in condition]
    trends = [key for key in ("rises", "falls") if key in condition]
    for key in compared:
        if not _number(condition[key]) or (key in trends and condition[key] <= 0):
            return "%s must be a number%s" % (key, " above 0" if key in trends else "")
    if bool(compared) != ("field" in condition):
        return "field goes with above, below, rises or falls"
    if "field" in condition and not isinstance(condition["field"], str):
        return "field must be a name"
    if len(trends) > 1:
        return "a condition has either rises or falls"
    if not isinstance(condition.get("not", False), bool):
        return "not must be true or false"
    if condition.get("not") and (trends or "count" in condition):
        return "not goes without rises, falls and count"
    if not _whole(condition.get("within_s", 1), 1, _LONGEST_S):
        return "within_s must be a whole number from 1 to %d" % _LONGEST_S
    if not _whole(condition.get("count", 1), 1, _COUNT):
        return "count must be a whole number from 1 to %d" % _COUNT
    for key in condition:
        value = condition[key]
        if key not in _OWN and value is not None and not isinstance(value, (str, int, float, bool)):
            return "'%s' can only equal a text, a number, true, false or null" % key
    return None


def _whole(value, least, most):
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _number(value):
    """A number that can be compared and stored."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e30 < value < 1e30


class Fusion:
    """All rules of a configuration; memory is bounded by their number.

    Args:
        rules: what :func:`check` finds nothing wrong with; at most 16.

    Raises:
        ValueError: a rule is wrong; the text says how.
    """

    def __init__(self, rules):
        if len(rules) > _RULES:
            raise ValueError("at most %d rules" % _RULES)
        for rule in rules:
            wrong = check(rule)
            if wrong:
                raise ValueError(wrong)
        self._rules = [_Rule(rule) for rule in rules]
        self._last = None

    def feed(self, record, now_s):
        """Take in an event or reading at ``now_s``; returns the alarms that come of it, dicts."""
        now = self._at(now_s)
        found = ()
        for rule in self._rules:
            if rule.take(record, now) and rule.met(now):
                found += (rule.fire(now),)
        return found

    def tick(self, now_s):
        """Let time pass: returns the alarms that come of nothing having happened. Call it now and then."""
        now = self._at(now_s)
        found = ()
        for rule in self._rules:
            if rule.waits and rule.met(now):
                found += (rule.fire(now),)
        return found

    def _at(self, now_s):
        now = min(max(int(now_s), 1), 0xFFFFFFFF)
        last = self._last
        self._last = now
        if last is None:
            return now
        for rule in self._rules:
            if now < last:
                rule.forget(now)
            elif now > last:
                rule.wait(now - last)
        return now

    def state(self):
        """What of it outlasts deep sleep: at most 384 bytes; rules for which there is no room begin anew."""
        data = struct.pack("<BI", _VERSION, self._last or 0)
        for rule in self._rules:
            more = rule.state()
            if len(data) + 5 + len(more) <= _STATE_BYTES and len(more) < 256:
                data += struct.pack("<IB", rule.id, len(more)) + more
        return data

    def restore(self, data):
        """Go on where :meth:`state` was taken, for rules that have not changed; anything else is ignored."""
        if len(data) < 5 or data[0] != _VERSION:
            return
        self._last = struct.unpack_from("<I", data, 1)[0] or None
        at = 5
        while at + 5 <= len(data):
            number, size = struct.unpack_from("<IB", data, at)
            at += 5
            if at + size > len(data):
                return
            for rule in self._rules:
                if rule.id == number:
                    rule.restore(data[at : at + size], self._last or 0)
            at += size


class _Rule:
    def __init__(self, about):
        self.name = about["name"]
        self._within_s = about.get("within_s", 60)
        self._refractory_s = about.get("refractory_s", 0)
        self._priority = about.get("priority", "normal")
        self.conditions = [_Condition(c, self._within_s, about.get("count", 1)) for c in about["when"]]
        self.waits = any([c.absence for c in self.conditions])
        self.id = binascii.crc32(_text(about).encode()) & 0xFFFFFFFF
        self._fired = 0  # when; 0 for never

    def take(self, record, now):
        """Look at an event or reading; whether anything may have changed."""
        matched = self.waits
        for condition in self.conditions:
            if condition.take(record, now):
                matched = True
        return matched

    def met(self, now):
        if self._fired and now - self._fired < self._refractory_s:
            return False
        for condition in self.conditions:
            if not condition.met(now, self._within_s):
                return False
        return True

    def fire(self, now):
        """The alarm. What led to it is used up."""
        self._fired = now
        alarm = {"event": "alarm", "source": self.name, "priority": self._priority}
        for condition in self.conditions:
            if condition.field and condition.value is not None:
                alarm["%s_%s" % (condition.whose, condition.field)] = condition.value
            condition.times = []
            condition.absent = 0
        return alarm

    def forget(self, now):
        """The clock was set back."""
        if self._fired:
            self._fired = now
        for condition in self.conditions:
            condition.forget()

    def wait(self, seconds):
        """Time has passed, or the clock was set."""
        for condition in self.conditions:
            if condition.absence:
                step = max(condition.within_s // 4, 1)
                condition.absent = min(condition.absent + min(seconds, step), condition.within_s)

    def state(self):
        data = struct.pack("<I", self._fired)
        for condition in self.conditions:
            data += condition.state()
        return data

    def restore(self, data, now):
        try:
            fired = struct.unpack_from("<I", data)[0]
            at = 4
            found = []
            for condition in self.conditions:
                at, state = condition.parse(data, at, now)
                found.append(state)
        except ValueError:
            return
        if at != len(data) or fired > now:
            return
        self._fired = fired
        for condition, state in zip(self.conditions, found):
            condition.times, condition.value, condition.absent, condition.points = state


class _Condition:
    """Attributes:
    within_s: seconds within which ``count`` matches, the trend or the absence lie.
    whose: source of what met it last.
    times: of the newest matches, at most ``count``, oldest first.
    value: the number that met it last.
    absent: seconds without a match that were seen, of an absence.
    points: (time, value) of a trend, both rising, values with their sign changed for a fall.
    """

    def __init__(self, about, within_s, count):
        self._key = "event" if "event" in about else "reading"
        self._wanted = [(name, about[name]) for name in about if name not in _OWN or name == self._key]
        self.field = about.get("field")
        self._above = about.get("above")
        self._below = about.get("below")
        self._sign = -1 if "falls" in about else 1
        self._step = about.get("falls", about.get("rises"))
        self.within_s = about.get("within_s", within_s)
        # A trend's own time is that of the trend.
        self._count_s = within_s if self._step else self.within_s
        self._count = about.get("count", count)
        self.absence = about.get("not", False)
        self.whose = about.get("source", about[self._key])
        self.value = None
        self.forget()

    def forget(self):
        self.times = []
        self.points = []
        self.absent = 0

    def take(self, record, now):
        """Look at an event or reading; whether it meets the condition."""
        for name, value in self._wanted:
            if name not in record or record[name] != value:
                return False
        if self.field:
            value = record.get(self.field)
            if not _number(value):
                return False
            trend = self._step is None or self._moved(value, now)
            if not trend or (self._above is not None and not value > self._above):
                return False
            if self._below is not None and not value < self._below:
                return False
            self.value = value
        self.absent = 0
        if not self.absence:
            self.times.append(now)
            if len(self.times) > self._count:
                self.times.pop(0)
        return True

    def _moved(self, value, now):
        """Whether a value is beyond one in the last ``within_s`` by the step."""
        value *= self._sign
        points = self.points
        # Only lows matter that no later one is below of.
        while points and points[-1][1] >= value:
            points.pop()
        while points and points[0][0] < now - self.within_s:
            points.pop(0)
        points.append((now, value))
        if len(points) > _POINTS:
            least = 1
            for i in range(1, len(points) - 1):
                if points[i + 1][0] - points[i - 1][0] < points[least + 1][0] - points[least - 1][0]:
                    least = i
            points.pop(least)
        return value - points[0][1] >= self._step

    def met(self, now, within_s):
        """Whether it holds; its newest match must lie within the rule's ``within_s``."""
        if self.absence:
            return self.absent >= self.within_s
        times = self.times
        return len(times) == self._count and times[-1] >= now - within_s and times[0] >= now - self._count_s

    def state(self):
        value = 0.0 if self.value is None else float(self.value)
        head = struct.pack("<BBIf", len(self.times), len(self.points), self.absent, value)
        for at in self.times:
            head += struct.pack("<I", at)
        for at, low in self.points:
            head += struct.pack("<If", at, low)
        return head

    def parse(self, data, at, now):
        """``(where it ends, state)`` of what :meth:`state` made; ValueError if that is not what it is."""
        size = struct.calcsize("<BBIf")
        if at + size > len(data):
            raise ValueError
        times, points, absent, value = struct.unpack_from("<BBIf", data, at)
        at += size
        if times > self._count or points > _POINTS or at + 4 * times + 8 * points > len(data):
            raise ValueError
        seen = []
        for _ in range(times):
            seen.append(struct.unpack_from("<I", data, at)[0])
            at += 4
        lows = []
        for _ in range(points):
            lows.append(struct.unpack_from("<If", data, at))
            at += 8
        if absent > self.within_s or not _number(value) or not all([_number(low) for _, low in lows]):
            raise ValueError
        if not _rising(seen, now) or not _rising([t for t, _ in lows], now):
            raise ValueError
        return at, (seen, value if times or points else None, absent, lows)


def _rising(times, now):
    """Times are in order and none lies in the future."""
    for i in range(len(times)):
        if times[i] > now or (i and times[i] < times[i - 1]):
            return False
    return True


def _text(value):
    """One text for one JSON value, whatever the order of its keys."""
    if isinstance(value, dict):
        return "{%s}" % ",".join(["%s:%s" % (key, _text(value[key])) for key in sorted(value)])
    if isinstance(value, list):
        return "[%s]" % ",".join([_text(item) for item in value])
    return repr(value)
