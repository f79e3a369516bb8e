# The two commands of the README, and what surrounds them. Needs Python 3.11 or newer, make and git.
PYTHON ?= python3
VENV := .venv
PEERS := .peers
ATTACKBENCH := .attackbench
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake

# All that pip says goes to a file, the end of which is shown if it fails.
PIP_LOG := $(VENV)/pip.log
pip = $(BIN)/python -m pip install --disable-pip-version-check $(1) >> $(PIP_LOG) 2>&1 || \
  { tail -n 15 $(PIP_LOG); echo "The installation failed. All that pip said: $(PIP_LOG)"; exit 1; }

.DEFAULT_GOAL := help
.PHONY: help demo test bench gpu-check mutants results clean-results lint docs site install install-test \
  install-bench install-attackbench attackbench install-mutants

help:
	@echo "make demo   build every figure and table on small stand-in data, and pages to read them"
	@echo "make test   run the tests"
	@echo "make bench  measure speed beside published libraries: docs/benchmarks.md (WORDS=pgd: a part)"
	@echo "make gpu-check   first on a GPU machine, ten minutes: does it agree, how fast is it, what to ask for"
	@echo "make attackbench   what AttackBench finds of some attacks, beside our own count"
	@echo "make mutants WORDS=threat   does a test fail for each small change of a module? (no word: all)"
	@echo "make results PRESET=mini   write docs/results.md and its pages from a run on real data"
	@echo "make clean-results PRESET=demo   delete all results of a preset, after asking"
	@echo "make lint   check formatting, style and types"
	@echo "make docs   rewrite the generated pages of docs/"
	@echo "make site   build the documentation as a site, which opens from disk"

# The report leaves the newest log of snakemake, the run the one before.
demo: install
	@$(SNAKEMAKE) --cores all --config preset=demo
	@$(SNAKEMAKE) --config preset=demo --report results/demo/report.html
	@echo
	@echo "Open this:   results/demo/index.html"
	@echo "The report:  results/demo/report.html"
	@echo "Figures:     results/demo/<paper>/figures"
	@echo "Tables:      results/demo/<paper>/tables"
	@echo "Full log:    $$(ls -t .snakemake/log/*.snakemake.log | sed -n 2p)"
	@echo "In the environment (source $(BIN)/activate), snakemake --cores 2 rebuilds what has changed."

# As many at a time as there are cores; eight need 16 GiB. TESTS="-n 0 tests/unit": otherwise.
test: install-test
	@$(BIN)/python -m pytest -n logical --maxprocesses 8 $(TESTS)

# MNIST=/path/to/mnist.npz: what one of the networks of "equal cost" is trained on.
bench: install-bench install-attackbench
	@PYTHONPATH=.:$(PEERS) $(BIN)/python -m benchmarks $(WORDS) $(if $(MNIST),--mnist "$(MNIST)")

gpu-check: install-test
	@$(BIN)/python -m advsparse.gpu_check $(OPTIONS)

attackbench: install-attackbench
	@PYTHONPATH=$(ATTACKBENCH):. $(BIN)/python -m benchmarks.equal_cost.adapter

mutants: install-mutants
	@$(BIN)/python tests/mutants.py $(WORDS)

results: install
	@$(BIN)/python -m advsparse.results_page $(PRESET)

# The name goes through the environment: no shell reads it. Python's own library is enough.
clean-results: export PRESET ?=
clean-results:
	@PYTHONPATH=workflow $(PYTHON) -m advsparse.clean_results "$$PRESET"

lint: install-test
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(SNAKEMAKE) --lint

docs: install
	@$(BIN)/python -m advsparse.documentation

site: install-test
	@$(BIN)/mkdocs build --quiet --strict
	@echo "The site: site/index.html"

install: $(VENV)/.installed
install-test: $(VENV)/.installed-test

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: $$($(PYTHON) --version 2>&1) is too old. Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@PYTHONPATH=workflow $(PYTHON) -m advsparse.checkout "$@"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: envs/requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the environment into $(VENV) (about 5 GB); pip's output: $(PIP_LOG)"
	@$(call pip,-r envs/requirements.txt)
	@$(call pip,--no-deps --editable .)
	@touch $@

$(VENV)/.installed-test: envs/requirements-test.txt $(VENV)/.installed
	@$(call pip,-r envs/requirements-test.txt)
	@touch $@

install-mutants: $(VENV)/.installed-mutants

$(VENV)/.installed-mutants: envs/requirements-mutants.txt $(VENV)/.installed-test
	@$(call pip,-r envs/requirements-mutants.txt)
	@touch $@

install-bench: $(PEERS)/.installed

$(PEERS)/.installed: envs/requirements-bench.txt $(VENV)/.installed
	@rm -rf $(PEERS)
	@$(call pip,--no-deps --target $(PEERS) -r envs/requirements-bench.txt)
	@touch $@

install-attackbench: $(ATTACKBENCH)/.installed

$(ATTACKBENCH)/.installed: envs/requirements-attackbench.txt $(VENV)/.installed
	@rm -rf $(ATTACKBENCH)
	@$(call pip,--no-deps --target $(ATTACKBENCH) -r envs/requirements-attackbench.txt)
	@touch $@
