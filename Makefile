# What a checkout can do. Each target makes .venv from requirements.lock first, if it is missing or old.
.DEFAULT_GOAL := help
.PHONY: help setup demo test browser fuzz screenshots coverage soak bench docs lint clean
SHELL := /bin/bash
PYTHON_IN_VENV := .venv/bin/python
# Compiled modules make every start seconds faster, also where the shell has switched them off.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## Make .venv from requirements.lock
	@forge/demo/bootstrap.sh

demo: setup ## Run everything on this machine with demo data, until Ctrl-C
	@exec $(PYTHON_IN_VENV) -m forge.demo

test: setup ## Run the tests in their smallest honest counts; FORGE_WHOLE=1 tries each case of the long catalogues
	@$(PYTHON_IN_VENV) -m pytest -n 3 --dist loadgroup $(if $(FORGE_WHOLE),,--share) $(ARGS)

browser: setup ## Run the console in a real Chromium, with axe-core of npm
	@mkdir -p .forge/axe
	@test -e .forge/axe/package/axe.min.js || (cd .forge/axe && npm pack --silent axe-core@4.14.1 && tar xzf axe-core-4.14.1.tgz)
	@$(PYTHON_IN_VENV) -m pytest tests/browser $(ARGS)

fuzz: setup ## Ask a demo what its OpenAPI document allows and does not, CASES times
	@mkdir -p .forge/fuzz
	@$(PYTHON_IN_VENV) -m tests.fuzz $(CASES)

screenshots: setup ## Take the pictures of docs/screenshots anew, of the demo that runs
	@$(PYTHON_IN_VENV) -m tests.browser.screenshots

coverage: setup ## Run the same tests with all cases and tell which lines they reach: it takes twice as long
	@$(MAKE) --no-print-directory test FORGE_WHOLE=1 ARGS="--cov --cov-report=term:skip-covered $(ARGS)"

soak: setup ## Run the races and crashes with their full counts
	@FORGE_SOAK=$${FORGE_SOAK:-1} $(PYTHON_IN_VENV) -m pytest -m soak --timeout=2400 $(ARGS)

bench: setup ## Print the benchmarks and write .forge/bench.json
	@$(PYTHON_IN_VENV) -m tests.bench $(ARGS)

docs: setup ## Build the documentation into .forge/docs; a broken link fails it
	@$(PYTHON_IN_VENV) -m docs.site .forge/docs
	@echo "Open .forge/docs/index.html"

lint: setup ## Style, types and import order
	@$(PYTHON_IN_VENV) -m ruff check
	@$(PYTHON_IN_VENV) -m ruff format --check
	@DATABASE_URL=postgresql://nobody@127.0.0.1/none $(PYTHON_IN_VENV) -m mypy  # its Django plugin reads the settings
	@.venv/bin/lint-imports

clean: ## Stop what an earlier demo left, and remove .forge/ with all its data
	@if [ -x $(PYTHON_IN_VENV) ]; then $(PYTHON_IN_VENV) -m forge.demo --clean; else rm -rf .forge; fi
	@rm -rf static .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis .coverage .coverage.*
