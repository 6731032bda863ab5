# make demo    the main job on films that come along: trains, rebuilds, compares; says what to open
# make test    unit tests, plans, and a tiny real run of the whole chain
# make lint    style of the code and of the workflow
# make fuzz    2,000 mutated films: whole frames or one line; COUNT=n, SEED=n
# make bench   the figures of benchmarks/README.md, measured here; FILM=path for a film of your own
# Each sets up what it needs in .venv first. Needs Python 3.11 or newer, and make.

SHELL := /bin/bash
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONPATH := $(CURDIR)/workflow/scripts

.PHONY: demo test lint fuzz bench clean-demo

demo: .venv/run
	snakemake demo --configfile config/demo.yaml --cores $(CORES)
	@echo
	@echo "A network has watched ten seconds of film for a few minutes. Open:"
	@echo "  results/comparisons/demo-bikes.mp4     what it watched, beside what it remembers"
	@echo "  results/comparisons/demo-bunny.mp4     a film that it has never seen"
	@echo "  results/comparisons/demo-whitney.mp4   an abstract film that it has never seen, with sound"
	@echo "  results/stills/bikes_by_bikes.png      the same, to look at in peace"
	@echo "  results/models/bikes/training.mp4      how the memory formed;  training.png: how the training went"

test: .venv/dev
	python -m pytest -q tests

lint: .venv/dev
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint

fuzz: .venv/dev
	python -m tests.fuzz $(or $(COUNT),2000) $(or $(SEED),1)

bench: .venv/dev
	python -m benchmarks $(FILM)

clean-demo:
	rm -rf results/demo results/*/demo-*.mp4 results/models/bikes results/*_by_bikes.mp4 results/*/*_by_bikes.*

# A stamp stands for a finished installation: an interrupted one is done again.
.venv/run: requirements.txt
	$(call install,requirements.txt)

.venv/dev: requirements-dev.txt requirements.txt
	$(call install,requirements-dev.txt)
	touch .venv/run

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "refilm needs Python 3.11 or newer: make PYTHON=python3.12 $@")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $(1)
	touch $@
endef
