# One entry for everything. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_TARGETS := $(notdir $(basename $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_SECONDS ?= 60
RUST_SOURCES := $(shell find crates -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock

.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z-]*:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(BIN)/roost-proxy ## system packages (Debian/Ubuntu as root), virtual environment, Rust build

demo: setup ## the whole story with real programs (KEEP=1 leaves it running)
	@KEEP=$(KEEP) $(BIN)/python scripts/demo.py

test: check ## set up and run every test
	cargo test --locked --workspace --quiet
	$(BIN)/python -m pytest -n 3 --dist loadfile

check: setup ## formatting, linters and types, in both languages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --quiet -- -D warnings

bench: setup ## measure wake-up, added latency and ten thousand sleepers; prints a table
	$(BIN)/python benches/run.py

fuzz: ## every fuzz target for FUZZ_SECONDS (60) with cargo-fuzz and a nightly compiler; what is found is in fuzz/target/found
	cargo +nightly fuzz build
	@for target in $(FUZZ_TARGETS); do mkdir -p fuzz/target/found/$$target && cargo +nightly fuzz run $$target \
		fuzz/target/found/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) || exit 1; done

docs: setup ## regenerate the pages that are made from code
	$(BIN)/python scripts/gen_cli_docs.py
	$(BIN)/python scripts/gen_access_docs.py
	$(BIN)/python scripts/gen_fly_toml_docs.py

clean: ## remove what was built
	rm -rf $(VENV) target dist

$(VENV)/.packages: scripts/packages.sh
	@scripts/packages.sh
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.python: requirements-dev.lock $(VENV)/.packages
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(BIN)/roost-proxy: $(VENV)/.python pyproject.toml $(RUST_SOURCES)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: help setup demo test check bench fuzz docs clean
