"""Which commands there are, what they want, and how a line at the console becomes one.

A row is ``(name, arguments, text)``, an argument ``(name, type, limit, must)``: ``int`` from and to, ``word``
of at most so many characters, ``choice`` of these, ``json`` anything. ``must`` says whether it is needed.
"""

import json

_PAGE = ("page", "int", (0, 99), False)

TABLE = (
    ("help", (("about", "word", 24, False),), "commands there are"),
    ("status", (_PAGE,), "what it is and what it does"),
    ("health", (_PAGE,), "how it is"),
    ("config get", (("path", "word", 64, False), _PAGE), "what it is told, without secrets"),
    (
        "config set",
        (("path", "word", 64, False), ("value", "json", None, False), ("values", "json", None, False)),
        "change that, from the next start on",
    ),
    ("config keep", (), "keep a change that is on trial"),
    ("config revert", (), "take a change back"),
    (
        "capture",
        (("source", "word", 16, True), ("ms", "int", (1, 60000), True)),
        "send raw samples, or a picture",
    ),
    ("models", (_PAGE,), "models it has"),
    ("use model", (("name", "word", 32, True), ("slot", "word", 16, True)), "run another of its models"),
    ("update check", (), "look for updates"),
    (
        "adapt",
        (
            ("name", "word", 16, True),
            ("action", "choice", ("status", "reset", "learn", "teach"), True),
            ("label", "word", 16, False),
        ),
        "what is normal at this place, and new words",
    ),
    ("log", (("count", "int", (1, 200), False),), "last lines of the console"),
    ("reboot", (), "start again"),
    ("setup", (), "start its access point, to be set up there"),
    ("provision", (("action", "json", None, True),), "set it up over the console: 'cicada provision' does"),
    ("factory reset", (("confirm", "choice", ("erase",), True),), "forget everything; at the console alone"),
)


class BadCommand(ValueError):
    """No command of that form; the text says what there is."""


def row(name):
    """The row of a command.

    Raises:
        BadCommand: there is none.
    """
    for found in TABLE:
        if found[0] == name:
            return found
    raise BadCommand("there is no such command: there are " + ", ".join([found[0] for found in TABLE]))


def usage(found):
    """How a command is written."""
    words = [found[0]]
    for name, what, limit, must in found[1]:
        shown = "|".join(limit) if what == "choice" else name.upper()
        words.append(shown if must else "[%s]" % shown)
    return " ".join(words)


def checked(name, arguments):
    """The arguments that are there, as a command wants them.

    Args:
        name: of the command.
        arguments: dict of JSON values.

    Raises:
        BadCommand: no such command, or not its arguments. The text repeats no value, which may be a secret.
    """
    found = row(name)
    if not isinstance(arguments, dict):
        raise BadCommand("arguments are an object in braces")
    made = {}
    for key, what, limit, must in found[1]:
        if key not in arguments or (arguments[key] is None and what != "json"):
            if must:
                raise BadCommand("%s is missing: %s" % (key, usage(found)))
            continue
        if not _fits(arguments[key], what, limit):
            raise BadCommand("%s must be %s: %s" % (key, _wanted(what, limit), usage(found)))
        made[key] = arguments[key]
    names = [argument[0] for argument in found[1]]
    for key in arguments:
        if key not in names:
            raise BadCommand("'%s' has no such argument: %s" % (name, usage(found)))
    return made


def parsed(line):
    """``(name, arguments)`` of a line as it is typed: values in their order, or ``name=value``.

    Raises:
        BadCommand: it is none.
    """
    words = [word for word in line.split(" ") if word]
    name, count = " ".join(words[:2]), 2
    if name not in [found[0] for found in TABLE]:
        name, count = words[0] if words else "", 1
    found = row(name)
    arguments = {}
    rest = line.strip()
    for _ in range(count):
        rest = _behind(rest)
    left = [argument[:2] for argument in found[1] if argument[0] != "values"]
    while rest:
        if not left:
            raise BadCommand("that is too much: " + usage(found))
        word = rest.split(" ")[0]
        key, what = left[0]
        for named in left:
            if word.startswith(named[0] + "=") and named[1] != "json":
                key, what = named
                word = word[len(key) + 1 :]
        left.remove((key, what))
        if what == "json":
            arguments[key] = _value(rest)
            break
        arguments[key] = int(word) if what == "int" and word.isdigit() else word
        rest = _behind(rest)
    return name, arguments


def _behind(text):
    """What stands behind the first word."""
    at = text.find(" ")
    return "" if at < 0 else text[at:].strip()


def _value(text):
    """JSON, or a plain word for which nobody wants to type quotes."""
    try:
        return json.loads(text)
    except ValueError:
        if text[0] in '{["' or " " in text:
            raise BadCommand("the value is no JSON")
        return text


def _fits(value, what, limit):
    if what == "json":
        return True
    if what == "int":
        return isinstance(value, int) and not isinstance(value, bool) and limit[0] <= value <= limit[1]
    if not isinstance(value, str):
        return False
    return value in limit if what == "choice" else len(value) <= limit


def _wanted(what, limit):
    if what == "int":
        return "a whole number from %d to %d" % limit
    return " or ".join(limit) if what == "choice" else "a word of at most %d characters" % limit
