# Two commands from a fresh clone: `make quickstart` runs the main job, `make test` the tests.
# On Linux, a plain `torch` brings gigabytes of CUDA. For the CPU build:
#   make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
TORCH_OPTION := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
TEST_PROCESSES ?= 2
HTTP_PORT ?= 3000
GRPC_PORT ?= 3001
PROTO := gnas_serve/service/proto

.PHONY: help install dev quickstart check test format proto wheel clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gnas-serve needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# The kernels are compiled where they are installed; where there is no compiler, numpy does their work.
$(VENV)/.all: pyproject.toml constraints.txt hatch_build.py $(wildcard gnas_serve/kernels/src/*) | $(BIN)/python
	@echo "installing gnas-serve[all] into $(VENV) ..."
	@$(PIP) $(TORCH_OPTION) torch
	@$(PIP) --editable '.[all]'
	@touch $@

$(VENV)/.dev: $(VENV)/.all
	@echo "installing the development tools into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@

install: $(VENV)/.all  ## set up .venv with everything that users need

dev: $(VENV)/.dev  ## the same and the development tools

quickstart: $(VENV)/.all  ## sample -> search -> train -> export -> build -> serve -> one answer from each door
	$(BIN)/gnas-serve quickstart --out build --http-port $(HTTP_PORT) --grpc-port $(GRPC_PORT)

check: $(VENV)/.dev  ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Many tests start commands, each of which would compile what it loads where Python is told to write nothing down.
test: $(VENV)/.dev  ## the tests, benchmarks left out
	@$(BIN)/python -m compileall -q gnas_serve search export
	$(BIN)/pytest --ignore=tests/bench --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

format: $(VENV)/.dev  ## put the code into its one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

wheel: $(VENV)/.dev  ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what was made, the environment left alone
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
