# Needs Python 3.11 or newer and make; no compiler and no server. `make` alone lists the targets.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
UV := uv==0.13.9
.DEFAULT_GOAL := help
.PHONY: help install demo test check lock faults soak screenshots bench-sync bench-intake bench-scale bench-profile bench-report
.PHONY: bench-lock bench-data bench-screens bench-growth bench-figures faults-report query-baseline
WEB_PORT ?= 8000
SANDBOX_PORT ?= 9100
# After the defaults: exporting a name first would define it as empty.
export WEB_PORT SANDBOX_PORT

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 10

install: .venv/installed  ## Make .venv from requirements.lock

.venv/installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=…")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	touch $@

demo: install  ## Run everything on this machine (ONCE=1: run the story on fresh data and end; WEB_PORT, SANDBOX_PORT)
	@exec $(BIN)/python -m pssync_console.runtime.demo $(if $(ONCE),--once)

test: install  ## Run the tests (ARGS="tests/house -k floors", WORKERS=4)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

faults: install  ## Kill, cut, wipe and fill real processes, sockets, brokers and disks (SEED=1, ARGS="-k broker")
	SEED=$(or $(SEED),1) $(BIN)/pytest -s -m "fault or long_fault" tests/faults tests/flows $(ARGS)

query-baseline: install  ## Write tests/console/query_baseline.json anew: how many queries each screen takes
	RENEW_QUERY_BASELINE=1 $(BIN)/pytest -q -n 0 tests/console/test_query_baseline.py

screenshots: install  ## Pictures of a running demo, light, dark and phone, into test-artefacts/screens (ARGS=--keep renews docs/screenshots)
	$(BIN)/python -m tests.browser.screenshots --url http://127.0.0.1:$(WEB_PORT) $(ARGS)

faults-report: install  ## Write the figures of the last runs of faults and soak into docs/faults.md (FOLDERS="… …")
	$(BIN)/python -m tests.faults.report $(FOLDERS)

soak: install  ## One fault after the other under a steady load (SEED=1, MINUTES=60, BROKERS="redis rabbitmq")
	SEED=$(or $(SEED),1) MINUTES=$(or $(MINUTES),60) BROKERS="$(or $(BROKERS),redis rabbitmq)" $(BIN)/pytest -s -m soak tests/faults/test_soak.py

check: install  ## Style, types, floors, templates, house rules, deployment checks, missing migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(BIN)/pytest -q tests/house
	env -i PATH="$$PATH" ENV_FILE=/dev/null PSSYNC_ENV=production SECRET_KEY=$$($(BIN)/python -c 'import secrets; print(secrets.token_urlsafe(64))') \
	  SECRETS_KEYS=$$($(BIN)/python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())') \
	  ALLOWED_HOSTS=console.example.com DATABASE_URL=postgresql://pssync@db.example.com/pssync \
	  CELERY_BROKER_URL=redis://broker.example.com/0 $(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py makemigrations --check --dry-run

bench-data: install  ## A large firm in a database of its own (ROWS=10000, 100000 or 1000000 transactions, SEED=1)
	$(BIN)/python -m benchmarks.data --rows $(or $(ROWS),1000000) --seed $(or $(SEED),1)

lock: install  ## Renew requirements.lock from requirements*.in (UPGRADE=1: the newest versions that fit)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade) requirements-dev.in -o requirements.lock

bench-sync: install  ## Six durable writes by the engine, DBOS and the bare limits (N=800 ROUNDS=3 ONLY=…; docs/performance.md)
	$(BIN)/python -m benchmarks.sync $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only "$(ONLY)")

bench-intake: install  ## Signed webhooks, durable before 2xx, beside DBOS and a bare door (N=2000 ROUNDS=3 ONLY=…)
	$(BIN)/python -m benchmarks.intake $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only "$(ONLY)")

bench-scale: install  ## 2 webs, 4 workers, pgbouncer, Redis and RabbitMQ; what a transaction costs (N=300 ROUNDS=2 BROKER=… ONLY=…)
	$(BIN)/python -m benchmarks.scale $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(BROKER),--broker $(BROKER)) \
	  $(if $(ONLY),--only "$(ONLY)")

bench-screens: install  ## Lists over a million rows beside an empty page, the admin, a page far back, 204 (ROWS=1000000 N=40 ROUNDS=3)
	$(BIN)/python -m benchmarks.screens $(if $(ROWS),--rows $(ROWS)) $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-figures: install  ## Every tile beside the bare SELECT of its roll-up (ROWS=1000000 N=100 ROUNDS=3)
	$(BIN)/python -m benchmarks.figures $(if $(ROWS),--rows $(ROWS)) $(if $(N),--n $(N)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-growth: install  ## Pages, an event and a workflow at 10,000, 100,000 and 1,000,000 transactions (N=20 EVENTS=200 ROUNDS=3)
	$(BIN)/python -m benchmarks.growth $(if $(N),--n $(N)) $(if $(EVENTS),--events $(EVENTS)) $(if $(ROUNDS),--rounds $(ROUNDS))

bench-profile: install  ## Where the time goes (WHAT=engine or door, N=100, TIMER=wall or cpu)
	$(BIN)/python -m benchmarks.profile $(if $(WHAT),--what $(WHAT)) $(if $(N),--n $(N)) $(if $(TIMER),--timer $(TIMER))

bench-report: install  ## Renew the figures in docs/performance.md
	$(BIN)/python -m benchmarks.report

bench-lock: install  ## Renew benchmarks/peers/requirements.txt (UPGRADE=1: the newest versions that fit)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --custom-compile-command "make bench-lock" $(if $(UPGRADE),--upgrade) benchmarks/peers/requirements.in \
	  -o benchmarks/peers/requirements.txt
