# Everything that people and CI do with this repository. `make help` lists it.

PYTHON ?= python3
VENV := .venv
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --fork-strategy fewest
# Commands of the environment come first; DVC starts the stages with this `python`.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup repro published test lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready ## make the environment alone

repro: $(VENV)/ready ## set up, run what is out of date of the pipeline, show the result
	@python -m commands.check_params
	dvc repro
	@echo
	@dvc metrics show --precision 4 --md metrics/test.json
	@echo "Pictures: plots/*.png    Compare with a commit: dvc metrics diff HEAD~1"

published: $(VENV)/ready ## reproduce the tutorials' results: every recipe with every seed
	dvc repro published/dvc.yaml
	@cat published/table.md

test: $(VENV)/ready ## set up, then lint, type-check and run all tests
	ruff check
	ruff format --check
	mypy
	pytest

$(VENV)/ready: requirements/all.lock requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it: make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "this Python has no venv: install it (Debian: python3-venv), or name another: make PYTHON=…"; exit 1; }
	@echo "Setting up the environment in $(VENV) (once, about half a minute)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements/all.lock
	@touch $@

lock: $(VENV)/ready ## write the lock files anew from pyproject.toml
	uv pip compile $(LOCK) pyproject.toml -o requirements/pipeline.lock $(UPGRADE)
	uv pip compile $(LOCK) pyproject.toml --group dev -c requirements/pipeline.lock -o requirements/all.lock $(UPGRADE)
	grep -A 30 '^uv==' requirements/all.lock | awk 'NR == 1 || /--hash/ {print} NR > 1 && !/--hash/ {exit}' > requirements/uv.lock

clean: ## delete results and environment; DVC's cache stays
	rm -rf data models $(VENV)
