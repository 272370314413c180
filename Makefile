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
	@echo "  ARGS='...' is handed on to the program behind demo, up, status, bench, watchers, load, test and test-containers."

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

# Files of tests that run at the same time. Most wait for servers, so three keep two cores busy.
SIDE_BY_SIDE := --numprocesses=3 --dist=loadfile

# What has a target of its own.
APART := api browser compose fault fuzz load

.PHONY: test
test: $(INSTALLED) ## Run the tests that need nothing but this machine, then say which were left out
	$(BIN)/pytest $(SIDE_BY_SIDE) $(APART:%=--ignore=tests/%) $(ARGS)
	@echo
	@echo "Left out here:"
	@echo "  what kills processes                                   make test-faults"
	@echo "  what takes many minutes                                make test-long"
	@echo "  scenarios with mail programs skipped above             apt-get install isync fetchmail getmail6 swaks libnet-ssleay-perl curl"
	@echo "  the same tests on PostgreSQL and Redis in containers   make test-containers"
	@echo "  the composed stack and the README's example            .ci/run"
	@echo "  the composed stack while containers come and go        make test-compose"
	@echo "  every operation of the API as every role               make test-api"
	@echo "  the pages in a real browser                            make test-browser"
	@echo "  spoilt input at every front                            make fuzz"
	@echo "  random people and random blows                         make chaos"
	@echo "  load tests                                             make load"
	@echo "  benchmarks                                             make bench"

.PHONY: chaos
chaos: $(INSTALLED) ## Let random people work while processes are killed, and check every book; SEED=2 OPERATIONS=10000 FAULTS=300
	$(BIN)/python -m tests.chaos --seed $(or $(SEED),1) --operations $(or $(OPERATIONS),10000) --faults $(or $(FAULTS),300) $(ARGS)

.PHONY: test-faults
test-faults: $(INSTALLED) ## Run the tests that kill processes, empty the broker and cut connections, on a whole stack
	$(BIN)/pytest tests/fault $(ARGS)

.PHONY: test-long
test-long: $(INSTALLED) ## Run the tests that take many minutes: races by the thousand
	$(BIN)/pytest -m long --timeout 7200 $(ARGS)

.PHONY: test-browser
test-browser: $(INSTALLED) ## Use the pages in a real browser: every flow, both languages, keys alone, on a phone (needs Chromium)
	@[ -x /usr/bin/chromium ] || { echo "The browser tests need Chromium: apt-get install chromium" >&2; exit 1; }
	$(BIN)/pytest tests/browser $(ARGS)

.PHONY: screenshots
screenshots: $(INSTALLED) ## Take the pictures in docs/screenshots anew (needs Chromium)
	@[ -x /usr/bin/chromium ] || { echo "Taking screenshots needs Chromium: apt-get install chromium" >&2; exit 1; }
	$(BIN)/pytest --quiet tests/browser/screenshots.py $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## Throw spoilt input at each front; FUZZ_INPUTS=100000 FUZZ_SEED=1
	FUZZ_INPUTS=$(or $(FUZZ_INPUTS),300) FUZZ_SEED=$(or $(FUZZ_SEED),1) $(BIN)/pytest --timeout=0 tests/fuzz $(ARGS)

.PHONY: test-containers
test-containers: $(INSTALLED) ## Run the tests of stores and rules on PostgreSQL and Redis in containers (needs Docker)
	TEST_SERVERS=containers $(BIN)/pytest $(SIDE_BY_SIDE) tests/property tests/contract tests/integration --ignore-glob='*/test_embedded_*' $(ARGS)

.PHONY: bench
bench: $(INSTALLED) ## Measure everything beside bare SQL and other ways: half an hour; ARGS='--mailboxes 1000000' for longer
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: watchers
watchers: $(INSTALLED) ## See that 200 who watch one recall are all told of its end within 2 s, and what they cost
	$(BIN)/python -m benchmarks.watchers $(ARGS)

.PHONY: test-compose
test-compose: $(INSTALLED) ## Stop, scale and restart containers of the composition while it works (needs Docker with Compose)
	$(BIN)/pytest tests/compose $(ARGS)

.PHONY: load
load: $(INSTALLED) ## Put a stack of its own under load for a minute, with Locust; ARGS='--users 100 --seconds 300' for more, --url for another
	$(BIN)/python -m tests.load $(ARGS)

.PHONY: test-api
test-api: $(INSTALLED) ## Hold the HTTP API to its document: schemathesis, every operation as every role (minutes)
	$(BIN)/pytest --timeout 900 tests/api $(ARGS)

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

.PHONY: audit
audit: $(INSTALLED) ## Look for known vulnerabilities in what is locked, with pip-audit (needs pypi.org itself, not a mirror)
	$(BIN)/uvx --quiet pip-audit --strict --disable-pip --require-hashes --progress-spinner off --requirement locks/all.txt $(ARGS)

.PHONY: check-alerts
check-alerts: ## Test the alert rules (needs promtool: apt-get install prometheus)
	promtool check rules deploy/prometheus/alerts.yml
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/alerts_test.yml

.PHONY: check-manifests
check-manifests: $(INSTALLED) ## Check the Kubernetes manifests against the schemas and the code
	$(BIN)/pytest tests/unit/test_kubernetes_manifests.py $(ARGS)

.PHONY: format
format: $(INSTALLED) ## Mend style and format where a program can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# Each folder with a catalogue of its own, and the catalogue's name. The programs read the .po files; nothing is compiled.
CATALOGUES := services/gateway/pages:pages services/gateway/pages/console:console

.PHONY: translations
translations: $(INSTALLED) ## Bring the catalogues of the pages up to date with their texts
	@template=$$(mktemp) && trap 'rm -f "$$template"' EXIT && for catalogue in $(CATALOGUES); do \
	  folder=$${catalogue%:*} domain=$${catalogue#*:}; \
	  [ -d "$$folder/locale" ] || continue; \
	  $(BIN)/pybabel --quiet extract -F "$$folder/locale/babel.cfg" -k lazy -k N_ --omit-header --sort-by-file \
	    --add-location=file -o "$$template" "$$folder" && \
	  $(BIN)/pybabel --quiet update -i "$$template" -d "$$folder/locale" -D "$$domain" -w 1000 --omit-header \
	    --no-fuzzy-matching --ignore-obsolete || exit 1; done

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
	find mailrecall services benchmarks tests -name __pycache__ -type d -prune -exec rm -rf {} +
