# Everything that people and CI do with this repository. `make help` lists it.

PYTHON ?= python3
VENV := .venv
PLOTS_PAGE := .dvc/plots.html
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --fork-strategy fewest
# Commands of the environment come first; DVC starts the stages with this `python`.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# An environment cannot be moved: its programs name the folder that they were made in.
ifeq ($(shell test ! -f $(VENV)/bin/dvc || grep -cF '$(CURDIR)/$(VENV)/bin/python' $(VENV)/bin/dvc),0)
$(shell rm -rf $(VENV))
endif

.DEFAULT_GOAL := help
.PHONY: help setup repro published verify bench review check-lock reproduce check-metrics ci \
  browser test lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready $(PLOTS_PAGE) ## make the environment alone

repro: $(VENV)/ready $(PLOTS_PAGE) ## set up, run what is out of date of the pipeline, show the result
	@python -m commands.check_params
	dvc repro
	@echo
	@dvc metrics show --precision 4 --md metrics/test.json
	@echo "Pictures: plots/*.png"
	@echo "Change params.yaml, run it again, and compare: . $(VENV)/bin/activate && dvc metrics diff"

published: $(VENV)/ready ## reproduce the tutorials' results: every recipe with every seed
	@test -f published/dvc.yaml || \
	  { echo "no published/dvc.yaml: take the folder back with git, if seeds are to be measured"; exit 1; }
	@python -m commands.check_params
	dvc repro published/dvc.yaml
	@cat published/table.md

verify: $(VENV)/ready ## hash results and cache again: is a byte damaged? is dvc.lock up to date?
	python -m commands.verify
	python -m commands.check_lock

bench: $(VENV)/ready ## time the pipeline beside the tutorials' script (6 to 12 minutes)
	dvc repro --quiet download
	python -m benchmarks

# What a change is compared with; REV... is where it branched off from REV.
BASE ?=
HEAD ?= workspace
export BASE HEAD

review: $(VENV)/ready ## report what changed since BASE, and whether it is real: review/
	python -m commands.review --base "$$BASE" --head "$$HEAD"

check-lock: $(VENV)/ready ## does dvc.lock fit code, params and results? needs no data
	python -m commands.check_lock

# published/, and every other dvc.yaml, takes part if its dvc.lock is another than in BASE; ALL=1
# runs it in any case. FRESH=1 believes no run cache.
reproduce: $(VENV)/ready ## run the pipeline on a clean copy of HEAD: the same bytes?
	python -m commands.reproduce --base "$$BASE" $(if $(ALL),--all-pipelines) $(if $(FRESH),--no-run-cache)

check-metrics: $(VENV)/ready ## has a metric got worse than review.yaml allows?
	python -m commands.check_metrics --base "$$BASE" --head "$$HEAD"

# One at a time and in this order; each is made even if another fails.
ci: $(VENV)/ready ## all that CI asks of a change, and the report
	@status=0; for step in check-lock reproduce check-metrics review; do \
	  $(MAKE) --no-print-directory $$step || status=1; done; exit $$status

browser: $(VENV)/ready ## fetch the headless browser of the tests, without root
	python -m tests.browser

test: $(VENV)/ready ## set up, then lint, type-check and run all tests
	ruff check
	ruff format --check
	mypy
	pytest

$(VENV)/ready: requirements/all.lock requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed; name it: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "this Python has no venv: install it (Debian: python3-venv), or name another: make PYTHON=…"; exit 1; }
	@echo "Setting up the environment in $(VENV) (once, about half a minute)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements/all.lock
	@touch $@

# The page of `dvc plots`, which opens without a network.
$(PLOTS_PAGE): requirements/all.lock commands/offline_plots.py commands/plots.py | $(VENV)/ready
	@python -m commands.offline_plots

lock: $(VENV)/ready ## write the lock files anew from pyproject.toml
	uv pip compile $(LOCK) pyproject.toml -o requirements/pipeline.lock $(UPGRADE)
	uv pip compile $(LOCK) pyproject.toml --group dev -c requirements/pipeline.lock -o requirements/all.lock $(UPGRADE)
	grep -A 30 '^uv==' requirements/all.lock | awk 'NR == 1 || /--hash/ {print} NR > 1 && !/--hash/ {exit}' > requirements/uv.lock

clean: ## delete results and environment; DVC's cache stays
	rm -rf data models $(VENV)
