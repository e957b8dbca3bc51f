"""Whether a configuration may be used: one sentence for everything that is wrong in it.

What can be used all the same is used: a key with a wrong value has its default, an entry that cannot be
trusted without that value is left out, and everything else stays. So a node with a broken configuration
stays reachable where its network and its broker are right.

Runs under MicroPython and, for ``cicada node config``, under CPython.
"""

import json

from node.config.shape import (
    FLAGS,
    KEY,
    KINDS,
    LIMIT,
    ROOT,
    TEXT,
    TYPE,
    counts,
    default,
    item_of,
    limit,
    rows,
    set_port,
)

_MOST = 16  # sentences: memory is short, and nobody reads more
_BAD = object()
_TOPIC = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/."
_HEX = "0123456789abcdefABCDEF"
_ACCELEROMETERS = ("adxl345", "mpu6050", "lis3dh")


def document(found, rule=None, plan=None):
    """Check a whole configuration.

    Args:
        found: what the JSON says.
        rule: called with each fusion rule; returns a sentence about what is wrong with it, or None.
        plan: called with the configuration; returns a sentence about what of its wake plan the board cannot
            do, or None.

    Returns:
        ``(data, errors)``: the configuration with its defaults, and a list of sentences. With errors ``data``
        is what is left of it, which is consistent in itself.
    """
    errors = []
    if not isinstance(found, dict):
        _say(errors, "the configuration is %s: give an object in braces" % _type(found))
        found = {}
    data = _object(found, ROOT[LIMIT], "", errors, rule)
    _together(data, errors)
    if plan:
        _possible(data, errors, plan)
    return data, errors


def _say(errors, sentence):
    if len(errors) < _MOST:
        errors.append(sentence)


def _object(found, table, path, errors, rule):
    """One object with its defaults; ``_BAD`` if it cannot be used."""
    made, usable, kind = {}, True, None
    for row in rows(table):
        key, what, flags = row[KEY], row[TYPE], row[FLAGS]
        if not counts(row, kind):
            continue
        at = path + key
        value = default(row)
        if key in found:
            given = found[key]
            if given is not None or "0" not in flags:
                given = _value(given, row, at, errors, rule)
                if given is _BAD:
                    if "!" in flags:
                        usable = False
                    given = value
            value = given
        elif "?" in flags:
            _say(errors, "%s is missing: %s" % (at, row[TEXT]))
            usable = False
        if what == "kind":
            kind = value
            if kind is None:
                return _BAD
        made[key] = value
    for key in found:
        if key not in made and not _known(key, table, kind):
            _say(errors, _stray(path, key, table, kind))
    return made if usable else _BAD


def _known(key, table, kind):
    """Whether a key may stand there, with a value or without."""
    for row in rows(table):
        if row[KEY] == key and counts(row, kind):
            return True
    return False


def _stray(path, key, table, kind):
    """What is said of a key that must not be there."""
    fits = []
    for row in rows(table):
        if row[KEY] == key:
            fits.extend(row[KINDS].split(" "))
    if fits:
        return "%s%s is for %s, not for %s" % (path, key, " or ".join(fits), kind)
    names = []
    for row in rows(table):
        if counts(row, kind):
            names.append(row[KEY])
    best, least = None, 4
    for name in names:
        apart = _distance(key, name)
        if apart < least:
            best, least = name, apart
    shown = json.dumps(key[:24])[1:-1]
    if best:
        return "%s%s is not known: did you mean '%s'?" % (path, shown, best)
    return "%s%s is not known: there are %s" % (path, shown, ", ".join(names))


def _distance(one, other):
    """How many letters must be put in, taken out or changed to make one word of the other (Levenshtein)."""
    if abs(len(one) - len(other)) > 3:
        return 99
    before = list(range(len(other) + 1))
    for i in range(len(one)):
        now = [i + 1]
        for j in range(len(other)):
            now.append(min(before[j + 1] + 1, now[j] + 1, before[j] + (one[i] != other[j])))
        before = now
    return before[-1]


