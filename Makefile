# Everything runs in .venv, which is made and kept in step with pyproject.toml by itself.
#   make demo     build the sample studies that come with pydicom into ./site
#   make viewer   fetch OHIF, ready built, from npm into ./viewer (OHIF=3.13.2), and take white space off its scripts
#   make serve    list the studies of ./site in a browser, and open them in OHIF if ./viewer is there
#   make test     run the tests           make test-fast    without those that are slow or need an object store
#   make check    ruff and mypy           make hooks        have git run it before each commit
#   make coverage run the tests and see which lines they reach
#   make test-minimum    the quick tests with the oldest dependencies that pyproject.toml allows
#   make test-pythons    the quick tests with each Python of PYTHONS that this machine has
#   make e2e      open every kind of object in OHIF and Cornerstone3D (needs node and chromium)
#   make e2e-core    the part of it that every change has to pass
#   make bench-viewers    load frames and volumes in viewers in every way, side by side
#   make fuzz     build mutated files and judge what is published, for MINUTES=10
#   make bench    run the benchmarks      make wheel    sdist and wheel in ./dist
#   make lock     renew the exact versions that the tests are run with
#   make docs     the documentation in docs/_build/html
#   make picture  draw the README's picture anew
#   make clean    remove what the targets above made
#   PYTHON=/path/to/python chooses the interpreter, PORT=8080 where `serve` listens, SITE=./site the tree of the demo,
#   JOBS=4 how many processes run the tests, ARGS=… goes to pytest.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo viewer serve test test-fast test-minimum test-pythons coverage check types hooks e2e e2e-core bench-viewers fuzz bench wheel lock docs picture clean

PORT ?= 8080
SITE ?= site
OHIF ?= 3.13.2
ESBUILD ?= 0.25.12
MINUTES ?= 10
PYTHONS ?= 3.12 3.13 3.14
export PYTHON
# What is compiled once is not compiled by every process that the tests start.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check
PYTEST := -m pytest --dist worksteal
ALL := $(PYTEST) -n $(or $(JOBS),4)
QUICK := $(PYTEST) -n $(or $(JOBS),auto) -q -m "not slow and not s3 and not browser"

help:
	@sed -n 's/^#   //p' Makefile

# A name on PATH may be a shim that fails, so each candidate has to prove itself by running.
$(BIN)/python:
	@set -e; no_venv=; \
	for candidate in "$$PYTHON" python3.12 python3.13 python3.14 python3 \
	    "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python; do \
	  [ -n "$$candidate" ] || continue; \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1 || continue; \
	  "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 || { no_venv=$$candidate; continue; }; \
	  echo "Making .venv with $$("$$candidate" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	  exec "$$candidate" -m venv --clear .venv; \
	done; \
	if [ -n "$$no_venv" ]; then \
	  echo "Stillframe needs Python 3.12 or newer: $$no_venv is one, but has no venv module" \
	       "(on Debian and Ubuntu: apt-get install python3-venv)." >&2; \
	else \
	  echo "Stillframe needs Python 3.12 or newer: python3.12, python3.13, python3.14, python3 and pyenv's versions" \
	       "were tried and none is. Install one, or name it: make PYTHON=/path/to/python3.12." >&2; \
	fi; exit 1

.venv/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing Stillframe in .venv"
	@$(PIP) --editable .
	@touch $@

# What the tests run with is exact: versions and hashes of requirements.lock. What builds Stillframe is among them.
.venv/.installed-test: pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing Stillframe and its test tools in .venv"
	@$(PIP) --require-hashes --requirement requirements.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch .venv/.installed $@

