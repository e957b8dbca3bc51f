"""The image for real chips: ``cicada firmware`` checks what it needs and runs ESP-IDF's build.

ESP-IDF's project is ``firmware/`` and builds without this package too (docs/building.md). What a build holds
is read by :mod:`cicada.tools.flashing.firmware`.
"""