def _value(value, row, at, errors, rule):
    """A value of the row's type with its defaults; ``_BAD``, and a sentence, if it is none."""
    what = row[TYPE]
    if what == "object":
        if isinstance(value, dict):
            made = _object(value, row[LIMIT], at + ".", errors, rule)
            if made is not _BAD and "~" in row[FLAGS]:
                # As given, but for what is wrong in it.
                return {key: made[key] for key in value if key in made}
            return made
        _say(errors, "%s is %s: give an object in braces" % (at, _type(value)))
        return _BAD
    if what == "list":
        return _list(value, row, at, errors, rule)
    wrong = None
    if what == "rule":
        wrong = None if isinstance(value, dict) else "is %s: give an object in braces" % _type(value)
        if wrong is None and rule:
            said = rule(value)
            if said:
                _say(errors, "%s: %s" % (at, said))
                return _BAD
    elif not _right(value, what, limit(row)):
        shown = "is not what it can be" if what == "secret" else "is " + _shown(value)
        if value == "***" and what == "secret":
            shown = "is '***', which stands for a secret that is not shown"
        wrong = "%s: give %s" % (shown, wanted(row))
    if wrong is None:
        return value
    _say(errors, "%s %s" % (at, wrong))
    return _BAD


def _list(value, row, at, errors, rule):
    """A list without the entries that cannot be used."""
    item, most = item_of(row)
    if not isinstance(value, list):
        _say(errors, "%s is %s: give a list in brackets" % (at, _type(value)))
        return _BAD
    if len(value) > most:
        _say(errors, "%s has %d entries: give at most %d" % (at, len(value), most))
        return _BAD
    made = []
    for number, given in enumerate(value):
        given = _value(given, item, "%s.%d" % (at, number), errors, rule)
        if given is not _BAD:
            made.append(given)
    return made


def _right(value, what, span):
    """Whether a plain value is of its type and within its limits."""
    if what == "bool":
        return isinstance(value, bool)
    if what in ("choice", "kind"):
        return not isinstance(value, bool) and isinstance(value, (int, str)) and value in span
    if what in ("int", "num"):
        plain = isinstance(value, int) or (what == "num" and isinstance(value, float))
        return plain and not isinstance(value, bool) and span[0] <= value <= span[1]
    if what == "match":
        if not isinstance(value, dict) or len(value) > 8:
            return False
        for key in value:
            if not isinstance(key, str) or isinstance(value[key], (dict, list)):
                return False
        return True
    if not isinstance(value, str):
        return False
    if what == "point":
        return len(value) == 130 and value[:2] == "04" and _made_of(value, _HEX)
    if not span[0] <= len(value) <= span[1] or "\0" in value:
        return False
    if what == "secret":
        return value != "***"
    if what == "topic":
        return _made_of(value, _TOPIC) and value[0] != "/" and value[-1] != "/"
    return True


def _made_of(text, letters):
    for letter in text:
        if letter not in letters:
            return False
    return True


def wanted(row):
    """What a key of this row may be, in words."""
    what, span = row[TYPE], limit(row)
    if what in ("choice", "kind"):
        words = " or ".join([json.dumps(value) for value in span])
    elif what == "bool":
        words = "true or false"
    elif what == "int":
        words = "a whole number from %d to %d" % tuple(span)
    elif what == "num":
        words = "a number from %s to %s" % tuple(span)
    elif what == "match":
        words = "an object of at most 8 plain values"
    elif what == "point":
        words = "a public key, 130 hex digits that begin with 04"
    elif what == "topic":
        words = "%d to %d letters, digits or _-/. without a / at an end" % tuple(span)
    elif what == "secret":
        words = "the secret itself, text of %d to %d characters" % tuple(span)
    else:
        words = "text of %d to %d characters" % tuple(span)
    return words + (", or null" if "0" in row[FLAGS] else "")


