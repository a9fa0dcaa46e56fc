# Two commands are enough: `make run` and `make test`. Both set up what is missing.
# PYTHON=… names the interpreter; ARGS=… is passed on: make run ARGS="app --only routing-lambda".

PY := .venv/bin/python
export PYTHON

.PHONY: help setup run test check unit lint format typecheck bench lock stop clean

help:  ## lists the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

setup:  ## installs what is missing: .venv here, tools in ~/.cache/lambda-image-pipeline
	@.ci/venv
	@$(PY) -m ci.machine setup

run: setup  ## rehearses the whole way: pushes, pipelines, stacks, sample data; ARGS=… for another command
	@$(PY) ci/main.py $(ARGS)

test: check  ## all checks and all tests, the quick ones first
	$(PY) -m pytest $(or $(ARGS),tests/unit tests/conformance tests/e2e)

check: setup lint typecheck

unit: setup  ## the tests that need no container
	$(PY) -m pytest tests/unit $(ARGS)

lint: setup  ## style and likely mistakes
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

format: setup  ## rewrites the sources in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

typecheck: setup  ## static types, strict in ci/
	$(PY) -m mypy

bench: setup  ## measures the pipeline against its peers
	$(PY) -m benchmarks.build_and_push $(ARGS)

lock:  ## writes requirements.lock anew: the newest versions that pyproject.toml allows
	@.ci/lock

stop: setup  ## stops the embedded engine, the local cloud and its registry; caches stay
	@$(PY) -m ci.machine stop

clean:  ## removes what make made in this directory
	rm -rf .venv out build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
