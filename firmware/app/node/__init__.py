"""Cicada's node: microphone -> front end -> model -> decision -> event, and deep sleep between.

The same bytes run on every board. Hardware is reached only through MicroPython's own modules, the
``nn`` C module and ``board``, the description of the board the image was built for.

    import node
    node.run()
"""

VERSION = "0.1.0"
#: Security version: raised when older firmware must not come back (docs/updates.md).
SECURITY = 0


def run():
    """Boot the node and keep it running; never returns unless interrupted from the console."""
    from node.app import App

    App().run()