# For every Python and system that the tools are there for. No index and no address stands in it.
lock: .venv-lock/.installed
	@{ echo "# What the tests are run with: make lock renews it from pyproject.toml."; \
	  .venv-lock/bin/uv pip compile -q --no-config --universal --python-version 3.12 --extra test --generate-hashes \
	    --no-header --no-annotate pyproject.toml; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock
	@$(MAKE) --no-print-directory .venv/.installed-test
	@$(BIN)/python -m tests.support.licences

.venv-lock/.installed: | $(BIN)/python
	@$(BIN)/python -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip install -qq --disable-pip-version-check uv
	@touch $@

# Exit code 2 means that some inputs were rejected: these samples include broken files and files that share a UID.
demo: .venv/.installed
	@samples=$$($(BIN)/python -c 'import pathlib, pydicom; print(pathlib.Path(pydicom.__file__).parent / "data/test_files")') && \
	echo "Building pydicom's test files. Some are broken, or share a UID, on purpose: these are left out, and the first of them are named below." && \
	{ code=0; $(BIN)/stillframe build "$$samples" "$(abspath $(SITE))" || code=$$?; } && \
	case $$code in \
	  0 | 2) ;; \
	  *) exit $$code ;; \
	esac && \
	echo "Next: make serve$(if $(filter-out site,$(SITE)), SITE=$(SITE))$(if $(filter-out 8080,$(PORT)), PORT=$(PORT)), then open http://127.0.0.1:$(PORT)/"

# The package is unpacked, not installed: the dependencies that it lists are those of a build. Its scripts come with their
# comments and white space, a third of what a browser has to load and read. Names stay, so that what fails can be told.
viewer: viewer/.ready-$(OHIF)

viewer/.ready-$(OHIF):
	@command -v npm >/dev/null || { echo "make viewer needs node's npm (Debian: apt-get install npm)." >&2; exit 1; }
	@echo "Fetching OHIF $(OHIF) into ./viewer (50 MB)"
	@rm -rf viewer viewer.new && mkdir viewer.new
	@cd viewer.new && npm pack --silent @ohif/app@$(OHIF) >/dev/null && \
	  tar xzf ohif-app-$(OHIF).tgz --strip-components=1 && rm ohif-app-$(OHIF).tgz
	@cd viewer.new && npm exec --yes --loglevel=error --package=esbuild@$(ESBUILD) -- esbuild dist/*.bundle.*.js --minify-whitespace \
	  --outdir=dist --allow-overwrite --log-level=error || \
	  echo "Its scripts stay as they are: esbuild $(ESBUILD) did not run. The viewer works, and starts later." >&2
	@touch viewer.new/.ready-$(OHIF) && mv viewer.new viewer

serve: .venv/.installed
	@[ -d "$(SITE)" ] || { echo "There is no $(SITE) yet: make demo$(if $(filter-out site,$(SITE)), SITE=$(SITE)) builds one." >&2; exit 1; }
	$(BIN)/stillframe serve "$(abspath $(SITE))" --port $(PORT) $(if $(wildcard viewer/dist),--viewer viewer/dist)

test: .venv/.installed-test
	$(BIN)/python $(ALL) -m "not browser" $(ARGS)

# Properties are tried with a tenth of their examples.
test-fast: .venv/.installed-test
	STILLFRAME_EXAMPLES=fast $(BIN)/python $(QUICK) $(ARGS)

# The processes that tests start are measured too.
coverage: .venv/.installed-test
	$(BIN)/python $(ALL) -m "not browser" --cov --cov-report=term:skip-covered --cov-report=html $(ARGS)

test-minimum: .venv-minimum/.installed
	STILLFRAME_EXAMPLES=fast .venv-minimum/bin/python $(QUICK) $(ARGS)
	.venv-minimum/bin/python $(ALL) -q tests/store

# uv resolves to the lowest versions of what pyproject.toml names, and to the newest of what those need.
.venv-minimum/.installed: pyproject.toml | $(BIN)/python
	@echo "Installing the oldest dependencies in .venv-minimum"
	@$(BIN)/python -m venv --clear .venv-minimum
	@.venv-minimum/bin/python -m pip install -qq --disable-pip-version-check uv
	@.venv-minimum/bin/uv pip install -q --python .venv-minimum/bin/python --resolution lowest-direct --editable '.[test]'
	@touch $@

# Each has a venv of its own. A Python that is not there is told and passed over; none at all is a failure.
test-pythons:
	@found=; for version in $(PYTHONS); do \
	  python=; \
	  for candidate in "python$$version" "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$$version.*/bin/python; do \
	    "$$candidate" -c 'import ensurepip, sys; sys.exit("%d.%d" % sys.version_info[:2] != "'$$version'")' >/dev/null 2>&1 || continue; \
	    python=$$candidate; break; \
	  done; \
	  [ -n "$$python" ] || { echo "Python $$version is not on this machine"; continue; }; \
	  found=1; folder=.venv-$$version; \
	  echo "Python $$version in $$folder"; \
	  if [ ! -e "$$folder/.installed" ] || [ pyproject.toml -nt "$$folder/.installed" ]; then \
	    "$$python" -m venv --clear "$$folder" && \
	    "$$folder/bin/python" -m pip install -qq --disable-pip-version-check --editable '.[test]' && \
	    touch "$$folder/.installed" || exit 1; \
	  fi; \
	  STILLFRAME_EXAMPLES=fast "$$folder/bin/python" $(QUICK) $(ARGS) || exit 1; \
	done; [ -n "$$found" ]

