# make demo    the main job on shipped models and data; prints the report's path
# make test    the whole suite
# make check   lint, format, types of the core, import rules
#
# The environment is made when it is missing and brought up to date when pyproject.toml is newer than it.
# ADVGEN_VENV=DIR    where it lies (.venv); clones may share one, the last to install owns it
# CONSTRAINTS=FILE   install exactly what was tested: make test CONSTRAINTS=constraints.txt
# PYTHON=python3.12  what makes the environment (3.11 or newer)

ADVGEN_VENV ?= .venv
PYTHON ?= python3
CONSTRAINTS ?=
WORKERS ?= 2

BIN := $(ADVGEN_VENV)/bin
# An editable install points at one clone, so its stamp carries the clone's name.
CLONE := $(shell printf '%s' '$(CURDIR)' | cksum | cut -d ' ' -f 1)
USER_STAMP := $(ADVGEN_VENV)/.advgen-$(CLONE)-user
TEST_STAMP := $(ADVGEN_VENV)/.advgen-$(CLONE)-test
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: demo test check

demo: $(USER_STAMP)
	$(BIN)/advgen demo

# One thread a worker: two workers with two threads each are slower, and a fork of a threaded torch hangs.
test: $(TEST_STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

check: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy advgen/core
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests/architecture

$(USER_STAMP): pyproject.toml | $(BIN)/python
	$(INSTALL) -e .
	@find '$(ADVGEN_VENV)' -maxdepth 1 -name '.advgen-*' ! -name '.advgen-$(CLONE)-*' -delete
	@touch $@

$(TEST_STAMP): pyproject.toml | $(BIN)/python
	$(INSTALL) -e '.[test,peers]'
	@find '$(ADVGEN_VENV)' -maxdepth 1 -name '.advgen-*' ! -name '.advgen-$(CLONE)-*' -delete
	@touch $@ $(USER_STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"advgen needs Python 3.11 or newer; $(PYTHON) is {v[0]}.{v[1]}: make PYTHON=..." if v < (3, 11) else 0)'
	$(PYTHON) -m venv '$(ADVGEN_VENV)'
