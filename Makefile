# `make help` lists what a person runs. CI runs the same: `make check`.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3.11
VENV := .venv
IN := $(VENV)/bin

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- the environment: one virtual environment, filled from the hash-locked files
$(VENV)/runtime: requirements/training.txt requirements/inference.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: install Python 3.11 or say which one to use: make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(IN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/training.txt -r requirements/inference.txt
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime
	$(IN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

lock: ## resolve pyproject.toml again into requirements/*.txt, with hashes
	./requirements/lock

.PHONY: help lock
