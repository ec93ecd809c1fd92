# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRITON := .venv-triton/ready.txt
MODELS ?= models

.PHONY: demo test check lint types unit integration nightly docs bench triton clean

demo: $(READY)
	$(BIN)/nestvec demo

test: $(READY) $(TRITON)
	$(BIN)/python tools/run_tests.py

check: lint types test

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY)
	$(BIN)/mypy

unit: $(READY)
	$(BIN)/pytest tests schemas exporters plugin

# Long sets of what the tests try few of: checkpoints of random layouts, thousands of long texts on one core.
nightly: $(READY) $(TRITON)
	NESTVEC_EXAMPLES=100 $(BIN)/pytest integration_tests/verify
	$(BIN)/pytest -m nightly integration_tests

integration: $(READY) $(TRITON)
	$(BIN)/pytest integration_tests

# The site, into site/. Nothing is fetched; a link that leads nowhere fails.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	$(BIN)/python benchmarks/setup.py
	$(BIN)/python benchmarks/serve.py

# A real Triton over the repository MODELS, on 127.0.0.1:8000 (HTTP), 8001 (gRPC) and 8002 (metrics).
triton: $(TRITON)
	$(BIN)/python tools/triton/server.py run --models $(MODELS)

$(TRITON): tools/triton/requirements.txt | $(READY)
	$(BIN)/python tools/triton/server.py setup

# torch 2.13.0 first and alone: asked for by version, the CPU build is taken where one is at hand.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "nestvec needs Python 3.11 or later"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "torch==2.13.0"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf site $(VENV) .venv-triton .mypy_cache .ruff_cache .pytest_cache .hypothesis
