"""Started by MicroPython after boot: hands the board to the node."""

import node

node.run()
