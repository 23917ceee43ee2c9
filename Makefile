# Everything from a bare machine with python3 (3.10 or newer, with the venv module) and make.
# The first run sets up an environment; stamp files make the next ones start at once.

PYTHON ?= python3
VENV   ?= .venv
BENCH  ?= .venv-bench

# On Linux the torch of PyPI brings gigabytes of CUDA along. For the CPU build only:
#   make test TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"
TORCH      ?= torch==2.13.0
TORCH_ARGS ?=
PYTEST_ARGS ?=
BENCH_ARGS  ?=
PEERS       = torch-pruning==1.6.1 onnxsim==0.8.1 pillow==13.0.0

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench clean

help:
	@echo "make demo       prune, verify and explain the embedded model (base install, no torch)"
	@echo "make test       the fast tests, two workers"
	@echo "make test-slow  the slow tests"
	@echo "make lint       ruff check, ruff format --check, mypy --strict"
	@echo "make format     let ruff rewrite what it can"
	@echo "make bench      compare with other tools, in an environment of its own"
	@echo "make clean      remove environments, caches and build output"

$(VENV)/.created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "irprune needs Python 3.10 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.base: $(VENV)/.created pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e .
	@touch $@

# torch comes first and by itself, at a fixed version: left to the resolver, the newest one is fetched.
$(VENV)/.torch: $(VENV)/.created constraints.txt
	$(PIP) -c constraints.txt $(TORCH_ARGS) "$(TORCH)"
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e ".[dev]"
	@touch $(VENV)/.base $@

demo: $(VENV)/.base
	$(BIN)/irprune demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m "not slow" -n 2 $(PYTEST_ARGS)

# Exit status 5 of pytest means that no test is marked slow.
test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -q -m slow -n 2 $(PYTEST_ARGS) || [ $$? -eq 5 ]

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The other tools are dependencies of the benchmark alone, never of irprune. onnxsim needs Python 3.11.
bench:
	@$(MAKE) --no-print-directory VENV=$(BENCH) $(BENCH)/.peers
	$(BENCH)/bin/python -m benchmarks $(BENCH_ARGS)

$(BENCH)/.peers: $(BENCH)/.torch $(BENCH)/.base Makefile
	$(PIP) -c constraints.txt $(PEERS)
	@touch $@

clean:
	rm -rf $(VENV) $(BENCH) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find irprune passes models tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
