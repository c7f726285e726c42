# make demo    the bundled sample, from tilt series to atoms, into demo-out/
# make test    lint, types, manifest and tests: what continuous integration runs
# make test-all all tests, those of the later parts of the window included: half an hour on two cores
# make lint    the quick part of it
# make docs    the documentation into site/
#
# Needs only make, git, python3-venv and ca-certificates; everything else is set up in .venv and, as root on Debian or
# Ubuntu, with apt-get. For a smaller PyTorch without CUDA:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
OUT ?= demo-out

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export QT_API := pyqt6
export PYTEST_QT_API := pyqt6
XVFB := xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX"
.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint docs system clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# PyTorch first, so that the package's own requirement does not choose another build of it.
$(VENV)/.torch: | $(BIN)/python
	$(PIP) install -q $(TORCH)
	@touch $@

$(VENV)/.all: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[all]"
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[test]"
	@touch $@

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[docs]"
	@touch $@

system:
	@.ci/system-packages

demo: system $(VENV)/.all
	$(BIN)/python -m napari_lot demo --out $(OUT)

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/npe2 validate src/napari_lot/napari.yaml

# The tests run even where lint fails, so that one run tells everything; either failing fails the target.
test: system $(VENV)/.test
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; \
	if command -v xvfb-run >/dev/null; then \
	  $(XVFB) $(BIN)/python -m pytest -m "not slow" || exit 1; \
	else \
	  echo "No xvfb-run: the tests of the window are left out."; \
	  $(BIN)/python -m pytest -m "not gui" || exit 1; \
	fi; \
	if [ $$lint = 1 ]; then echo "lint failed: see above" >&2; exit 1; fi

test-all: system $(VENV)/.test
	$(XVFB) $(BIN)/python -m pytest

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

clean:
	rm -rf $(OUT) site .mypy_cache .ruff_cache .pytest_cache
