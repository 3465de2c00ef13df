# Every target builds what it needs in .venv and reuses it for as long as pyproject.toml is unchanged.
# Only GNU make and Python 3.11 or newer are needed. Another interpreter: make test PYTHON=/path/to/python3.12

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	if $$p -c '$(NEW_ENOUGH)' >/dev/null 2>&1; then echo $$p; exit; fi; done; echo python3)
TYPED := kedja

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint bench docs words clean

help:
	@echo "make install   the library alone, in .venv"
	@echo "make demo      train 784-100-10 on 5,000 handwritten digits"
	@echo "make test      the fast tests (make test-all: all of them)"
	@echo "make lint      formatting, lint, types"
	@echo "make bench     measure against the peers"
	@echo "make docs      build the documentation into site/"
	@echo "make words     bring the Swedish and Romanian words of the explanations up to date"
	@echo "make clean     remove what was built, but neither .venv nor runs/"

# The version is checked before the environment is made: a venv of an old Python fails much later, in pip's words.
$(BIN)/python:
	@$(PYTHON) -c '$(NEW_ENOUGH)' 2>/dev/null || { \
		echo "kedja needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." \
			"Install one and name it: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.install-stamp: pyproject.toml | $(BIN)/python
	$(PIP) install --editable ".[data,plot,kernels]"
	@touch $@

# The other environments stand on the first: $(VENV)/.test-stamp installs the extra "test", and so on. Of aeon only the
# data files are read; what it requires itself would hold back NumPy and pandas.
$(VENV)/.%-stamp: pyproject.toml $(VENV)/.install-stamp
	$(PIP) install --editable ".[$*]"
	@case "$*" in test|docs) $(PIP) install --no-deps aeon==1.6.0;; esac
	@touch $@

install: $(VENV)/.install-stamp

demo: $(VENV)/.install-stamp
	$(BIN)/kedja train mnist_5k --hidden 100 --epochs 20 --seed 0 --out runs/demo-$$(date +%Y%m%d-%H%M%S)

test: $(VENV)/.test-stamp
	$(BIN)/python -m pytest -n $(WORKERS) -m "not long"

test-all: $(VENV)/.test-stamp
	$(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/.lint-stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(addprefix -p ,$(TYPED))

bench: $(VENV)/.bench-stamp
	$(BIN)/python -m bench --fresh

docs: $(VENV)/.docs-stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# New sentences stand in the .po files with an empty translation afterwards; fill them in and run it again.
WORDS := src/kedja/explain/locale
words: $(VENV)/.test-stamp
	$(BIN)/pybabel -q extract -k "_ mark counted:1,2 worked:2 Step:1 Clip:1" --no-location --sort-output \
		-o $(WORDS)/kedja.pot src/kedja/explain src/kedja/optim
	for l in $$(ls -d $(WORDS)/*/ | xargs -n 1 basename); do p=$(WORDS)/$$l/LC_MESSAGES/kedja; \
		$(BIN)/pybabel -q update -i $(WORDS)/kedja.pot -o $$p.po -l $$l -w 120 \
			--no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date \
		&& $(BIN)/pybabel compile -i $$p.po -o $$p.mo -l $$l --statistics || exit 1; done
	@rm $(WORDS)/kedja.pot

clean:
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
