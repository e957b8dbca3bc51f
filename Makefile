# The front door. Every target makes .venv first; `make help` lists them.

PYTHON ?= python3
# What `make train` changes of a recipe: only what was asked for.
CHANGED := $(if $(WORDS),--words "$(WORDS)") $(if $(SEED),--seed $(SEED))
WORDS ?= yes,no
SEED ?= 1
BOARD ?= esp32

, := ,
VENV := .venv
CICADA := $(VENV)/bin/cicada
TRAINING := --words "$(WORDS)" --seed $(SEED) $(if $(DATA),--data "$(DATA)") $(if $(ENGINE),--engine "$(ENGINE)")

BOARDED := --board $(BOARD) $(if $(PORT),--port "$(PORT)")

.PHONY: help demo test train results firmware flash erase size monitor twin twin-stop release powercut week provision plan data engine modules bench lint format clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14
	@echo 'variables: RECIPE=name DATA=folder WORDS=yes,no SEED=1 ENGINE=packed BOARD=twin PORT=/dev/ttyUSB0 MODEL=kws=file COMPONENTS=folder KEY=file'
	@echo '           CONFIG=cicada.json SSID=network BROKER=mqtts://host CA=file'

# pip shows its progress bars on a terminal, and only there.
# A stamp carries the hash of pyproject.toml (changed pins mean a new installation, nothing else does) and how much
# is installed: `flash` for what talks to boards, `twin` for the twin too, `all` with TensorFlow and the tests.
HASH := $(shell cat pyproject.toml tests/drivers.txt | cksum | cut -d' ' -f1)
STAMP := $(VENV)/installed-$(HASH)-all
SMALL := $(firstword $(wildcard $(STAMP)) $(VENV)/installed-$(HASH)-$(if $(filter twin,$(BOARD)),twin,flash))
EXTRAS_flash := flash
EXTRAS_twin := flash,twin
EXTRAS_all := flash,twin,release,train,test
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check $(if $(MAKE_TERMOUT),,--quiet)

$(VENV)/installed-$(HASH)-%:
	@command -v $(PYTHON) >/dev/null || { echo 'cicada: there is no $(PYTHON): install Python 3.10 to 3.13, or set PYTHON=' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit("cicada: Python %d.%d found, 3.10 to 3.13 needed: set PYTHON=python3.x" % sys.version_info[:2] if not (3, 10) <= sys.version_info[:2] <= (3, 13) else 0)'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo 'cicada: Python has no venv module: install it (Debian: apt install python3-venv)' >&2; exit 1; }
	@echo 'installing into $(VENV)$(if $(filter all,$*), (TensorFlow alone is 2 GB$(,) once))'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[$(EXTRAS_$*)]' $(if $(filter all,$*),&& $(PIP) --no-deps -r tests/drivers.txt) \
	  || { echo 'cicada: pip could not install the packages named above: check the network and free disk (4 GB), then run make again' >&2; exit 1; }
	@touch $@; ls -d $(VENV)/installed-* | grep -v -e '-$(HASH)-' | xargs rm -f

demo: $(STAMP)  ## train a tiny model and hear it work on the twin
	@$(CICADA) demo $(TRAINING)

train: $(STAMP)  ## RECIPE= (docs/training.md) -> INT8 model, C array, report in build/
	@$(CICADA) train $(RECIPE) $(if $(DATA),--data "$(DATA)") $(if $(ENGINE),--engine "$(ENGINE)") $(CHANGED)

results: $(STAMP)  ## train every recipe on the recordings in DATA= with three seeds, for docs/results.md
	@$(CICADA) results "$(DATA)" --write

twin: $(STAMP)  ## leave a twin running in the background
	@$(CICADA) twin start $(TRAINING)

twin-stop: $(STAMP)  ## end it
	@$(CICADA) twin stop

firmware: $(SMALL)  ## build the image of BOARD= with ESP-IDF (docs/building.md)
	@$(CICADA) firmware --board $(BOARD) $(if $(MODEL),--model "$(MODEL)") $(if $(COMPONENTS),--components "$(COMPONENTS)") \
	  $(if $(KEY),--signed "$(KEY)")

flash: $(SMALL)  ## put it on the board at PORT=, or on BOARD=twin
	@$(CICADA) flash $(BOARDED)

erase: $(SMALL)  ## erase the board's flash
	@$(CICADA) erase $(BOARDED)

size: $(SMALL)  ## what the image is made of, by component
	@$(CICADA) size --board $(BOARD)

provision: $(SMALL)  ## tell the node at PORT= its Wi-Fi network SSID= and broker BROKER= (docs/uplink.md)
	@$(CICADA) provision $(BOARDED) $(if $(SSID),--ssid "$(SSID)") $(if $(BROKER),--broker "$(BROKER)") $(if $(CA),--ca "$(CA)")

plan: $(STAMP)  ## what the wake plan of CONFIG=file draws on BOARD=; without CONFIG a comparison
	@$(CICADA) plan --board $(BOARD) $(if $(CONFIG),"$(CONFIG)",--all)

monitor: $(SMALL)  ## serial console of PORT=, or of BOARD=twin
	@$(CICADA) monitor $(BOARDED)

release: $(STAMP)  ## sign the last build of BOARD=, or MODEL=, for devices to update to (docs/updates.md)
	@$(CICADA) release --board $(BOARD) $(if $(MODEL),--model "$(lastword $(subst =, ,$(MODEL)))")

powercut: $(STAMP)  ## cut the power at 1,500 places of updates on the twin; ALL=1: everywhere
	@$(CICADA) powercut $(if $(ALL),,--sample 1650)

data: $(STAMP)  ## download Google Speech Commands v0.02 (2.3 GB)
	@$(CICADA) data fetch speech-commands

engine: $(STAMP)  ## build the engine's shared library
	@$(CICADA) engine

modules: $(STAMP)  ## build MicroPython with the C modules for this machine and for RV32
	@$(CICADA) modules

bench: $(STAMP)  ## what the engine (of MODELS=folder, too) and updates cost
	@$(CICADA) bench $(if $(MODELS),--models "$(MODELS)")
	@$(CICADA) bench updates

week: $(STAMP)  ## a simulated week of a node on the twin: table and picture in build/week
	@CICADA_WEEK=7 $(VENV)/bin/python -m pytest -s tests/week

test: $(STAMP)  ## the whole test suite
	@$(VENV)/bin/python -m pytest $(PYTEST)

lint: $(STAMP)  ## ruff, clang-format and compiler warnings
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/clang-format --dry-run --Werror $(shell git ls-files '*.c' '*.h' '*.cpp')
	@$(CICADA) engine > /dev/null

format: $(STAMP)  ## put sources into the common style
	@$(VENV)/bin/ruff check --fix --quiet . ; $(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/clang-format -i $(shell git ls-files '*.c' '*.h' '*.cpp')

clean:  ## remove what was built (not .venv)
	rm -rf build
