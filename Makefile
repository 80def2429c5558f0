# What there is to do; CONTRIBUTING.md explains it. Every target sets up what it needs.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
BIN := .venv/bin
# All but the one that `make bench` measures, which has no tests.
SCENARIOS := $(filter-out bench,$(sort $(patsubst molecule/%/molecule.yml,%,$(wildcard molecule/*/molecule.yml))))
# What `make test` runs: all but the one for distributions whose images not everybody has.
TESTED := $(filter-out distribution,$(SCENARIOS))

.PHONY: help demo demo-down consoles test quick lint unit pythons scenario browser images bench soak release-check docs lock

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 15

demo: ## Start the demo's fleet, put consoles on it, check them, print their URLs
	@scripts/setup venv docker images
	@$(BIN)/python -m tests.harness.demo up

demo-down: ## Remove the demo, and nothing else
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m tests.harness.demo down; fi

consoles: ## Print the running demo's consoles as JSON (make -s consoles)
	@test -x $(BIN)/python || { echo "no demo is running; start it with 'make demo'" >&2; exit 1; }
	@$(BIN)/python -m tests.harness.demo consoles

# The linters come last: the shortest part leaves the others least to wait for.
test: ## Unit tests, every Python, every scenario, browser tests, lint
	@scripts/setup venv docker images browser
	@$(BIN)/python -m tests.harness.suite unit pythons $(TESTED:%=scenario:%) browser lint

quick: ## Lint, unit tests and the default scenario
	@scripts/setup venv docker images
	@$(BIN)/python -m tests.harness.suite lint unit scenario:default

lint: ## Run the linters
	@scripts/setup venv
	@$(BIN)/python -m tests.harness.suite lint

unit: ## Run the unit tests
	@scripts/setup venv
	@$(BIN)/python -m tests.harness.suite unit

pythons: ## Run modules and consoles on every Python that hypervisors may have
	@scripts/setup venv docker images
	@$(BIN)/python -m tests.harness.suite pythons

scenario: ## Run one scenario: make scenario NAME=default
	@test -f molecule/$(NAME)/molecule.yml || { echo "NAME=$(NAME) is no scenario; there are: $(SCENARIOS)" >&2; exit 2; }
	@scripts/setup venv docker images browser $(if $(filter distribution,$(NAME)),$(NAME))
	@$(BIN)/python -m tests.harness.suite scenario:$(NAME)

browser: ## Open the demo's consoles in Chromium
	@scripts/setup venv docker images browser
	@$(BIN)/python -m tests.harness.suite browser

images: ## Build the images that people use, and test them
	@scripts/setup venv docker images browser
	@$(BIN)/python -m tests.harness.suite scenario:containers

bench: ## Compare with what else there is, as ratios from one run; writes .cache/bench.json (make bench PART=gateway)
	@scripts/setup venv docker images browser
	@$(BIN)/python -m tests.bench $(PART)

soak: ## What takes longer than tests may: lies, and all rounds (make soak PART=lies SECONDS=60; PART=rounds)
	@scripts/setup venv docker images browser
	@$(BIN)/python -m tests.soak $(if $(PART),--part $(PART)) --seconds $(or $(SECONDS),600)

release-check: ## Is the collection fit to be released? Built, looked into, installed, run on the demo
	@scripts/setup venv docker images
	@$(BIN)/python -m tests.harness.release

docs: ## Make the roles' READMEs and docs/variables.md anew
	@scripts/setup venv
	@$(BIN)/python -m tests.harness.docs

lock: ## Renew requirements-dev.txt from requirements-dev.in
	@scripts/setup venv
	@$(BIN)/pip install --quiet uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --no-emit-index-url --generate-hashes --quiet \
	  --upgrade --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt
