"""What a node is told where it is used: ``/cicada.json`` on its file system.

docs/config.md has all keys; a node without that file works on its own.

    from node.config import Config
    found = Config()
    found.data["plan"]["quiet_s"]
"""

from node.config.store import PATH, Config  # noqa: F401
