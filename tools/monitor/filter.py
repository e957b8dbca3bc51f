"""Which log lines to show, by tag and level.

Lines and rules are those of ESP-IDF (``esp_log.h``; IDF Monitor, option ``--print_filter``).
"""

from __future__ import annotations

import re

from cicada.tools.errors import UserError

#: ``I (123) tag: text`` of ESP-IDF and of the application; the boot log of the twin has no time.
LOG_LINE = re.compile(r"([EWIDV]) (?:\([^)]{1,24}\) ([^:]{1,40})|([\w.\-/]{1,40})): ")
# What may still become one.
_BEGINNING = re.compile(
    r"[EWIDV](?: (?:\((?:[^)]{0,24}|[^)]{1,24}\)(?: (?:[^:]{1,40}:?)?)?)|[\w.\-/]{1,40}:?)?)?\Z"
)
_LEVELS = {"N": 0, "E": 1, "W": 2, "I": 3, "D": 4, "V": 5, "*": 5, "": 5}


def may_become_log_line(text: str) -> bool:
    """Whether the beginning of a line, ``text``, may turn out to be one of the log."""
    return bool(_BEGINNING.match(text))


class Filter:
    """Rules such as ``node:I wifi:E *:W``.

    A tag without a level is shown whole. Tags without a rule follow ``*``, and are hidden if there is none,
    as with ESP-IDF. Unlike there, lines that are no log lines (prints, events, prompts) are always shown.

    Args:
        rules: separated by spaces; levels are N (nothing), E, W, I, D and V. No rules at all show everything.

    Raises:
        UserError: if a rule has another form.
    """

    def __init__(self, rules: str) -> None:
        self._levels: dict[str, int] = {}
        for rule in rules.split():
            tag, _, level = rule.partition(":")
            if not tag or level.upper() not in _LEVELS:
                raise UserError(
                    f"'{rule}' is no filter: write TAG:LEVEL, with a level of N E W I D V, as in 'node:I *:W'"
                )
            self._levels[tag] = _LEVELS[level.upper()]
        if not self._levels:
            self._levels["*"] = _LEVELS["V"]

    def shows(self, line: str) -> bool:
        """Whether to show a line, of which at least the tag is there."""
        found = LOG_LINE.match(line)
        if not found:
            return True
        tag = found[2] or found[3]
        return _LEVELS[found[1]] <= self._levels.get(tag, self._levels.get("*", 0))
