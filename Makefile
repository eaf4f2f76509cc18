# `make demo` and `make test` each make what they need first, so either can be the first command.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.lerf-wild-installed
PYTHON ?= $(shell for name in python3.11 python3.12 python3.10 python3 python; do \
	command -v $$name >/dev/null 2>&1 \
	&& $$name -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& { command -v $$name; break; }; done)
PYTEST_FLAGS ?=

.PHONY: setup demo test test-slow lint format help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(STAMP) ## make .venv and install lerf-wild into it

# setup.py computes the package list, so an editable install sees new sub-packages by itself; only
# what pyproject.toml says can make the installation out of date.
$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10, 3.11 or 3.12 is needed: install one, or run make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) with $(PYTHON)"; "$(PYTHON)" -m venv $(VENV); } \
		|| { echo "$(PYTHON) can't make environments; on Debian and Ubuntu: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@echo "Installing lerf-wild and what it needs (the first time takes some minutes and 8 GB)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $(STAMP)

demo: setup ## make a habitat, train on it, ask for phrases, export clouds (15 to 30 minutes on two cores)
	$(BIN)/lerf-wild demo --output-dir outputs/demo

test: setup ## lint and test
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -m "not slow" $(PYTEST_FLAGS)

test-slow: setup ## the long tests, those in a browser among them
	$(BIN)/python -m pytest -m slow $(PYTEST_FLAGS)

lint: setup ## check style without changing anything
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## put the code into the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
