PYTHON ?= python3
BIN := .venv/bin
DEVICE ?= auto

.PHONY: forecast test lint clean

forecast: .venv/ready  ## forecast the sample patient and compare with the true scan
	$(BIN)/cronos forecast --sample --out forecast-of-sample --force --device $(DEVICE)

test: .venv/ready lint  ## everything that checks this repository
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 10) and 'CRONOS needs Python 3.10 or newer: make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --editable .
	touch $@

clean:
	rm -rf .venv forecast-of-sample
