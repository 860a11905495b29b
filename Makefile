# kazoo-provisioner. `make run` and `make test` install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COUCH := tests/couchdb/node_modules/.package-lock.json

.PHONY: help install run test check bench soak golden models container test-deps bench-deps clean

help:
	@echo "make run      serve the sample data on http://127.0.0.1:8080 and print what to try"
	@echo "make test     everything CI runs: checks, then all tests"
	@echo "make check    ruff, mypy, import-linter, the tests of the docs"
	@echo "make bench    speed, as ratios to something measured in the same run; ONLY=serve,power picks groups"
	@echo "make soak     hundreds of random crashes, until you stop it"
	@echo "make container  build a container image, with docker, podman or buildah"
	@echo "make models   write docs/models.md anew from vendor_templates/"
	@echo "make golden   write the golden files anew; look at the difference before you commit it"

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed (PYTHON=... names one)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

# The CouchDB-protocol server of the tests.
$(COUCH): tests/couchdb/package.json tests/couchdb/package-lock.json
	@command -v npm >/dev/null || { echo "Node.js 20 or newer with npm is needed by the tests (make test-deps installs it on Debian)"; exit 1; }
	cd tests/couchdb && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

run: $(STAMP)
	$(BIN)/kazoo-provisioner serve --config config/sample.yaml --try

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_docs.py tests/test_house.py

test: check $(COUCH)
	$(BIN)/python -m tests.run

bench: $(STAMP) $(COUCH)
	$(BIN)/python -m tests.benchmarks $(if $(ONLY),--only $(ONLY))

soak: $(STAMP) $(COUCH)
	$(BIN)/pytest tests/system/test_crash.py tests/system/test_couch.py -k "random or kills" --soak=$(or $(SOAK),300) -x

golden: $(STAMP)
	UPDATE_GOLDEN=1 $(BIN)/pytest tests/test_templates.py -k golden

models: $(STAMP)
	$(BIN)/kazoo-provisioner models --table -c config/sample.yaml > docs/models.md

container:
	@deploy/container.sh $(IMAGE)

# What the tests use besides Python, on Debian.
test-deps:
	@tests/install-deps.sh

# What the benchmarks use besides that.
bench-deps: test-deps
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { apt-get update -qq && apt-get install -y -qq nginx-light; }

clean:
	rm -rf $(VENV) tests/couchdb/node_modules var build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
