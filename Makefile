# The front door. Every target makes .venv first; `make help` lists them.

PYTHON ?= python3
WORDS ?= yes,no
SEED ?= 1
BOARD ?= esp32

VENV := .venv
CICADA := $(VENV)/bin/cicada
TRAINING := --words "$(WORDS)" --seed $(SEED) $(if $(DATA),--data "$(DATA)")

.PHONY: help demo test train twin twin-stop monitor data engine bench lint format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
	@echo 'variables: DATA=folder WORDS=yes,no SEED=1 BOARD=twin PORT=/dev/ttyUSB0'

# pip shows its progress bars on a terminal, and only there.
# The stamp carries the hash of pyproject.toml: changed pins mean a new installation, nothing else does.
STAMP := $(VENV)/installed-$(shell cat pyproject.toml tests/drivers.txt | cksum | cut -d' ' -f1)

$(STAMP):
	@command -v $(PYTHON) >/dev/null || { echo 'cicada: there is no $(PYTHON): install Python 3.10 to 3.13, or set PYTHON=' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("cicada: Python %d.%d found, 3.10 to 3.13 needed: set PYTHON=python3.x" % sys.version_info[:2] if not (3, 10) <= sys.version_info[:2] <= (3, 13) else 0)'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'cicada: Python has no venv module: install it (Debian: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing into $(VENV) (TensorFlow alone is 2 GB, once)'
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --disable-pip-version-check $(if $(MAKE_TERMOUT),,--quiet) -e '.[twin,train,test]' \
	  && $(VENV)/bin/python -m pip install --disable-pip-version-check $(if $(MAKE_TERMOUT),,--quiet) --no-deps -r tests/drivers.txt \
	  || { echo 'cicada: pip could not install the packages named above: check the network and free disk (4 GB), then run make again' >&2; exit 1; }
	@rm -f $(VENV)/installed-*; touch $@

demo: $(STAMP)  ## train a tiny model and hear it work on the twin
	@$(CICADA) demo $(TRAINING)

train: $(STAMP)  ## recordings -> INT8 model, C array, metrics, pictures
	@$(CICADA) train $(TRAINING)

twin: $(STAMP)  ## leave a twin running in the background
	@$(CICADA) twin start $(TRAINING)

twin-stop: $(STAMP)  ## end it
	@$(CICADA) twin stop

monitor: $(STAMP)  ## serial console of BOARD=twin or PORT=...
	@$(CICADA) monitor --board $(BOARD) $(if $(PORT),--port "$(PORT)")

data: $(STAMP)  ## download Google Speech Commands v0.02 (2.3 GB)
	@$(CICADA) data fetch speech-commands

engine: $(STAMP)  ## build the engine's shared library
	@$(CICADA) engine

bench: $(STAMP)  ## count the front end's instructions (RV32IMC under QEMU)
	@$(CICADA) bench

test: $(STAMP)  ## the whole test suite
	@$(VENV)/bin/python -m pytest $(PYTEST)

lint: $(STAMP)  ## ruff, clang-format and compiler warnings
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/clang-format --dry-run --Werror $(shell git ls-files '*.c' '*.h')
	@$(CICADA) engine > /dev/null

format: $(STAMP)  ## put sources into the common style
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/clang-format -i $(shell git ls-files '*.c' '*.h')

clean:  ## remove what was built (not .venv)
	rm -rf build
