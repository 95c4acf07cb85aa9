# Everything that is done to this project, on a machine with nothing but Python 3.11 or newer, pip and make.

PYTHON ?= python3

# torch goes first, in a build that suits the machine: with an NVIDIA GPU the index's own build (CUDA on Linux), without one the
# CPU build. PyPI itself serves no CPU build for Linux: point pip at PyTorch's index of them, or several GB come unasked:
#     make demo TORCH_ARGS="--index-url <PyTorch's CPU index>"
TORCH ?= torch==2.13.0
TORCH_ARGS ?=
HAS_GPU := $(shell nvidia-smi --list-gpus 2>/dev/null | grep --count GPU)

# More arguments for pytest: make test PYTEST_ARGS="-k sinkhorn"
PYTEST_ARGS ?=

# More arguments for the benchmarks: make bench BENCH_ARGS="--rows linear ties --repeats 1"
BENCH_ARGS ?=

# How often `make soak-resume` kills its run; and what: SOAK_ARGS="--executor ray --log kills.jsonl" an experiment on Ray
KILLS ?= 100
SOAK_ARGS ?=

# How often `make soak-memory` does the demonstration's sweep; each time a minute on an idle core
ROUNDS ?= 20

# How often `make faults` lets each command meet each fault
TIMES ?= 8

# How long `make fuzz` gives to each of the parsers, and which ones: make fuzz FUZZ_ARGS="--parsers safetensors config"
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
ORACLE := .venv-oracle/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev demo test test-cluster coverage fuzz audit lock soak-resume soak-memory ray-demo faults bench bench-inference \
    bench-adapt bench-statistics docs notebook dist oracle lint types check format clean

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## Run the whole job on embedded models and data, into demo/
	$(BIN)/sprachbund demo --output-dir demo

test: $(INSTALLED_DEV)  ## Run the tests, one process per core, without the network
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

# In two processes: jobs of Slurm would inherit what Ray leaves in the environment of the first.
test-cluster: $(INSTALLED_DEV)  ## Start a Ray and a Slurm (Debian's slurmctld, slurmd, munge) of two nodes each here, and work on them (5 minutes)
	status=0; for folder in tests/executors tests/cluster; do \
	    HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster $$folder $(PYTEST_ARGS) || status=1; \
	done; exit $$status

coverage: $(INSTALLED_DEV)  ## Run the tests and say which lines of the package none of them runs
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term $(PYTEST_ARGS)

fuzz: $(INSTALLED_DEV)  ## Let atheris look for what breaks a parser, FUZZ_SECONDS=60 each (45 minutes)
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

audit: $(INSTALLED_DEV)  ## See that requirements.lock fits pyproject.toml, and ask osv.dev about what is in it
	$(BIN)/python tools/check_lock.py

# torch comes first, in the build that suits the machine (see above); what is left out here comes with its CUDA build alone.
LOCK_APART := torch triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc \
    cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)
lock: $(INSTALLED_DEV)  ## Write requirements.lock anew: a version and its hashes for all that pyproject.toml asks for
	$(BIN)/python -m pip install --quiet uv
	echo "$(TORCH)" | $(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --constraint - \
	    --generate-hashes --no-annotate --no-emit-index-url --no-emit-find-links --upgrade \
	    --custom-compile-command "make lock" $(addprefix --no-emit-package ,$(LOCK_APART)) --output-file requirements.lock

soak-resume: $(INSTALLED_DEV)  ## Kill a small run at KILLS=100 random moments and compare with one left alone (1 hour)
	PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/soak_resume.py --kills $(KILLS) $(SOAK_ARGS)

soak-memory: $(INSTALLED_DEV)  ## Do the demonstration's sweep ROUNDS=20 times in one process: what does it keep? (half an hour)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/soak_memory.py --rounds $(ROUNDS)

ray-demo: $(INSTALLED_DEV)  ## Do the demonstration's 156 cells on two Ray nodes, lose one half-way, compare with a local run (5 minutes)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 PYTHONPATH=$(CURDIR)/tests:$(CURDIR)/tools $(BIN)/python tools/ray_demo.py

faults: $(INSTALLED_DEV)  ## Bring about faults (disk, memory, sources, clock, signals) TIMES=8 each, in build/faults.jsonl (a quarter of an hour)
	PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/inject_faults.py --times $(TIMES)

bench: $(INSTALLED_DEV) $(ORACLE)  ## Compare with mergekit on seven checkpoints of XLM-R base's shape, in bench/ (10 GB, 1.5 hours)
	PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/bench.py --folder bench --oracle .venv-oracle $(BENCH_ARGS)

bench-inference: $(INSTALLED_DEV)  ## Compare batches and precisions on a classifier of XLM-R base's shape (30 minutes)
	$(BIN)/python tools/bench_inference.py $(BENCH_ARGS)

bench-adapt: $(INSTALLED_DEV)  ## Adapt ten sources of XLM-R base's shape to 1,000 texts, in bench-adapt/ (15 GB, 15 minutes)
	PYTHONPATH=$(CURDIR)/tests $(BIN)/python tools/bench_adapt.py --folder bench-adapt $(BENCH_ARGS)

bench-statistics: $(INSTALLED_DEV)  ## Time the statistics of a report on made-up answers of MASSIVE's size; too slow is an error (2 minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tools/bench_statistics.py

docs: $(INSTALLED_DEV)  ## Build the documentation as a site, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

notebook: $(INSTALLED_DEV)  ## Run the notebook on tiny embedded models, from merge to plot
	SPRACHBUND_DEMO_SIZE=tiny $(BIN)/jupyter execute docs/notebooks/from-merge-to-plot.ipynb

dist: $(INSTALLED_DEV)  ## Build the wheel and the source distribution, in dist/, and check what PyPI will show
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_description.py dist/*

oracle: $(ORACLE)  ## Put mergekit into .venv-oracle, so that the tests of its recipes ask it, too

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
	rm -rf .venv build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* htmlcov
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: written last, so that an installation that was cut off is done again.

$(INSTALLED): pyproject.toml | $(BIN)/python
ifeq ($(or $(HAS_GPU),0),0)
	$(BIN)/python -m pip install $(TORCH_ARGS) "$(TORCH)+cpu" || { \
	    echo "No CPU build of $(TORCH) on this package index: taking its own build. See TORCH_ARGS in the Makefile." >&2; \
	    $(BIN)/python -m pip install $(TORCH_ARGS) "$(TORCH)"; }
else
	$(BIN)/python -m pip install $(TORCH_ARGS) "$(TORCH)"
endif
	$(BIN)/python -m pip install --editable .
	@touch $@

$(INSTALLED_DEV): pyproject.toml $(INSTALLED)
	$(BIN)/python -m pip install --editable ".[dev]"
	@touch $@

# mergekit is what we measure ourselves against, and nothing of it is used: it has an environment of its own.
$(ORACLE):
	$(PYTHON) -m venv .venv-oracle
	.venv-oracle/bin/python -m pip install $(TORCH_ARGS) "$(TORCH)+cpu" || .venv-oracle/bin/python -m pip install $(TORCH_ARGS) "$(TORCH)"
	.venv-oracle/bin/python -m pip install mergekit==0.1.5
	@touch $@

# Some distributions split ensurepip off: there, an outer pip puts a pip into the environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: sprachbund needs Python 3.11 or newer, and $(PYTHON) gives: $$($(PYTHON) --version 2>&1)." \
	         "Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv || { $(PYTHON) -m venv --clear --without-pip .venv && \
	    $(PYTHON) -m pip --python $(BIN)/python install pip; }
