include("$(CICADA_DIR)/manifest.py")
