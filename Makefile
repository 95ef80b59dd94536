# Every target works in a clean clone: it makes .venv with the pinned tools that it needs, and the
# work is done by Python programs. Only python3 (3.11 or later, with venv), g++, make and perl are
# needed.

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup setup-build setup-dev demo test test-all proof lint pnr pnr-engine bench verilog clean

setup: .venv/sim
setup-build: .venv/build
setup-dev: .venv/dev

.venv/base: pyproject.toml
	$(PYTHON) -m venv .venv
	@touch $@

.venv/sim .venv/build .venv/dev: .venv/base
	$(INSTALL) -e '.[sim]'
	$(if $(filter-out sim,$(@F)),$(INSTALL) -e '.[$(@F)]')
	@touch $@

# A trained model talks, on the compiled chip, checked against the golden model.
demo: setup
	$(BIN)/python -m sterna_sim.demo

# All tests but those that take minutes; with the ten slowest.
test: setup
	$(BIN)/python -m pytest -n 2 -m "not slow" --durations=10

test-all: setup
	$(BIN)/python -m pytest -n 2 --durations=10

# Mutants of the gateware against its benches, and all formal proofs; prints one table.
proof: setup
	$(BIN)/python -m tests.proof

lint: setup-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --level error

# Synthesis, place and route of a board's chip with open tools, for the demo's: bitstreams/ulx3s-85f.
# `make pnr BOARD=icebreaker` is for another one.
BOARD := ulx3s-85f
pnr: setup-build
	$(BIN)/sterna build --board $(BOARD)

# The same of the engine alone, for what a lane costs.
pnr-engine: setup-build
	$(BIN)/python -m sterna_sim.pnr

bench: setup
	$(BIN)/python -m sterna_sim.bench

verilog: setup
	$(BIN)/python -m sterna_sim.verilog

clean:
	rm -rf build
