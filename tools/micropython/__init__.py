"""MicroPython interpreters for this machine, built from source with the C modules of ``firmware/modules``.

They are for tests and for trying the modules out: the images of real boards are built by ESP-IDF.
"""
