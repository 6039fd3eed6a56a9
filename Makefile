# Everything one does with this repository. `make help` lists it.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# Stamps, so that a second run installs nothing. They live in the environment:
# without it they are gone too.
RUN := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
# Extra words for pytest: make test ARGS="-k resume"
ARGS :=
# The Python to make the environment with, if not the first that will do.
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What the load tests run on: an environment of their own, and the bundle for k6.
LOADTEST_VENV := build/loadtest/venv/.installed
LOADTEST_K6 := build/loadtest/k6.js

# The client's needs are locked, the client is not: it comes from this repository, and no
# hash can be known of a directory.
UV_COMPILE = $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-emit-package tickfan-client \
	--custom-compile-command "make lock" $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup run test check architecture layouts bench fuzz soak hostile loadtest-k6 loadtest-locust lock clean

help: ## show this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' Makefile | while IFS='	' read -r name what; do \
		printf '  make %-16s %s\n' "$$name" "$$what"; done

setup: $(RUN) ## make .venv with the service in it: .venv/bin/tickfan

run: $(RUN) ## start the service on http://localhost:8080 with its own broker and a simulated market
	@TICKFAN_LOG__FORMAT=$${TICKFAN_LOG__FORMAT:-console} exec $(BIN)/tickfan serve --demo --config config/tickfan.toml

test: $(DEV) ## get what the tests need, check, and run all tests (ARGS="-k resume": some)
	@scripts/system-packages
	@$(MAKE) --no-print-directory --keep-going $(LOADTEST_VENV) $(LOADTEST_K6) || [ "$$CI" != true ]
	@$(MAKE) --no-print-directory check
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV) ## lint, format, types and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

architecture: $(DEV) ## draw docs/architecture.svg anew, from the import contracts in pyproject.toml
	@$(BIN)/python scripts/architecture.py

layouts: $(DEV) ## write the table of layouts in docs/replay.md anew, from the table of the tests
	@$(BIN)/python scripts/layouts.py

bench: $(DEV) ## measure beside its peers: ARGS="--quick --shapes A,B" (two cores, RabbitMQ, half an hour); in turns with another build: ARGS="--quick --vs 0.1.0"
	@$(BIN)/python -m loadtest.bench $(ARGS)

fuzz: $(DEV) ## give every decoder nearly good input for two minutes (ARGS="--seconds 600 --only frames cursor")
	@PYTHONPATH=service:.:clients/python $(BIN)/python -m tests.fuzz $(ARGS)

soak: $(DEV) ## break it for minutes: 1,000,000 messages, 200 faults (ARGS="--messages 100000 --faults 20")
	@$(BIN)/python -m loadtest.soak $(ARGS)

hostile: $(DEV) ## attack it for half a minute beside 200 healthy clients (ARGS="--seconds 10")
	@$(BIN)/python -m loadtest.hostile $(ARGS)

loadtest-k6: $(LOADTEST_VENV) $(LOADTEST_K6) ## WebSocket clients with limits, against TICKFAN_LOAD_HOST (loadtest/README.md)
	@loadtest/k6/run $(ARGS)

loadtest-locust: $(LOADTEST_VENV) ## SSE and WebSocket clients, against TICKFAN_LOAD_HOST (loadtest/README.md)
	@loadtest/locust/run --headless $(ARGS)

lock: $(DEV) ## write both locks anew (ARGS=--upgrade: with the newest versions)
	$(UV_COMPILE) --output-file requirements.lock
	$(UV_COMPILE) --extra dev --constraint requirements.lock --output-file requirements-dev.lock
	$(BIN)/python -c 'import tomllib; print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))' \
		| $(UV_COMPILE:pyproject.toml=-) --output-file requirements-build.lock
	$(UV_COMPILE:pyproject.toml=loadtest/requirements.in) --output-file loadtest/requirements.lock

clean: ## remove .venv and everything that was made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis \
		.import_linter_cache loadtest/k6/node_modules scripts/page/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The tests' lock holds the service's: whoever has the one need not get the other.
$(DEV): requirements-dev.lock pyproject.toml clients/python/pyproject.toml
	@scripts/install requirements-dev.lock
	@touch $(DEV) $(RUN)

$(RUN): requirements.lock pyproject.toml clients/python/pyproject.toml
	@scripts/install requirements.lock
	@touch $(RUN)

$(LOADTEST_VENV): loadtest/requirements.lock
	@loadtest/install

$(LOADTEST_K6): loadtest/k6/package.json loadtest/k6/package-lock.json $(wildcard loadtest/k6/src/*.js)
	@loadtest/k6/bundle
