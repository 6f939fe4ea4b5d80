# Every target sets up what it needs: a second set-up only compares stamps (under a second).
.DEFAULT_GOAL := help
SHELL := /bin/bash
BIN := .venv/bin
# The environments' programs come first: sam and its builds look for python3.13 on the path.
SAM := env PATH="$(CURDIR)/.tools/ministack/bin:$$PATH" SAM_CLI_TELEMETRY=0 .tools/sam/bin/sam
PYTEST_ARGS ?=
DEPLOY_ARGS ?=

.PHONY: help
help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-16s %s\n", $$1, $$2 }'

.PHONY: setup
setup: ## Install everything that the other commands need, inside this folder
	@local/setup.sh

.PHONY: demo
demo: setup ## Run the whole thread on this machine, from MQTT to the Stripe invoice (ONCE=1: settle once and end)
	@$(BIN)/python -m local.demo $(if $(filter 1,$(ONCE)),--once)

.PHONY: test
test: setup ## Run every test, on the real programs (PYTEST_ARGS="-k name" chooses)
	$(BIN)/pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

.PHONY: test-property
test-property: setup ## Run the property tests over 10,000 random histories and invoices, and a simulated year
	HYPOTHESIS_PROFILE=slow $(BIN)/pytest -n auto tests/property tests/year --timeout 3600 $(PYTEST_ARGS)

.PHONY: test-stripe
test-stripe: setup ## Run ten thousand random histories of usage, corrections and faults to their Stripe invoice
	$(BIN)/pytest tests/stripe
	HISTORIES=10000 $(BIN)/pytest -q -n auto tests/stripe/test_histories.py --timeout 3600

.PHONY: bench
bench: setup ## Measure limits, units of each step and a simulated year of 200 customers (an hour; figures in bench/figures/)
	$(BIN)/python -m bench.limits
	env AWS_DEFAULT_REGION=us-east-1 $(BIN)/python -m bench units
	$(BIN)/python -m bench year

.PHONY: lint
lint: setup ## Check style, types, imports and the template
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SAM) validate --lint --region us-east-1

.PHONY: check
check: lint test ## What CI runs: lint, then test

.PHONY: build
build: setup ## Build the deployment into .aws-sam/build
	$(SAM) build

STAGE ?= dev
.PHONY: deploy
deploy: build ## Deploy what was built (STAGE=staging or prod; dev is the default)
	$(SAM) deploy --config-env $(if $(filter dev,$(STAGE)),default,$(STAGE)) $(DEPLOY_ARGS)

UV_COMPILE := .tools/uv/bin/uv pip compile --quiet --universal --generate-hashes --upgrade \
	--custom-compile-command "make lock"
.PHONY: lock
lock: setup ## Pin the newest versions of every requirement, with hashes
	for list in requirements/{dev,ministack,sam,checkov} layers/{metering,stripe}/requirements agent/requirements; do \
		$(UV_COMPILE) --python-version 3.13 $$list.in -o $$list.txt || exit 1; \
	done
	# These two are installed by whatever Python the machine has.
	for list in requirements/{uv,node}; do \
		$(UV_COMPILE) --python-version 3.9 $$list.in -o $$list.txt || exit 1; \
	done

.PHONY: clean
clean: ## Remove everything that set-up, builds and tests made
	rm -rf .venv .tools .run .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
