"""Safe mode: the node has crashed again and again, so nothing runs but what can mend it."""

from micropython import const

from node import log
from node.health import SAFE_FROM

_SLEEP_MS = const(600000)
_CONSOLE_MS = const(60000)  # awake for whoever comes to look
_ROUNDS = const(6)


def mend(app):
    """Look for updates, tell how it is, listen to the console, and sleep.

    After an hour everything is tried again, and one more crash is enough to come back here. Returns only if a
    new model has cured it.

    Args:
        app: the node.app.App.
    """
    memory = app.memory
    log.error("crashed %d times in a row: nothing but updates, reports and the console" % memory.crashes)
    memory.checked = 0  # the cure may be there
    app.update()
    if not memory.crashes:  # a new model was it
        app.safe = False
        return
    app.reporter.tell_health()
    app.report(True)
    app.attend(_CONSOLE_MS)
    memory.crashes += 1
    if memory.crashes >= SAFE_FROM + _ROUNDS:
        memory.crashes = SAFE_FROM - 1
    log.info("deep sleep for %d ms" % _SLEEP_MS)
    app.fall_asleep(_SLEEP_MS)
