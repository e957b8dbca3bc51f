"""What waits to be delivered, in raw flash, through any loss of power."""

from node.outbox.box import Outbox

__all__ = ("Outbox",)
