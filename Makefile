# Mail Recall: the few commands a person types. `make` alone lists them.
# Needs Python 3.11 or newer and a package registry; pip's own settings (environment, pip.conf) are respected.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  ARGS='...' is handed on to the program behind demo, up, status, test and test-containers."

# Everything is installed once, and again when the lock file or the project's own metadata change.
$(INSTALLED): locks/all.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Mail Recall needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo missing)." >&2; \
	  echo "Install one, or name the one to use: make PYTHON=python3.12 <target>" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/all.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: install
install: $(INSTALLED) ## Install what is locked into .venv (every other target does this first)

.PHONY: demo
demo: $(INSTALLED) ## Show one recall, from the mail sent to 10,000 people to the report in the sender's inbox
	@$(BIN)/mailrecall demo $(ARGS)

.PHONY: up
up: $(INSTALLED) ## Run everything on this machine, with an example company, until Ctrl-C; data is kept in .mailrecall
	@$(BIN)/mailrecall up --example $(ARGS)

.PHONY: status
status: $(INSTALLED) ## Tell what of `make up` is running
	@$(BIN)/mailrecall status $(ARGS)

.PHONY: test
test: $(INSTALLED) ## Run the tests that need nothing but this machine, then say which were left out
	$(BIN)/pytest --ignore=tests/browser --ignore=tests/load $(ARGS)
	@echo
	@echo "Left out here:"
	@echo "  scenarios with mail programs skipped above             apt-get install isync fetchmail getmail6 swaks curl"
	@echo "  the same tests on PostgreSQL and Redis in containers   make test-containers"
	@echo "  the composed stack and the README's example            .ci/run"
	@echo "  browser tests, load tests, benchmarks                  there are none yet"

.PHONY: test-containers
test-containers: $(INSTALLED) ## Run the tests of stores and rules on PostgreSQL and Redis in containers (needs Docker)
	TEST_SERVERS=containers $(BIN)/pytest tests/property tests/contract tests/integration --ignore-glob='*/test_embedded_*' $(ARGS)

.PHONY: lint lint-code lint-format lint-types lint-imports
lint: lint-code lint-format lint-types lint-imports lock-check ## Check style, format, types, the direction of imports, and the locks

lint-code: $(INSTALLED)
	$(BIN)/ruff check

lint-format: $(INSTALLED)
	$(BIN)/ruff format --check

lint-types: $(INSTALLED)
	$(BIN)/mypy

lint-imports: $(INSTALLED)
	$(BIN)/lint-imports

.PHONY: format
format: $(INSTALLED) ## Mend style and format where a program can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url

LOCKS := locks

.PHONY: lock
lock: $(INSTALLED) ## Write the lock files anew from pyproject.toml; ARGS=--upgrade takes newer versions
	$(BIN)/$(LOCK) $(ARGS) --extra embedded --group dev -o $(LOCKS)/all.txt pyproject.toml
	@# uv keeps the versions it finds in the file it writes: so the image runs exactly what the tests ran
	cp $(LOCKS)/all.txt $(LOCKS)/runtime.txt
	$(BIN)/$(LOCK) -o $(LOCKS)/runtime.txt pyproject.toml
	cp $(LOCKS)/all.txt $(LOCKS)/build.txt
	$(BIN)/$(LOCK) --group build -o $(LOCKS)/build.txt
	@! grep -nE '^-|://' $(LOCKS)/*.txt || { echo "A lock file names a registry; take that line out." >&2; exit 1; }

.PHONY: lock-check
lock-check: $(INSTALLED) ## Check that the lock files are what pyproject.toml asks for (needs the registry)
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && cp locks/*.txt "$$scratch" \
	  && $(MAKE) --silent --no-print-directory lock LOCKS="$$scratch" ARGS= \
	  && { diff -u -I '^ *# ' -r locks "$$scratch" || { \
	    echo "The lock files are not what pyproject.toml asks for: run 'make lock' and commit what it writes." >&2; exit 1; }; }

.PHONY: clean
clean: ## Remove .venv and every cache; the data in .mailrecall stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	find mailrecall services tests -name __pycache__ -type d -prune -exec rm -rf {} +
