"""Firmware onto boards: ``cicada flash``, ``erase`` and ``size``, and where a board is attached."""