def _type(value):
    """What a value is, in words; what it says may be a secret in the wrong place."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "text"
    return json.dumps(value)


def _shown(value):
    """A value as it stands in a sentence, not too long."""
    if isinstance(value, (dict, list)):
        return _type(value)
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _together(data, errors):
    """What must fit together. Whatever does not is left out of ``data``."""
    mqtt, sensors = data["mqtt"], _named(data, "sensors", errors)
    if mqtt:
        wrong = None
        if mqtt["tls"] and not mqtt["ca"]:
            wrong = "mqtt.ca is missing: TLS needs the file of the CA that signed the broker's certificate"
        elif (mqtt["cert"] is None) != (mqtt["key"] is None):
            wrong = "mqtt.%s is missing: a certificate and its key go together" % (
                "cert" if mqtt["cert"] is None else "key"
            )
        elif mqtt["password"] is not None and mqtt["user"] is None:
            wrong = "mqtt.user is missing: a password without a user is not MQTT 3.1.1"
        if wrong:
            _say(errors, wrong)
            data["mqtt"] = None
        else:
            set_port(mqtt)
    _updates(data["updates"], errors)
    for number, sensor in enumerate(sensors):
        if sensor.get("bus") == "spi" and sensor["cs"] is None:
            _say(errors, "sensors.%d.cs is missing: SPI needs a chip select pin" % number)
            data["sensors"].remove(sensor)
    for number, pipeline in enumerate(_named(data, "pipelines", errors)):
        wrong = None
        if pipeline["kind"] == "vibration":
            wrong = _accelerometer(pipeline["sensor"], data)
            if not wrong and pipeline["clear"] > pipeline["threshold"]:
                wrong = "clear is above threshold: it must not be"
        if wrong:
            _say(errors, "pipelines.%d.%s" % (number, wrong))
            data["pipelines"].remove(pipeline)
    plan = data["plan"]
    for number, wake in enumerate(list(plan["wake"])):
        if wake["on"] == "motion":
            wrong = _accelerometer(wake["sensor"], data)
            if wrong:
                _say(errors, "plan.wake.%d.%s" % (number, wrong))
                plan["wake"].remove(wake)
    if plan["kind"] == "sample" and not plan["every_s"]:
        _say(errors, 'plan.every_s is 0: the plan "sample" needs a period')
        plan["every_s"] = 600
    if plan["kind"] == "event" and not plan["every_s"] and not plan["wake"]:
        _say(errors, 'plan.wake is empty and plan.every_s is 0: nothing would wake the plan "event"')
        plan["every_s"] = 600


def _possible(data, errors, impossible):
    """What of the wake plan the board cannot do is left out; the timer wakes it then."""
    wrong = impossible(data)
    if wrong:
        _say(errors, "plan: " + wrong)
        plan = data["plan"]
        plan["cpu_mhz"] = None
        if impossible(data):
            plan["wake"] = []
            if plan["kind"] == "event" and not plan["every_s"]:
                plan["every_s"] = 600


def _named(data, section, errors):
    """The entries of a section; what has the name of one before it is left out."""
    names = []
    for number, item in enumerate(list(data[section])):
        if item["name"] in names:
            _say(errors, '%s.%d.name is "%s" once more: give it another' % (section, number, item["name"]))
            data[section].remove(item)
        names.append(item["name"])
    return list(data[section])


def _accelerometer(name, data):
    """What is wrong with ``sensor`` being ``name``, None if nothing is."""
    for sensor in data["sensors"]:
        if sensor["name"] == name:
            if sensor["kind"] not in _ACCELEROMETERS:
                return 'sensor is "%s", a %s: give an accelerometer' % (name, sensor["kind"])
            return None
    known = ", ".join([sensor["name"] for sensor in data["sensors"]])
    return 'sensor is "%s": %s' % (name, "there are " + known if known else "there are no sensors")


def _updates(about, errors):
    """A section that lacks something is kept: whoever looks for updates says so, too."""
    if about is None:
        return
    kind = about.get("transport", "http")
    if not about.get("url"):
        _say(errors, "updates.url is missing: every transport needs it")
    elif about["url"].startswith("https:") and not about.get("ca"):
        _say(errors, "updates.ca is missing: https needs the file of the server's CA")
    if kind != "http" and not about.get(kind):
        _say(errors, 'updates.%s is missing: transport "%s" needs it' % (kind, kind))
