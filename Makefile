# Everything that people and CI do with this repository. `make help` lists it.

PYTHON ?= python3
VENV := .venv
PLOTS_PAGE := .dvc/plots.html
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --fork-strategy fewest
# Commands of the environment come first; DVC starts the stages with this `python`.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# With it, Python would not look for `stages` and `commands` here.
unexport PYTHONSAFEPATH

# An environment cannot be moved: its programs name the folder that they were made in.
$(shell test ! -s $(VENV)/ready || test "$$(cat $(VENV)/ready)" = "$$(pwd -P)" || rm -rf $(VENV))

.DEFAULT_GOAL := help
.PHONY: help setup repro resolve verify bench review check-lock reproduce check-metrics ci \
  browser lint test test-all fuzz lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/ready $(PLOTS_PAGE) ## make the environment alone

repro: $(VENV)/ready $(PLOTS_PAGE) ## set up, run what is out of date of the pipeline, show the result
	@python -m commands check-params
	dvc repro
	@echo
	@dvc metrics show --precision 4 --md metrics/test.json
	@test -z "$$(git status --porcelain dvc.lock metrics plots)" || echo "To keep these results, \`git add params.yaml dvc.lock metrics plots\` and commit: DVC's hint leaves some out"
	@python -m commands check-lock --outlook
	@echo "Pictures: plots/*.png"
	@echo "Change params.yaml, run it again, and compare: . $(VENV)/bin/activate && dvc metrics diff"

resolve: $(VENV)/ready ## after a merge, once params.yaml is resolved by hand: make the results anew
	python -m commands resolve

verify: $(VENV)/ready ## hash results and cache again: is a byte damaged? is dvc.lock up to date?
	python -m commands verify
	python -m commands check-lock

bench: $(VENV)/ready ## time the pipeline beside the tutorials' script and `model.fit` (10 to 20 minutes)
	dvc repro --quiet download
	python -m benchmarks

# What a change is compared with; REV... is where it branched off from REV.
BASE ?=
HEAD ?= workspace
export BASE HEAD

review: $(VENV)/ready ## report what changed since BASE, and whether it is real: review/
	python -m commands write-review --base "$$BASE" --head "$$HEAD"

check-lock: $(VENV)/ready ## does dvc.lock fit code, params and results? needs no data
	python -m commands check-lock

# Of every other dvc.yaml, the stages run that its dvc.lock records otherwise than in BASE; ALL=1 runs
# all of them. CACHED=1 takes those with known inputs from DVC's run cache: quick, no proof.
REPRODUCE_OPTIONS = $(if $(ALL),--all-pipelines) $(if $(CACHED),$(if $(FRESH),,--run-cache))

reproduce: $(VENV)/ready ## run the pipeline on a clean copy of HEAD: the same bytes?
	python -m commands reproduce --base "$$BASE" $(REPRODUCE_OPTIONS)

check-metrics: $(VENV)/ready ## has a metric got worse than review.yaml allows?
	python -m commands check-metrics --base "$$BASE" --head "$$HEAD"

ci: $(VENV)/ready ## check-lock, reproduce, check-metrics and review, each even if another fails
	python -m commands ci --base "$$BASE" --head "$$HEAD" $(REPRODUCE_OPTIONS)

browser: $(VENV)/ready ## fetch the headless browser of the tests, without root
	python -m tests.review.browser

lint: $(VENV)/ready
	ruff check
	ruff format --check
	mypy

# In two processes, which suits the smallest machines; each takes one test at a time, since some of
# them take minutes.
test: lint ## set up, then lint, type-check and run the tests that take seconds (some minutes)
	pytest -m "not slow" -n 2 --maxschedchunk 1 --durations 15

test-all: lint ## the same with the tests that take minutes: emulated processors, this README
	pytest -n 2 --maxschedchunk 1 --durations 40

# Each of the 14 tests takes as many cases.
fuzz: $(VENV)/ready ## a million damaged files, each of which must be read or named in one line (hours)
	FUZZ_CASES="$${FUZZ_CASES:-75000}" pytest -n 2 -m slow tests/project/test_fuzz.py

$(VENV)/ready: requirements/all.lock requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed; name it: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || \
	  { echo "this Python has no venv: install it (Debian: python3-venv), or name another: make PYTHON=…"; exit 1; }
	@echo "Setting up the environment in $(VENV) (once, about half a minute)"
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes --compile-bytecode requirements/all.lock
	@pwd -P > $@

# The page of `dvc plots`, which opens without a network.
$(PLOTS_PAGE): requirements/all.lock commands/plots_page.py commands/review/charts.py | $(VENV)/ready
	@python -m commands plots-page

lock: $(VENV)/ready ## write the lock files anew from pyproject.toml
	uv pip compile $(LOCK) pyproject.toml -o requirements/pipeline.lock $(UPGRADE)
	uv pip compile $(LOCK) pyproject.toml --group dev -c requirements/pipeline.lock -o requirements/all.lock $(UPGRADE)
	grep -A 30 '^uv==' requirements/all.lock | awk 'NR == 1 || /--hash/ {print} NR > 1 && !/--hash/ {exit}' > requirements/uv.lock

# A folder with a pipeline of its own brings its targets along.
-include */targets.mk

clean: ## delete results and environment; DVC's cache stays
	rm -rf $(filter-out data/README.md,$(wildcard data/* data/.partial.*)) models $(VENV)
