"""Started by MicroPython after boot: hands the board to the node.

While the node runs nothing is imported from the file system. MicroPython would look there first at every
``import time``, since files may replace most of its own modules, which is six looks into the flash for each
import; and no file may take the place of firmware that was signed.
"""

import sys

_path = sys.path[:]
sys.path[:] = [place for place in _path if place not in ("", "/lib")]
try:
    import node

    node.run()
finally:
    sys.path[:] = _path  # for whoever stopped it at the console
