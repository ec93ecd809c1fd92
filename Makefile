# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TRITON := .venv-triton/ready.txt
PYMILVUS26 := .venv-pymilvus-2.6/ready.txt
NIGHTLY := .venv-nightly/ready.txt
MODELS ?= models
# More options of pip, as --no-compile.
PIP_OPTIONS ?=
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS)

.PHONY: demo test check lint types unit integration nightly compatibility docs bench triton lock sbom clean

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

# Long sets of what the tests try few of: checkpoints of random layouts, thousands of long texts on one core,
# random requests and statements; and exports that are verified in full.
# Then what needs packages of an environment of its own: Delta and Lance tables, Spark (Java 17), and PostgreSQL
# read by DuckDB.
nightly: $(READY) $(TRITON) $(NIGHTLY) compatibility
	NESTVEC_EXAMPLES=100 $(BIN)/pytest integration_tests/verify $(addprefix plugin/tests/service/, \
		api/test_openapi.py preprocess/test_tokenizer.py)
	NESTVEC_STATEMENTS=3000 $(BIN)/pytest integration_tests/test_sql_relational.py
	NESTVEC_VERIFY=full $(BIN)/pytest -m 'nightly or not nightly' exporters/tests
	$(BIN)/pytest -m nightly integration_tests plugin/tests schemas/tests
	$(dir $(NIGHTLY))bin/python -m pytest plugin/tests/bulk \
		$(addprefix integration_tests/test_,spark.py sql_postgres.py)

# The tests that call Milvus, with pymilvus 2.6: the project's own environment has the newest.
compatibility: $(PYMILVUS26)
	$(dir $(PYMILVUS26))bin/python -m pytest $(addprefix plugin/tests/,milvus collections ingest sql dbapi pgwire) \
		$(addprefix integration_tests/test_,milvus.py milvus_wire.py registration.py collection.py ingest.py \
		sql.py sql_ddl.py sql_select.py sql_exact.py sql_ranking.py sql_writes.py dbapi.py sqlalchemy.py examples.py)

integration: $(READY) $(TRITON)
	$(BIN)/pytest integration_tests

# The site, into site/. Nothing is fetched; a link that leads nowhere fails.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	$(BIN)/python benchmarks/setup.py
	$(BIN)/python benchmarks/serve.py

# The packages of the images, by version and hash: docker/requirements-*.txt, as new as pyproject.toml allows.
lock: $(READY)
	$(BIN)/python tools/lock.py lock

# Bills of materials of the images' packages, as CycloneDX: dist/sbom-*.cdx.json.
sbom: $(READY)
	$(BIN)/python tools/lock.py sbom

# A real Triton over the repository MODELS, on 127.0.0.1:8000 (HTTP), 8001 (gRPC) and 8002 (metrics).
triton: $(TRITON)
	$(BIN)/python tools/triton/server.py run --models $(MODELS)

# By the Python that $(READY) is made with, beside that.
$(TRITON): tools/triton/requirements.txt
	$(PYTHON) tools/triton/server.py setup

$(PYMILVUS26): pyproject.toml tools/environments.py | $(READY)
	$(BIN)/python tools/environments.py pymilvus-2.6
	touch $@

$(NIGHTLY): pyproject.toml tools/environments.py | $(READY)
	$(BIN)/python tools/environments.py nightly
	touch $@

# torch 2.13.0 first and alone: asked for by version, the CPU build is taken where one is at hand.
$(READY): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "nestvec needs Python 3.11 or later"'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) "torch==2.13.0"
	$(INSTALL) --editable ".[dev]"
	touch $@

clean:
	rm -rf site $(VENV) .venv-triton .venv-pymilvus-2.6 .venv-nightly .mypy_cache .ruff_cache .pytest_cache .hypothesis
