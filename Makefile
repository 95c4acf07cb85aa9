# Everything that is done to this project, on a machine with nothing but Python 3.11 or newer, pip and make.

PYTHON ?= python3

# torch goes first, in a build that we choose. Where the package index serves a CUDA build by default (several GB) and there
# is no NVIDIA GPU, point pip at PyTorch's index of CPU builds:
#     make demo TORCH_ARGS="--index-url <PyTorch's CPU index>"
TORCH ?= torch==2.13.0
TORCH_ARGS ?=

# More arguments for pytest: make test PYTEST_ARGS="-k sinkhorn"
PYTEST_ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev demo test e2e lint types check format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## Run the whole job on embedded models and data, into demo/
	$(BIN)/sprachbund demo --output-dir demo

test: $(INSTALLED_DEV)  ## Run the tests, one process per core, without the network
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --ignore tests/e2e $(PYTEST_ARGS)

e2e: $(INSTALLED_DEV)  ## Type every command of the README, on tiny embedded models, one after the other (7 minutes)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/e2e

lint: $(INSTALLED_DEV)  ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)  ## Check types
	$(BIN)/mypy

check: lint types test  ## Check all of it

format: $(INSTALLED_DEV)  ## Mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: $(INSTALLED)  ## Make .venv with what the program needs

install-dev: $(INSTALLED_DEV)  ## Make .venv with what the tests and checks need too

clean:  ## Remove .venv, caches and build folders; results and models stay
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: written last, so that an installation that was cut off is done again.

$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install $(TORCH_ARGS) "$(TORCH)"
	$(BIN)/python -m pip install --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install --editable ".[dev]"
	@touch $@

# Some distributions split ensurepip off: there, an outer pip puts a pip into the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: sprachbund needs Python 3.11 or newer, and $(PYTHON) gives: $$($(PYTHON) --version 2>&1)." \
	         "Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --clear --without-pip .venv && \
	    $(PYTHON) -m pip --python $(BIN)/python install pip; }
