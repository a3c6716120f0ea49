# make help lists the targets. Everything that is expensive to make is cached outside the clone (XDG_CACHE_HOME/weighbridge).
SHELL := /bin/bash
PYTHON := e2e/tools/python
CLUSTER := e2e/cluster
export WEIGHBRIDGE_CLUSTER ?= weighbridge

.DEFAULT_GOAL := help
.PHONY: help
help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo demo-clean
demo: ## The whole story on a real cluster: promoted, refused, rolled back
	@e2e/demo/run

demo-clean: ## Removes the demo and its cluster
	@$(CLUSTER)/down

.PHONY: cluster cluster-down images
cluster: ## A real kind cluster (built from source where no image registry is reachable)
	@$(CLUSTER)/up

cluster-down: ## Removes it again
	@$(CLUSTER)/down

images: ## Builds the operator and evaluator images and loads them into the cluster
	@e2e/images

.PHONY: test test-unit test-e2e
test: ## All tests: the loop on the cluster, and beside it unit, property, contract, real API server
	@e2e/tools/all

test-unit: ## Everything that needs no cluster
	@e2e/tools/unit

test-e2e: ## Everything on the cluster: the loop, pre-flight, each trigger of a rollback, each kind of target
	@e2e/test

.PHONY: explore
explore: ## Every state of small worlds, with the real decisions, and what was found in each
	@$(PYTHON) -m pytest -s tests/exploration

.PHONY: check format generate requirements
check: ## Style, types, import layers, generated files
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(PYTHON) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'
	@$(PYTHON) -m weighbridge.cli crds --check crds
	@e2e/tools/render --check
	@e2e/tools/metrics --check
	@$(PYTHON) -m e2e.reference --check

format: ## Formats the code
	@$(PYTHON) -m ruff check --fix .
	@$(PYTHON) -m ruff format .

generate: ## Writes the CRDs and what follows from them: the chart's copies, manifests/, docs/metrics.md, docs/reference
	@$(PYTHON) -m weighbridge.cli crds --write crds
	@e2e/tools/render
	@e2e/tools/metrics
	@$(PYTHON) -m e2e.reference

requirements: ## Locks the dependencies anew
	@e2e/tools/lock
