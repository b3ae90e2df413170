# SoterOne. `make` or `make help` says what there is.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help setup demo test lint types contracts contracts-assurance brownie unit integration e2e spread parties chaos iproute \
	gas bench generate lock clean

help:  ## Say what every target does
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready node_modules/.ready  ## Install everything into .venv and node_modules (once; a later run reuses it)

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) scripts/check_python.py
	@echo "· installing the Python packages into $(VENV) (about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

node_modules/.ready: package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer, then run this again"; exit 1; }
	@echo "· installing the chain tools into node_modules (half a minute the first time)"
	@npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

demo: setup  ## Run the main job from registration to cleanup (ARGS="--json FILE", ARGS=--keep, ARGS=--postgres, ARGS="--kill mpc|owner|coordinator|chain")
	@$(BIN)/python -m scripts.demo $(ARGS)

test: setup  ## Pass every test there is
	@echo "· style, types, unit tests and contracts, two at a time (two minutes); each tells when it is done"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target contracts lint types unit
	@$(MAKE) --no-print-directory integration
	@$(MAKE) --no-print-directory e2e
	@echo "all tests passed"

lint: setup  ## Check style, imports between rooms and generated files
	@echo "· checking style and imports"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache >/dev/null || $(BIN)/lint-imports --no-cache

types: setup  ## Check types (mypy --strict)
	@echo "· checking types"
	@$(BIN)/mypy

contracts: setup  ## Test the contracts (Solidity unit, fuzz and invariant tests)
	@echo "· testing the contracts"
	@npm test --silent

brownie: node_modules/.ready .venv-brownie/.ready  ## Compile and test the contracts with Brownie, in an environment of its own (.venv-brownie)
	@echo "· brownie compile, then brownie test on anvil; by hand: source .venv-brownie/bin/activate"
	@.venv-brownie/bin/brownie compile
	@.venv-brownie/bin/brownie test

.venv-brownie/.ready: requirements/brownie.txt scripts/brownie.sh
	@$(PYTHON) scripts/check_python.py
	@echo "· installing Brownie and the old packages that it pins into .venv-brownie (a minute the first time)"
	@test -x .venv-brownie/bin/python || $(PYTHON) -m venv .venv-brownie
	@.venv-brownie/bin/python -m pip install --quiet --quiet --disable-pip-version-check --require-hashes \
		-r requirements/brownie.txt \
		|| { echo "Brownie cannot be installed: check that pip reaches its registry, then run make brownie again"; exit 1; }
	@install -m 755 scripts/brownie.sh .venv-brownie/bin/brownie
	@touch $@

contracts-assurance: setup  ## Prove, fuzz, analyse and mutate the contracts (10 minutes; ARGS="--only proofs slither")
	@$(BIN)/python -m scripts.assurance $(ARGS)

unit: setup  ## Test what needs no socket
	@echo "· unit tests"
	@$(BIN)/pytest -q tests/unit -n 2

integration: setup  ## Test parts against a real chain, real databases and real TLS
	@echo "· integration tests: real chain, databases and TLS on loopback"
	@$(BIN)/pytest -q tests/contracts tests/integration -n 3 --dist loadscope

e2e: setup iproute  ## Test the whole: real processes, the demo, the search of memory, a spread of chaos
	@echo "· end-to-end tests: every party its own process; two halves at once (ten minutes), each tells when it is done"
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target spread parties

# What these two need is made by e2e before: make would run one after the other if the first had to wait for it.
spread: setup
	@echo "· a spread of chaos, in one network"
	@$(BIN)/pytest -q tests/chaos

parties: setup
	@echo "· the demo, with and without a death in it; secrecy; what is refused"
	@$(BIN)/pytest -q tests/e2e

chaos: setup iproute  ## Break everything, one thing at a time (more than an hour; ARGS="--list", ARGS="--only mpc/*/kill")
	@$(BIN)/python -m scripts.chaos $(ARGS)

iproute:
	@command -v ip >/dev/null || { test "$$(id -u)" = 0 && apt-get install -y -qq iproute2 >/dev/null; } \
		|| echo "· iproute2 is missing and cannot be installed: no network link will be cut"

gas: setup  ## Measure gas per named operation, write contracts/gas.json and the gas tables
	@$(BIN)/python -m scripts.gas $(ARGS)
	@$(BIN)/python -m scripts.gas_table

bench: setup  ## Run the benches of the engine and of a query (more in scripts/bench)
	@echo "· the engine against bare SPU"
	@$(BIN)/python -m scripts.bench.engine
	@echo "· one whole query through a network of processes"
	@$(BIN)/python -m scripts.bench.query

generate: setup  ## Regenerate the RPC stubs, the contracts' artifacts and reference, the gas tables
	@$(BIN)/python scripts/generate_rpc.py
	@npm run --silent compile
	@$(BIN)/python -m scripts.contracts_docs
	@$(BIN)/python -m scripts.gas_table

lock: $(VENV)/.ready  ## Pin every dependency again, with hashes
	@PATH=$(BIN):$$PATH scripts/lock.sh

clean:  ## Remove what was installed and built here
	rm -rf $(VENV) .venv-brownie node_modules artifacts cache .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
