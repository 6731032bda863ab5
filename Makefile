# Every target sets up what it needs in .venv first. Needs Python 3.11 or newer, and make.

SHELL := /bin/bash
PYTHON ?= python3
CORES ?= $(shell $(PYTHON) -c "import os; print(os.cpu_count())")
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help demo models watch test test-unit test-slurm test-browser test-faults lint generate fuzz bench clean-demo

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/run ## train a small network on 18 seconds of film and reconstruct three films with it
	snakemake demo --configfile config/demo.yaml --cores $(CORES)
	@echo
	@echo "Done. Open results/gallery/index.html in a browser: all films beside their reconstructions, in step. Or:"
	@echo "  results/comparisons/demo-bikes.mp4     a film it was trained on, beside its reconstruction"
	@echo "  results/comparisons/demo-bunny.mp4     a film it has never seen"
	@echo "  results/comparisons/demo-whitney.mp4   an abstract film it has never seen, with sound"
	@echo "  results/walks/demo-walk.mp4            a walk between three moments that the network has seen, in a loop"
	@echo "  results/dreams/demo-dream.mp4          what a network sees next that has watched the same films"
	@echo "  results/stills/bikes_by_bikes.png      frames above their reconstructions"
	@echo "  results/models/bikes/network.html      the network in pictures"
	@echo "  results/models/bikes/training.mp4      the training as a film;  training.png: its curves"

models: .venv/run ## list the trained models that are kept; REMOVE='NAME …' deletes some
	python -m refilm.list_models $(if $(REMOVE),--remove $(REMOVE))

watch: .venv/run ## show every job that runs, with its progress and ETA, here and on a page
	@python -m refilm.watch

test: .venv/dev ## run all tests but those of test-slurm and test-browser
	python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder tests/workflow tests/integration tests/unit

test-unit: .venv/dev ## run only the unit tests, in less than a minute
	python -m pytest -q tests/unit

test-slurm: .venv/dev ## run profiles/slurm on a Slurm cluster that it starts here; as root, in about 8 minutes
	@python -c 'import sys; from tests.slurm.cluster import missing; sys.exit(missing(accounting=True))'
	python -m pytest -q tests/slurm

test-browser: .venv/dev ## open the gallery in Debian's Chromium, and look at what it shows
	@command -v chromium > /dev/null || { echo "make test-browser needs Chromium: apt-get install chromium"; exit 1; }
	python -m pytest -q tests/browser

lint: .venv/dev ## check style, spelling, types, JavaScript and the order of imports
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	snakemake --lint
	codespell
	oxlint
	mypy
	lint-imports --no-cache
	python -m refilm.config.generate --check

generate: .venv/dev ## write the schema and the tables of config/README.md from config/keys.py
	python -m refilm.config.generate

fuzz: .venv/dev ## extract mutated films and films of every format, each to its own frames or one line (COUNT=2000 FORMATS=500 SEED=1)
	python -m tests.fuzz $(or $(COUNT),2000) $(or $(SEED),1)
	python -m tests.fuzz_formats $(or $(FORMATS),500) $(or $(SEED),1)

test-faults: .venv/dev ## kill runs at random moments, and compare what the same command then makes (COUNT=100 SEED=1)
	python -m tests.faults $(or $(COUNT),100) $(or $(SEED),1)

bench: .venv/dev ## measure the figures of benchmarks/README.md (FILM=path for your own film)
	python -m benchmarks $(FILM)

clean-demo: ## delete the results of the demo
	rm -rf results/demo results/*/demo-*.mp4 results/{models,predictors}/bikes results/*_by_bikes.mp4 results/*/*_by_bikes.* \
		results/gallery/{walks,dreams}/demo-*.webp results/gallery/index.html results/gallery/films/*/{bikes,bunny,whitney}.* \
		results/shots/{bikes,bunny,whitney}.csv results/samples/bikes.* results/findings/bikes.* \
		results/frames/*/{bikes,bunny,city,whitney}.h5 \
		results/frames/films/{bikes,bunny,city,whitney}.json results/stills/{bikes,bunny,whitney}_crop.png

# A stamp stands for a finished installation, so an interrupted one is repeated.
.venv/run: pyproject.toml constraints.txt
	$(call install,.)

.venv/dev: pyproject.toml constraints.txt
	$(call install,.[dev])
	touch .venv/run

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "refilm needs Python 3.11 or newer: make PYTHON=python3.12 $@")'
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '$(1)'
	.venv/bin/python -m compileall -qq -j 0 -x /tests/ .venv/lib || true # pip uses one core; some files are for other versions
	touch $@
endef
