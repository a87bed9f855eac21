# Set-up lives in .venv and is repeated only when a pin or the package's requirements change.
# Every path is relative, so a checkout in a directory with spaces works.
PYTHON ?= python3
ONLY ?=
PROFILE ?= standard
WORKERS ?= 2
READY = .venv/.ready
VENV = .venv/bin/python

# A run starts dozens of processes that load the same modules. Where Python may not keep what it compiled, as in many
# container images, each of them would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup run test lab check clean

help:
	@echo "make run              run every notebook, judge every claim, build the gallery"
	@echo "make run ONLY=NAME    one theme or one notebook"
	@echo "make test             run all tests"
	@echo "make lab              open JupyterLab"
	@echo "make check            style, types and the structure of the notebooks"
	@echo "make clean            remove what was built (the environment stays)"

setup: $(READY)

$(READY): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ...")'
	@test -x $(VENV) || $(PYTHON) -m venv .venv
	$(VENV) -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable ".[dev]"
	@$(VENV) -m compileall -q lab
	@$(VENV) -m lab.checkup.compiled
	@touch $(READY)

run: $(READY)
	@$(VENV) -m lab run $(ONLY) --profile $(PROFILE) --jobs $(WORKERS)

test: $(READY)
	@$(VENV) -m pytest --numprocesses $(WORKERS) --dist worksteal

lab: $(READY)
	@$(VENV) -m jupyter lab notebooks

check: $(READY)
	@$(VENV) -m ruff check .
	@$(VENV) -m mypy
	@$(VENV) -m lab check

clean:
	rm -rf build
