# `make run` and `make test` need only Python 3.11 to 3.13; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint types unit fuzz bench soak screenshots lock clean

# With JOURNAL=1, the demo keeps its lines for the next start.
run: .venv/ready-run
	@exec $(BIN)/natstream demo $(if $(JOURNAL),--journal)

test: lint types unit

lint: .venv/ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready-dev
	$(BIN)/mypy

# Runs one test more than there are cores at the same time, because a test also waits. With more of
# them the browsers are so slow that tests run out of time. WORKERS=0 runs one after the other. The order is that of conftest.py, which starts the long tests first.
WORKERS ?= $(shell expr 1 + $$(getconf _NPROCESSORS_ONLN))
unit: .venv/ready-dev
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=loadgroup --no-loadscope-reorder \
	  --max-worker-restart=2

# Runs the property tests for hours, on every core. K=test_fly runs only a part of them.
fuzz: .venv/ready-dev
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest --numprocesses=logical -m hypothesis $(if $(K),-k $(K))

# Compares natstream with nchan, sse-starlette and bare sockets. For a part of the benchmarks:
# ARGS="loads --loads 100x200 --seconds 5".
bench: .venv/ready-dev benchmarks/.venv/ready
	$(BIN)/python -m benchmarks $(ARGS)

# Takes the pictures of the page for the documentation. Needs chromium, and fonts for CJK and emoji.
screenshots: .venv/ready-dev
	$(BIN)/python -m tests.page.screenshots

benchmarks/.venv/ready: benchmarks/requirements.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

# Measures natstream under faults. ARGS="stall closing" causes only these faults; ARGS=--write writes the
# figures into docs/.
MINUTES ?= 5
soak: .venv/ready-dev
	$(BIN)/python -m benchmarks.soak --minutes $(MINUTES) $(ARGS)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "natstream needs Python 3.11 to 3.13; say which: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

# The build's own tools come from the locks too, so pip must not fetch others (--no-build-isolation).
.venv/ready-run: .venv/bin/python requirements/demo.txt requirements/build.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements/demo.txt -r requirements/build.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/ready-dev: .venv/bin/python requirements/dev.txt pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@ .venv/ready-run

# Locks all versions with hashes, for every Python that we support. Needs uv (pip install uv).
# The image has the extra otlp, because exporters send protobuf by default, and it takes 3 MB.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
	  --no-header --extra otlp pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
	  --no-header --extra demo --extra otlp pyproject.toml -c requirements/run.txt -o requirements/demo.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
	  --no-header --extra dev pyproject.toml -c requirements/run.txt -o requirements/dev.txt
	echo hatchling | uv pip compile --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --quiet --no-header --no-annotate - -c requirements/dev.txt \
	  -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet \
	  --no-header benchmarks/requirements.in -o benchmarks/requirements.txt

clean:
	rm -rf .venv benchmarks/.venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
