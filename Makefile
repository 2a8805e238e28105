# `make` lists the commands. Everything runs in .venv, which `make setup` (a
# part of every other command) makes once from pinned versions.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

BIN := .venv/bin
STAMP := .venv/.ready
PARITY_STAMP := .venv/.parity
LIBTPU_STAMP := .venv/.libtpu
DOCS := .cache/docs
DOCS_STAMP := $(DOCS)/.ready
# A test's compilations are kept on disk; processes beyond the cores only wait.
export JAX_COMPILATION_CACHE_DIR := $(CURDIR)/.cache/jax
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu); echo $$((n < 4 ? n : 4)))
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.PHONY: help
help: ## list the commands
	@grep -E '^[a-z_]+:.*## ' Makefile | sed -E 's/^([a-z_]+):.*## /make \1\t/' \
	  | expand -t 20

.PHONY: setup
setup: $(STAMP) ## make .venv (PYTHON=... chooses the interpreter)

$(STAMP): setup.py .ci/setup $(wildcard constraints/py*.txt)
	@PYTHON='$(PYTHON)' .ci/setup
	@touch $@

# On CPUs XLA takes and returns hundreds of megabytes a step: memory that glibc
# keeps, in huge pages, makes a step of the demo about a quarter faster.
demo demo_full: export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592:glibc.malloc.arena_max=1

.PHONY: demo
demo: setup ## the whole chain on shapes in motion: demo/report.html
	$(BIN)/videopoet demo --profile demo --out demo

.PHONY: demo_full
demo_full: setup ## the same, larger (under two hours): demo_full/report.html
	$(BIN)/videopoet demo --profile demo_full --out demo_full

.PHONY: notebooks
notebooks: setup ## run docs/notebooks anew, in place (ARGS='film MODEL_STEPS=300')
	$(BIN)/python -m tests.docs.notebooks $(ARGS)

.PHONY: test
test: setup lint wheel_test test_suite ## lint, wheel and tests

.PHONY: test_suite
# Continuous integration also compares with other implementations and compiles
# for TPUs; where their packages cannot be installed it says so and goes on.
test_suite: setup ## the tests alone (ARGS='-k name' selects)
	@if [ "$${CI:-}" = true ]; then $(MAKE) --no-print-directory $(PARITY_STAMP) || true; fi
	$(PYTEST) --durations=15 $(ARGS)
	@if [ "$${CI:-}" = true ] && $(MAKE) --no-print-directory $(LIBTPU_STAMP); then \
	  $(MAKE) --no-print-directory test_plans ARGS='-k fits'; fi

.PHONY: test_kills
test_kills: setup ## twenty kills at random moments; resumed runs are equal
	$(BIN)/python -m pytest -s -m kill $(ARGS)

.PHONY: test_processes
test_processes: setup ## runs of 2 and 4 processes equal a run of one
	$(BIN)/python -m pytest -s -m multi_process $(ARGS)

.PHONY: test_parity
test_parity: $(PARITY_STAMP) ## comparisons with PyTorch implementations
	$(PYTEST) -m parity $(ARGS)

$(PARITY_STAMP): $(STAMP) .ci/parity
	@.ci/parity
	@touch $@

.PHONY: test_plans
test_plans: $(LIBTPU_STAMP) ## train steps compiled for TPU slices (installs libtpu)
	PYTHONPATH=.venv/libtpu $(BIN)/python -m pytest -m tpu_aot $(ARGS)

$(LIBTPU_STAMP): $(STAMP) .ci/libtpu
	@.ci/libtpu
	@touch $@

.PHONY: docs
docs: $(DOCS_STAMP) ## the documentation site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

.PHONY: docs_serve
docs_serve: $(DOCS_STAMP) ## the same, served, and built anew at each change
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs serve

$(DOCS_STAMP): constraints/docs.txt .ci/docs
	@PYTHON='$(PYTHON)' .ci/docs
	@touch $@

.PHONY: mutants
mutants: setup ## mutation tests, for hours (MODULES=core/permutation selects)
	@.ci/mutants $(MODULES)

.PHONY: lint
lint: setup ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet . \
	  || { echo 'make format puts these in order:'; $(BIN)/ruff format --check .; }
	$(BIN)/mypy

.PHONY: format
format: setup ## sort imports and format
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

.PHONY: wheel_test
wheel_test: setup ## build the wheel and use it from another folder
	@.ci/wheel_test

.PHONY: clean
clean: ## remove .venv, caches and builds; demo/ stays
	rm -rf .venv .cache build dist ./*.egg-info .ruff_cache
