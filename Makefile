# make demo    the bundled sample, from tilt series to atoms, into demo-out/
# make test    lint, types, manifest and tests: what continuous integration runs
# make test-all all tests, the slow ones included: half an hour and more on two cores
# make test-pyside  the tests of the window with PySide6 in place of PyQt6, in an environment of its own, .venv-pyside
# make test-lowest  some tests with the lowest versions that pyproject.toml allows, in an environment of its own, .venv-lowest
# make lint    the quick part of it
# make fuzz    our own parsers of text under a fuzzer, for SECONDS=60
# make docs    the documentation into site/
# make check-release  wheel and sdist built, and tried in new environments of each of PYTHONS="python3.11 python3.12 ..."
# make bench-check  whether one pass is as fast as it was, by ratios: a minute or two on a quiet machine
#
# Needs only make, git, python3-venv and ca-certificates; everything else is set up in .venv and, as root on Debian or
# Ubuntu, with apt-get. For a smaller PyTorch without CUDA:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV ?= .venv
OUT ?= demo-out

PYSIDE ?= .venv-pyside
GUI_TESTS ?= $(wildcard tests/gui/test_*.py)

LOWEST ?= .venv-lowest
LOWEST_TORCH ?= torch==2.2.0
LOWEST_TESTS ?= tests/physics tests/series tests/session tests/settings tests/test_export.py tests/test_structures.py \
  tests/test_cli.py tests/lot/test_image_model.py tests/lot/test_compact_window.py tests/lot/test_job.py
PYTHONS ?= $(PYTHON)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
export QT_API := pyqt6
export PYTEST_QT_API := pyqt6
XVFB := xvfb-run -a -s "-screen 0 1600x1200x24 +extension GLX"
.DEFAULT_GOAL := help
.PHONY: help demo test test-all test-pyside test-lowest lint fuzz docs check-release bench-check system clean

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

# The tests run even where lint fails, so that one run tells everything; either failing fails the target. Those of the
# window and the others run side by side: either keeps one core busy.
test: system $(VENV)/.test
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; \
	if command -v xvfb-run >/dev/null; then \
	  mkdir -p build; $(BIN)/python -m pytest -m "not gui and not slow" --durations=25 >build/test.log 2>&1 & rest=$$!; \
	  window=0; $(XVFB) $(BIN)/python -m pytest -m "gui and not slow" --durations=25 || window=1; \
	  wait $$rest; rest=$$?; cat build/test.log; \
	  if [ $$window != 0 ] || [ $$rest != 0 ]; then echo "tests failed: see above" >&2; exit 1; fi; \
	else \
	  echo "No xvfb-run: the tests of the window are left out."; \
	  $(BIN)/python -m pytest -m "not gui" || exit 1; \
	fi; \
	if [ $$lint = 1 ]; then echo "lint failed: see above" >&2; exit 1; fi

test-all: system $(VENV)/.test
	$(XVFB) $(BIN)/python -m pytest

# What the tests need brings PyQt6 with it; the newest PySide6 that is known to last is 6.10.
$(PYSIDE)/.test: pyproject.toml
	$(PYTHON) -m venv $(PYSIDE)
	$(PYSIDE)/bin/python -m pip --disable-pip-version-check install -q $(TORCH)
	$(PYSIDE)/bin/python -m pip --disable-pip-version-check install -q -e ".[test]"
	$(PYSIDE)/bin/python -m pip uninstall -q -y PyQt6 PyQt6-Qt6 PyQt6-sip
	$(PYSIDE)/bin/python -m pip --disable-pip-version-check install -q "PySide6<6.11"
	@touch $@

# File by file, each in a process of its own; GUI_TESTS names some of them.
test-pyside: export QT_API := pyside6
test-pyside: export PYTEST_QT_API := pyside6
test-pyside: system $(PYSIDE)/.test
	@failed=; for file in $(GUI_TESTS); do \
	  echo "$$file"; $(XVFB) $(PYSIDE)/bin/python -m pytest -q $$file || failed="$$failed $$file"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed with PySide6:$$failed" >&2; exit 1; fi

# Every requirement that pyproject.toml names at the version it begins with; what these need in turn is as new as they
# allow. LOWEST_TORCH="torch==2.13.0" takes another PyTorch.
$(LOWEST)/.test: pyproject.toml .ci/lowest
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest >$(LOWEST)/lowest.txt
	$(LOWEST)/bin/python -m pip --disable-pip-version-check install -q uv $(LOWEST_TORCH) "numpy<2"
	$(LOWEST)/bin/python -m uv pip install -q --python $(LOWEST)/bin/python -c $(LOWEST)/lowest.txt \
	  -e ".[figures,formats,ase]" hypothesis npe2 pytest pytest-timeout
	@touch $@

test-lowest: $(LOWEST)/.test
	$(LOWEST)/bin/python -m pytest -m "not gui and not slow" $(wildcard $(LOWEST_TESTS))

# Where there is no atheris for this Python, inputs are spoiled at random.
fuzz: $(VENV)/.test
	$(PIP) install -q atheris || true
	$(BIN)/python -m tests.fuzz.parsers --seconds $(or $(SECONDS),60)

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

check-release:
	$(PYTHON) -m benchmarks.release --pythons $(PYTHONS) --torch "$(TORCH)"

# Not in continuous integration: its machines are shared, and a guard that cries wolf is soon switched off.
bench-check: $(VENV)/.all
	$(BIN)/python -m benchmarks.speed.check

clean:
	rm -rf $(OUT) site build .mypy_cache .ruff_cache .pytest_cache
