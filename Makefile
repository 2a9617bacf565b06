# Everything on a fresh machine that has Python (>= 3.10) and make.
#   make study   the quick study, from nothing to the page
#   make page    page and deck of the committed full study, from its rows
#   make test    the same set-up with the development tools, then the checks of ten minutes
#   make test-long   what takes longer: kills, several processes and engines, whole studies, decks and sliders in a browser,
#                    models of other libraries
#   make test-ecosystem   of these the models of torchvision, transformers, pytorchvideo and exported ones, by themselves
#   make test-wheel   the built wheel and sdist, at the lowest and the newest versions of dependencies
#   make test-peers   the attacks against those of other libraries, in an environment of their own
# PYTHON chooses the interpreter: make study PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.PHONY: study page test test-long test-ecosystem test-wheel test-wheel-lowest test-peers clean

study: .venv/installed
	$(BIN)/vidrobust study --profile quick --out runs/quick

page: .venv/installed-deck
	$(BIN)/python scripts/full-study pages runs/full-study

test: .venv/installed-dev
	scripts/check

test-long: .venv/installed-dev tests/tools/node_modules
	scripts/check long
	$(MAKE) --jobs=2 --output-sync=target test-ecosystem test-wheel-lowest

test-ecosystem:
	PYTHON=$(PYTHON) scripts/test-ecosystem

test-wheel:
	PYTHON=$(PYTHON) scripts/test-wheel

test-wheel-lowest:
	PYTHON=$(PYTHON) scripts/test-wheel lowest

test-peers:
	PYTHON=$(PYTHON) scripts/test-peers

tests/tools/node_modules: tests/tools/package-lock.json
	npm ci --prefix tests/tools --no-audit --no-fund
	touch $@

clean:
	rm -rf tests/tools/node_modules .venv .venv-ecosystem .venv-peers runs docs/_build

$(BIN)/python:
	$(PYTHON) -m venv .venv

# The stamps are younger than what they were made from, so a second call installs nothing.
.venv/installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e .
	touch $@

.venv/installed-deck: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[deck]"
	touch .venv/installed $@

.venv/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) -e ".[dev]"
	touch .venv/installed .venv/installed-deck $@
