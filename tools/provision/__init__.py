"""Setting a node up over its serial console: ``cicada provision``."""

from __future__ import annotations
