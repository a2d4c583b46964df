# A machine with python3.11 and make needs nothing else: `make demo`, `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PG ?= 18
ARGS ?=
BIN := .venv/bin


# The official API documents are not part of this repository; say where they are.
CONTRACT_DIR ?= ../shared/contract

.PHONY: demo test chaos mutants bench contract openapi cli-docs fuzz fuzz-intake check format lock clean

demo: .venv/ready
	$(BIN)/tidings demo $(ARGS)

# Four, since many tests wait for processes: each takes a quarter of the files in order, and what others have not begun.
# make test PG=16 ARGS="tests/house -x"
test: .venv/ready
	TIDINGS_TEST_PG=$(PG) $(BIN)/pytest -n 4 --dist worksteal $(ARGS)

# make bench ONLY="fanout email" ARGS="--scale 0.1"; what they measure stands in benchmarks/README.md
ONLY ?=
bench: .venv/ready
	$(BIN)/python -m benchmarks $(ONLY) $(ARGS)

# Storms: whole installations under random kills, freezes and misbehaving providers; a table at the end, 1 when
# anything was lost or doubled.    make chaos SEEDS=200    make chaos ARGS="--seed 594 --logs /tmp/storm"
SEEDS ?= 20
chaos: .venv/ready
	TIDINGS_TEST_PG=$(PG) $(BIN)/python -m tests.chaos.storm --seeds $(SEEDS) $(ARGS)

# Takes the guards of tests/mutants/guards.toml out of a copy, one by one: each must turn its tests red.
# make mutants ARGS="--only epoch-at-the-intent"
mutants: .venv/ready
	$(BIN)/python -m tests.mutants $(ARGS)

# Bodies that are nearly right, for each kind of sender: ten minutes for ten thousand of each; a line for each kind.
BODIES ?= 10000
fuzz-intake: .venv/ready
	TIDINGS_TEST_PG=$(PG) TIDINGS_FUZZ_BODIES=$(BODIES) $(BIN)/pytest tests/intake/test_fuzz.py -s -q $(ARGS)

contract: .venv/ready
	TIDINGS_CONTRACT_SPECS=$(abspath $(CONTRACT_DIR)) $(BIN)/pytest tests/contract $(ARGS)

# Writes the description of the API from the route table, the models and the handlers.
openapi: .venv/ready
	$(BIN)/python -m dispatcher.web.openapi docs/openapi.json

# Writes the reference of the command line from the commands themselves.
cli-docs: .venv/ready
	$(BIN)/python -m dispatcher.cli.manual docs/cli.md

# What schemathesis does in a few seconds of the tests, for as long as wanted: make fuzz EXAMPLES=500
EXAMPLES ?= 100
fuzz: .venv/ready
	TIDINGS_TEST_PG=$(PG) TIDINGS_TEST_EXAMPLES=$(EXAMPLES) $(BIN)/pytest tests/api/test_schemathesis.py \
		--timeout 7200 $(ARGS)

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The environment is as old as the lock: a changed lock builds it anew.
.venv/ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# Writes both locks from pyproject.toml; the second holds the first and the tools.
LOCK := $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: .venv/ready
	$(BIN)/pip install --quiet --disable-pip-version-check pip-tools
	$(LOCK) --output-file requirements.lock pyproject.toml
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["dev"], sep="\n")' \
		> .venv/dev.in
	$(LOCK) --constraint requirements.lock --output-file requirements-dev.lock pyproject.toml .venv/dev.in

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