hooks: .venv/.installed-test
	$(BIN)/pre-commit install

check: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	@$(MAKE) --no-print-directory types

types: .venv/.installed-test
	$(BIN)/mypy builder/stillframe $(wildcard tests benchmarks/*.py docs/*.py)

# The viewers come from npm, the browser from the machine: Debian's chromium, or CHROMIUM=/path/to/one. KINDS="ct-a-volume
# mr", VIEWERS="ohif-3.13.2 cornerstone" and HOSTS="serve nginx bucket" choose; MODULE=off leaves the browser module out.
e2e: .venv/.installed-test tests/e2e/node_modules/.installed
	STILLFRAME_BIN=$(BIN) E2E_KINDS="$(KINDS)" E2E_VIEWERS="$(VIEWERS)" E2E_HOSTS="$(HOSTS)" E2E_MODULE="$(MODULE)" node tests/e2e/run.mjs

e2e-core:
	@E2E_CORE=1 $(MAKE) --no-print-directory e2e

# RUNS=3 loads in each way, SLICES=174 of the volume, OPENINGS=20 of each frame; PARTS="frames volume ohif openings".
bench-viewers: .venv/.installed-test tests/e2e/node_modules/.installed
	STILLFRAME_BIN=$(BIN) RUNS="$(RUNS)" SLICES="$(SLICES)" OPENINGS="$(OPENINGS)" PARTS="$(PARTS)" VIEWERS="$(VIEWERS)" \
	  node tests/e2e/bench-viewers.mjs

tests/e2e/node_modules/.installed: tests/e2e/package.json
	@command -v npm >/dev/null || { echo "make e2e needs node 18.17 or newer with npm (Debian: apt-get install nodejs npm)." >&2; exit 1; }
	@echo "Installing the viewers in tests/e2e/node_modules"
	@cd tests/e2e && npm install --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

fuzz: .venv/.installed-test
	$(BIN)/python -m tests.support.fuzz --minutes $(MINUTES) $(ARGS)

bench: .venv/.installed-test
	$(BIN)/python benchmarks/run.py $(ARGS)
	$(BIN)/python benchmarks/million.py

wheel: .venv/.installed-test
	$(BIN)/python -m hatchling build -d dist

# Every warning is an error, a reference that leads nowhere among them.
docs: .venv/.installed-test
	$(BIN)/sphinx-build -q -W -n --keep-going -j auto -b html docs docs/_build/html

picture: .venv/.installed-test
	$(BIN)/python docs/make_picture.py

clean:
	rm -rf .venv .venv-* htmlcov .coverage .coverage.* dist build site viewer viewer.new docs/_build docs/reference/api tests/e2e/node_modules tests/e2e/results .pytest_cache .mypy_cache .ruff_cache .hypothesis
