# One command from a clone: `make demo` makes a film, `make test` runs every check. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= python3
BIN := .venv/bin
RUN := $(BIN)/scenewright
NODE_TESTS := tests/e2e/web

.PHONY: help setup demo test lint types unit up down start-all stop-all worker scheduler monitor status stats logs purge doctor bench fuzz chaos archive lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/ready ## a script in, a finished mp4 out, live progress shown
	@$(RUN) make --script examples/volcano.txt --title "How volcanoes work" --out out/demo.mp4

test: .venv/ready node-modules system-packages gpu-environment lint types unit gpu ## all checks

setup: .venv/ready ## install everything, do nothing else

.venv/ready: requirements.lock pyproject.toml scripts/bootstrap.sh
	@scripts/bootstrap.sh $(PYTHON)
	@touch $@

.PHONY: system-packages
system-packages:
	@scripts/system_packages.sh

.PHONY: gpu-environment
gpu-environment: .venv/ready
	@scripts/gpu_environment.sh

.PHONY: node-modules
node-modules:
	@if [ $(NODE_TESTS)/package-lock.json -nt $(NODE_TESTS)/node_modules/.package-lock.json ]; then \
	  if ! command -v npm >/dev/null; then echo "npm is missing: the tests through the Node clients will be skipped (they need Node 20)."; \
	  else npm ci --prefix $(NODE_TESTS) --no-audit --no-fund --loglevel=error \
	    || echo "npm could not install the Node clients: the tests that need them will be skipped."; fi; fi

lint:
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types:
	@$(BIN)/mypy modal_app.py core emulator scripts functions tests bench

unit: # in two processes; tests of one file stay together, since they share servers
	@$(BIN)/python -m pytest -n 2 --dist loadfile

.PHONY: gpu
gpu: gpu-environment ## the tests of the picture and voice models, in an environment of their own (no GPU is needed)
	@if [ -e .venv-gpu/ready ]; then .venv-gpu/bin/python -m pytest tests/gpu; \
	  else echo "The tests in tests/gpu were skipped: there is no .venv-gpu (see above)."; fi

fuzz: .venv/ready ## look for new cases with the property tests, many at random
	@HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -m hypothesis --timeout 3600

chaos: .venv/ready ## pull every plug, many times, and print what was lost (under half an hour)
	@$(BIN)/python -m pytest -n 2 --dist load -m chaos --timeout 1800 tests/chaos

up start-all: .venv/ready ## start the whole local system (server, function, renderer, scheduler) until Ctrl-C
	@$(RUN) up

down stop-all: .venv/ready ## stop a system started with `scenewright up --detach`
	@$(RUN) down

worker: .venv/ready ## only the render server
	@$(RUN) worker

scheduler: .venv/ready ## only the sweep, once a minute
	@$(RUN) sweep --every 60

monitor: .venv/ready ## watch all videos
	@$(RUN) list --watch

status: .venv/ready ## what runs, and whether it is well
	@$(RUN) doctor

stats: .venv/ready ## videos by status
	@$(RUN) stats

logs: .venv/ready ## follow the logs
	@$(RUN) logs -f

purge: .venv/ready ## DESTRUCTIVE: delete the local system's data
	@$(RUN) purge

doctor: .venv/ready ## check every part and say what to do
	@$(RUN) doctor

bench: .venv/ready ## measure, and print the tables
	@$(BIN)/python -m bench

archive: .venv/ready ## pack the function's code for an upload in the Appwrite Console
	@$(BIN)/python scripts/archive.py out/video_generation.tar.gz

lock: ## resolve the pinned packages anew (needs `uv`)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q -o requirements.lock
	@sed -i '1i # made by `make lock`; every package by version and hash' requirements.lock

clean: ## remove what was built (not the local system's data)
	rm -rf .venv .venv-gpu out build $(NODE_TESTS)/node_modules .mypy_cache .ruff_cache .pytest_cache
