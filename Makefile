# Each target installs what it needs into .venv first, says so, and installs nothing the
# second time. PYTHON=... names another Python; ARGS=... is passed on.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
ARGS :=
# Files of tests that run side by side. Four wait more than they work; the fifth takes what they leave.
WORKERS := 5
export VENV
# Stops the target, with its message, when there is no control plane and none can be had.
WITH_KUBERNETES = KUBEBUILDER_ASSETS="$$(scripts/kube-assets)" || exit; export KUBEBUILDER_ASSETS;

.DEFAULT_GOAL := help
.PHONY: help compiled packages demo lab test check pythons constraints bench recordings screenshots site format clean

help: ## say what the targets do
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The same story on a real server needs its client, too.
DEMO := $(if $(filter zookeeper kubernetes,$(ARGS)),lab,demo)

demo: $(VENV)/installed-$(DEMO) compiled ## the whole story in a terminal: a job survives its JobManager
	@$(BIN)/hawork demo $(ARGS)

lab: $(VENV)/installed-lab compiled ## JupyterLab on the notebooks, beginning with the tour
	@$(BIN)/hawork lab $(ARGS)

test: packages $(VENV)/installed-test compiled ## all tests, also on real processes and in a real browser
	$(WITH_KUBERNETES) $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder \
		--durations=20 --durations-min=1 $(ARGS)

check: $(VENV)/installed-dev ## formatting, types, layers, words and notebooks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/python scripts/options-table --check
	$(BIN)/python scripts/commands-page --check
	$(BIN)/python scripts/check-package
	$(BIN)/python scripts/check-words
	$(BIN)/python scripts/check-defects

pythons: packages ## unit and contract tests, notebooks and demo on every Python that is found
	@scripts/pythons

constraints: ## the newest versions of all packages, to be tested and committed
	@scripts/constraints

bench: packages $(VENV)/installed-test compiled ## how fast: failover, recovery, start, stores
	$(WITH_KUBERNETES) $(BIN)/python -m pytest tests/benchmarks -o python_files='bench_*.py' -s -q $(ARGS)

recordings: packages $(VENV)/installed-test compiled ## the recordings of real Flink that the lessons replay, made anew
	$(WITH_KUBERNETES) $(BIN)/python scripts/recordings $(ARGS)

screenshots: packages $(VENV)/installed-test ## the pictures of docs/images, from a real run
	$(BIN)/python scripts/screenshots $(ARGS)

site: $(VENV)/installed-site compiled ## course, documentation and API as one static folder, the notebooks run
	@$(BIN)/python scripts/site $(ARGS)

format: $(VENV)/installed-dev ## formatted sources, and the generated pages of docs
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb
	$(BIN)/python scripts/options-table
	$(BIN)/python scripts/commands-page

clean: ## the checkout as it was cloned: removes .venv and everything generated
	rm -rf $(VENV) build dist runs *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache test-results
	find hawork tests notebooks scripts -depth \
		\( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +

# What the system lacks is said before anything is installed.
packages:
	@scripts/debian-packages

# A lab starts many processes: none should have to compile the sources again.
compiled:
	@$(BIN)/python -m compileall -q hawork

$(VENV)/installed-%: pyproject.toml constraints.txt
	@scripts/install $*
