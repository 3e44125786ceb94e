# Everything here works on a fresh machine: what is needed, it installs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
export PYTHON

LAB_PROGRAMS := prometheus=prometheus prometheus-alertmanager=prometheus-alertmanager haproxy=haproxy
TEST_PROGRAMS := $(LAB_PROGRAMS) promtool=prometheus amtool=prometheus-alertmanager openssl=openssl
BENCH_PROGRAMS := prometheus-postgres-exporter=prometheus-postgres-exporter \
	prometheus-redis-exporter=prometheus-redis-exporter valgrind=valgrind

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types contracts unit generate bench clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml
	@scripts/system-packages need python-venv=python3-venv
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@

demo: $(STAMP)  ## A live, highly available stack on this machine, watched (ARGS=--once: check it and exit).
	@scripts/system-packages want $(LAB_PROGRAMS)
	$(BIN)/ha-observability lab up $(ARGS)

test: check unit  ## All that CI runs: lint, types, import contracts, and every test.

check: lint types contracts  ## Lint, types and import contracts.

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)  ## Every test (ARGS='-k pool' for some).
	@scripts/system-packages need $(TEST_PROGRAMS)
	$(BIN)/python -m pytest $(ARGS)

generate: $(STAMP)  ## Render alerts/, dashboards/ and the generated parts of docs/ again.
	$(BIN)/ha-observability alerts render alerts
	$(BIN)/ha-observability dashboards export dashboards
	$(BIN)/ha-observability metrics --format markdown > docs/metrics.md

bench: $(STAMP)  ## What the README's figures come from, each beside a peer in one run.
	@scripts/system-packages need $(BENCH_PROGRAMS)
	$(BIN)/python benchmarks/scrape.py
	$(BIN)/python benchmarks/pool.py
	$(BIN)/python benchmarks/served.py
	$(BIN)/python benchmarks/workers.py

clean:  ## Remove the virtual environment and caches.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist build
