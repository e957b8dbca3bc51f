# What is frozen into the image. No package of micropython-lib is needed: that submodule may be missing.
# The variables are those of MicroPython's py/mkrules.cmake (MICROPY_MANIFEST_*).

include("$(MPY_DIR)/extmod/asyncio")
# Some of the port's own modules. Not its _boot.py and inisetup.py: ours mounts and formats.
module("flashbdev.py", base_path="$(PORT_DIR)/modules")

module("_boot.py", base_path="$(CICADA_DIR)/app")
module("main.py", base_path="$(CICADA_DIR)/app")
package("node", base_path="$(CICADA_DIR)/app")
# Written for each build: who the image is and whose updates it takes (tools/firmware/identity.py).
module("node/identity.py", base_path="$(CICADA_IDENTITY_DIR)")
module("board.py", base_path="$(BOARD_DIR)")
