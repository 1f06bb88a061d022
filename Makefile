# make search   a search on an embedded data set, from nothing to a Pareto front
# make test     the tests
# make test-lowest  the tests with the oldest versions that pyproject.toml allows; TESTS=tests/spec a part
# make test-gpu what only a GPU can tell: tests, then figures of benchmarks/training/gpu.py
# make docs     the pages of docs/ as a site in site/
# make check    formatting, types, floors, and the wheel in an empty folder

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/demo
READY := $(VENV)/.ready
LOWEST := .venv-lowest
TESTS ?= tests

# Images of containers often set it: each process that tests start would compile the program anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: search test test-slow test-lowest test-gpu docs check format

search: $(READY)
	$(BIN)/nas search search_spaces/mobilenetv2-cifar.yaml \
	  --data cluttered-digits --runner runners/demonstration.yaml --out $(OUT)

test: $(READY)
	$(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadgroup -q

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow -q

test-lowest: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest -m "(not slow or lowest) and not gpu" -n 2 --dist loadgroup -q \
	  -W ignore::DeprecationWarning $(TESTS)

test-gpu: $(READY)
	$(BIN)/python -m pytest -m gpu -q
	$(BIN)/python -m benchmarks.training.gpu

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Open site/index.html"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/smoke_wheel.py

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The marker is written last, so an interrupted install starts again.
$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 search"; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing (PyTorch is large: a few minutes)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $(READY)

# uv, as pip has no such resolution; Python 3.11 or 3.12, for which wheels of NumPy 2.0 exist.
# The program goes in once more without its tools, which ask for newer versions of some packages.
$(LOWEST)/.ready: pyproject.toml
	test -x $(LOWEST)/bin/python || $(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check uv
	for what in ".[dev]" .; do \
	  $(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
	    --resolution lowest-direct --upgrade -e "$$what" || exit; done
	touch $@
