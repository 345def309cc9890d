# `make help` lists what a person runs. CI runs the same: `make check`.
.DEFAULT_GOAL := help
SHELL := bash
PYTHON ?= python3.11
VENV := .venv
IN := $(VENV)/bin
REVISION ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

# --- the environment: one virtual environment, filled from the hash-locked files
IMAGES := training inference monitoring retraining
LOCKS := $(IMAGES:%=requirements/%.txt)
$(VENV)/runtime: $(LOCKS)
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is missing: install Python 3.11 or say which one to use: make PYTHON=python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(IN)/pip install --quiet --disable-pip-version-check --require-hashes $(LOCKS:%=-r %)
	@touch $@

$(VENV)/dev: requirements/dev.txt $(VENV)/runtime
	$(IN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# --- the main job, with no service to install
demo: $(VENV)/runtime ## the whole way on this machine: data, training, service, predictions, a report
	@$(IN)/python -m data.fetch
	@mkdir -p out/demo
	@SAVE_PATH=out/demo REVISION=$(REVISION) $(IN)/python -m training
	@$(IN)/python -m inference.demo out/demo
	@echo "look at   out/demo/report.html     what was learned, and how good it is"
	@echo "then try  make serve               the shipped model, and a page to try it with: http://127.0.0.1:8080"
	@echo "          make train               a model of your own settings: README.md and docs/training.md"

monitoring: $(VENV)/runtime ## the monitoring demonstration on this machine, without any service but ours; ends with the report's path
	@$(IN)/python -m data.fetch
	@$(IN)/python -m monitoring.demo

retraining: $(VENV)/runtime ## the retraining demonstration: two simulated weeks, a change, a dying sensor, late and wrong labels; ends with the report's path
	@$(IN)/python -m benchmark loop --story=1003 --only="lamps of a third, CO2"

data: $(VENV)/runtime ## download, verify and unpack the real data into data/original
	$(IN)/python -m data.fetch

train: $(VENV)/runtime ## train on data/original, or on TRAINING_DATA and TEST_DATA; saves in SAVE_PATH
	REVISION=$(REVISION) $(IN)/python -m training

serve: $(VENV)/runtime ## serve the shipped model, or OCCUPANCY_MODEL, at port 8080
	$(IN)/python -m inference

model: $(VENV)/runtime ## rebuild the shipped model from the real data
	./inference/model/build $(IN)/python $(REVISION)

# --- what CI runs
check: lint types test ## lint, format, types, tests: what CI runs

lint: $(VENV)/dev
	$(IN)/ruff check
	$(IN)/ruff format --check

types: $(VENV)/dev
	$(IN)/mypy

test: $(VENV)/dev ## the tests; those that need Docker or the real data skip where it is missing
	$(IN)/python -m pytest $(PYTEST)

soak: $(VENV)/dev ## long what `make test` has in short: 50,000 bad requests, full disks, overload; Elasticsearch away for ten minutes; a cluster disturbed
	$(IN)/python -m pytest tests/inference/test_abuse.py --soak=50000 --timeout=3600 $(PYTEST)
	$(IN)/python -m pytest tests/monitoring/store/test_faults.py --outage=600 --timeout=3600 $(PYTEST)
	$(IN)/python -m pytest tests/integration/test_cluster.py --load=20000 --timeout=3600 $(PYTEST)

docs: $(VENV)/dev ## write what is made from code, rules and locks: reference, alerts, dashboards with their import file, dependencies
	$(IN)/python -m docs.reference
	$(IN)/python -m docs.alerts
	$(IN)/python -m docs.dashboards
	$(IN)/python -m requirements.licences docs

# programs whose pins fight ours have environments of their own; the locks are complete, and pip would not find a locked
# pandas to be the pandas[parquet] that Evidently asks for
OTHERS := mlflow fastapi mlserver schemathesis evidently nannyml river site uv audit workflows
$(OTHERS:%=$(VENV)-%/ready): $(VENV)-%/ready: requirements/%.txt
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/$*.txt
	@touch $@

site: $(VENV)-site/ready ## the documents as a site, in out/site, to be opened without a server; ends with an error where a link leads nowhere
	NO_MKDOCS_2_WARNING=1 $(VENV)-site/bin/mkdocs build --strict

mlflow: $(VENV)-mlflow/ready ## the environment in which training tells MLflow of its runs (TRACKERS=mlflow)

peers: $(VENV)-fastapi/ready $(VENV)-mlserver/ready ## the environments of FastAPI and MLServer, for `python -m benchmark serving`

drift-peers: $(VENV)-evidently/ready $(VENV)-nannyml/ready $(VENV)-river/ready ## those of Evidently, NannyML and river, for `python -m benchmark drift`

schemathesis: $(VENV)-schemathesis/ready ## the environment in which a test holds the service to its /openapi.json

# --- what is depended on: docs/dependencies.md
lock: $(VENV)-uv/ready ## resolve pyproject.toml into requirements/*.txt, with hashes; what is locked keeps its version if it may
	PATH="$(CURDIR)/$(VENV)-uv/bin:$$PATH" ./requirements/lock

upgrade: $(VENV)-uv/ready ## the same with the newest versions; of one package: make upgrade PACKAGE=flask
	PATH="$(CURDIR)/$(VENV)-uv/bin:$$PATH" ./requirements/lock $(if $(PACKAGE),--upgrade-package=$(PACKAGE),--upgrade)

audit: $(VENV)-audit/ready ## ask for known vulnerabilities of all that is locked; another service: make audit AUDIT="-s osv"
	$(VENV)-audit/bin/python -m requirements.audit $(AUDIT)

auditor: $(VENV)-audit/ready ## the environment of pip-audit, for its tests, which ask a server of their own

licences: $(VENV)/dev ## what each image carries, under which licence; ends with an error where one is not permitted
	@$(IN)/python -m requirements.licences

.PHONY: help demo monitoring retraining data train serve model check lint types test soak docs site mlflow peers drift-peers schemathesis lock upgrade audit auditor licences

include images.mk

# --- what only the workflows in .github need, and a person can call, too: docs/ci.md
ACTIONLINT ?= $(or $(shell command -v actionlint),go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.12)
workflows: $(VENV)-workflows/ready ## judge .github by actionlint (if it is missing, Go fetches it) and by zizmor
	$(ACTIONLINT)
	$(VENV)-workflows/bin/zizmor --quiet --offline --persona=pedantic .github

elasticsearch: ## the Elasticsearch of compose.yaml; ELASTICSEARCH_URL=http://127.0.0.1:9200 tells the tests
	docker compose up --detach --wait elasticsearch

prometheus: ## promtool and prometheus, which judge the alert rules, from Debian's or Ubuntu's packages
	command -v promtool >/dev/null || { sudo apt-get update -q && sudo apt-get install -qy --no-install-recommends prometheus; }

OPERATOR := https://raw.githubusercontent.com/prometheus-operator/prometheus-operator/v0.85.0/example/prometheus-operator-crd
minikube: ## a Minikube as the tests want it: it enforces policies, and knows the kinds of the Prometheus operator
	minikube status >/dev/null || minikube start --cni=calico --addons=metrics-server --wait=all $(MINIKUBE)
	kubectl apply --server-side $(foreach kind,podmonitors prometheusrules,-f $(OPERATOR)/monitoring.coreos.com_$(kind).yaml)

IMAGE_LOAD ?= minikube image load
e2e: $(VENV)/dev ## the tests that need a cluster, on that of KUBECONFIG; IMAGE_LOAD is what brings an image into it
	command -v kube-score >/dev/null || GOBIN=$(CURDIR)/out/bin go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
	PATH="$(CURDIR)/out/bin:$$PATH" IMAGE_LOAD="$(IMAGE_LOAD)" $(IN)/python -m pytest -m kubernetes --no-skips $(PYTEST)

kibana: $(VENV)/dev ## a real Kibana with our dashboards over replayed readings, at port 5601; pictures of them in out/kibana
	$(MAKE) images IMAGES="inference monitoring"
	COMPOSE_PROFILES=kibana docker compose up --detach
	docker compose run --rm dashboards
	REPLAY_RATE=0 docker compose run --rm replay
	$(IN)/python -m tests.ci.kibana http://127.0.0.1:5601 out/kibana

.PHONY: workflows elasticsearch prometheus minikube e2e kibana
