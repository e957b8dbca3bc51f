"""What a node is told where it is used: ``/cicada.json`` on its file system.

``{"wifi": {"ssid", "key"}, "updates": {"transport", "url", ...}}``; docs/updates.md has all keys. A node
without that file works on its own.
"""

import json

from node import log

PATH = "/cicada.json"


def load():
    """The configuration as a dict; empty, with a line on the console, where there is none to use."""
    try:
        with open(PATH) as file:
            found = json.load(file)
        if isinstance(found, dict):
            return found
        log.error("%s is not a JSON object, going on without it" % PATH)
    except OSError:
        pass
    except ValueError:
        log.error("%s is not JSON, going on without it" % PATH)
    return {}
