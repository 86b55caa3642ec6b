# The developers' and users' commands; CI calls the same ones.
# Needs make, git and Python 3.10 or 3.11 with pip and venv; everything else goes into .venv, and
# for the other stacks of Keras into .venv-legacy, .venv-tf-keras and .venv-oldest, and for
# the comparison with PyTorch into .venv-peers. With Node.js 20 or newer and its npm, `make check`
# checks the Attention tab's modules too.

PYTHON ?= $(shell for python in python3.11 python3.10 python3; do \
	$$python -c 'import sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' \
	2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
SERVE ?= 1
# Two processes: each test of the other stacks is short, most of it building graphs on one core.
PARALLEL ?= -n 2 --dist loadfile

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.10 or 3.11 with venv is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# One stamp an extra: an extra is installed again only when setup.py changes. The warning is that
# the folder keras_attnviz here is the one that gets imported, which is the point.
$(VENV)/installed-%: setup.py pyproject.toml | $(BIN)/python
	@echo "Installing the package and what it needs into $(VENV), TensorFlow included; this takes a minute or more."
	PYTHONWARNINGS='ignore:Editable installation' $(BIN)/python -m pip install --quiet --editable '.[$*]'
	@touch $@

.PHONY: setup
setup: $(VENV)/installed-test ## Make .venv with everything the tests and the demo need

.PHONY: demo
demo: $(VENV)/installed-demo ## Fine-tune a real ViT on real photographs, then serve TensorBoard (SERVE=0: don't)
	$(BIN)/keras-attnviz demo $(if $(filter 0,$(SERVE)),--no-serve)

.PHONY: test
test: $(VENV)/installed-test chromium ## Run the whole test suite, slow tests included
	$(BIN)/python -m pytest $(PARALLEL)

# Fixtures in tests/support/browser.py look for the same names, and for Playwright's own Chromium.
.PHONY: chromium
chromium: ## Install Debian's Chromium, which the tests of web pages need, if it is missing
	@test -z "$$CHROMIUM" || exit 0; \
	for name in chromium chromium-browser google-chrome google-chrome-stable; do \
		command -v $$name >/dev/null && exit 0; done; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "Installing Chromium, which the tests of web pages need."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else echo "Chromium isn't there, so the tests of web pages may be skipped. Install it, or run $(BIN)/playwright install chromium."; fi

# One environment for each other stack of Keras, with the extra of its target's name. A test module
# runs on the newest Keras 3 and on tf.keras 2, but for what is marked `one_stack`; on the other two
# stacks only what is marked `every_stack` and isn't slow.
.venv-%/installed: setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 or 3.11 with venv is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --upgrade pip
	@echo "Installing the package and its stack into .venv-$*, TensorFlow included; this takes a minute or more."
	PYTHONWARNINGS='ignore:Editable installation' .venv-$*/bin/python -m pip install --quiet --editable '.[test-$*]'
	@touch $@

.PHONY: test-legacy
test-legacy: .venv-legacy/installed chromium ## Run the tests on tf.keras 2, TensorFlow 2.15, tensorflow-addons
	.venv-legacy/bin/python -m pytest $(PARALLEL) -m "not one_stack"

.PHONY: test-tf-keras
test-tf-keras: .venv-tf-keras/installed chromium ## Run what differs by version on tf_keras, TensorFlow 2.21
	TF_USE_LEGACY_KERAS=1 .venv-tf-keras/bin/python -m pytest $(PARALLEL) -m "every_stack and not one_stack and not slow"

.PHONY: test-oldest
test-oldest: .venv-oldest/installed chromium ## Run what differs by version on the oldest supported Keras 3
	.venv-oldest/bin/python -m pytest $(PARALLEL) -m "every_stack and not one_stack and not slow"

.PHONY: quick
quick: $(VENV)/installed-test chromium ## Run the tests but the slow ones
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# The fit takes half an hour and 7 GB of disk. The tests run in one process, which counts inputs.
FUZZ_FACTOR ?= 50
FUZZ_SECONDS ?= 300
SOAK_EPOCHS ?= 1000
.PHONY: soak
soak: $(VENV)/installed-soak ## Long runs: a fit of SOAK_EPOCHS=1000 epochs, FUZZ_FACTOR=50 times as many inputs
	$(BIN)/python -m benchmarks.speed.soak --epochs $(SOAK_EPOCHS)
	FUZZ_FACTOR=$(FUZZ_FACTOR) $(BIN)/python -m pytest tests/fuzz
	FUZZ_FACTOR=10 $(BIN)/python -m pytest tests/capture/graph/test_fixed_pass.py -k Sequences
	$(BIN)/python tests/fuzz/fuzz_records.py -max_total_time=$(FUZZ_SECONDS) -max_len=4096

.PHONY: check
check: $(VENV)/installed-lint check-page ## Check style, formatting, and the types of the tab's modules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: format
format: $(VENV)/installed-lint format-page ## Mend style and formatting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The Attention tab's modules run as they are; only what checks them comes from npm.
PAGE_TOOLS := tools/page/node_modules
BIOME = $(PAGE_TOOLS)/.bin/biome check --config-path tools/page --error-on-warnings
PAGE := keras_attnviz/tb_plugin/static tests

$(PAGE_TOOLS)/installed: tools/page/package.json tools/page/package-lock.json
	npm ci --prefix tools/page --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: check-page
check-page:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory check-page-with-npm; \
	elif test -n "$$CI"; then echo "Node.js isn't there, so the Attention tab's modules can't be checked."; exit 1; \
	else echo "Node.js isn't there, so the Attention tab's modules are not checked; CI checks them."; fi

.PHONY: check-page-with-npm
check-page-with-npm: $(PAGE_TOOLS)/installed
	$(BIOME) $(PAGE)
	$(PAGE_TOOLS)/.bin/tsc --project tools/page

.PHONY: format-page
format-page:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory format-page-with-npm; \
	else echo "Node.js isn't there, so the Attention tab's modules are left as they are."; fi

.PHONY: format-page-with-npm
format-page-with-npm: $(PAGE_TOOLS)/installed
	$(BIOME) --write $(PAGE)

.PHONY: bench
bench: $(VENV)/installed-bench chromium ## Measure speed and memory as ratios; writes benchmarks/results/
	$(BIN)/python -m benchmarks.speed.run

# The CPU build of PyTorch is enough; on Linux pip takes the larger one for NVIDIA cards, unless
# asked: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make bench-peers
.venv-peers/installed: setup.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.10 or 3.11 with venv is needed; name it: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade pip
	@echo "Installing PyTorch and transformers into .venv-peers; this takes some minutes."
	PYTHONWARNINGS='ignore:Editable installation' .venv-peers/bin/python -m pip install --quiet --editable '.[bench-peers]'
	@touch $@

.PHONY: bench-peers
bench-peers: $(VENV)/installed-bench .venv-peers/installed ## Measure attention maps and rollout in PyTorch and here, as ratios
	$(BIN)/python -m benchmarks.speed.run_peers .venv-peers/bin/python

.PHONY: bench-quality
bench-quality: $(VENV)/installed-bench stamps ## Measure which explanation method finds the object
	$(BIN)/python -m benchmarks.quality.localization

.PHONY: stamps
stamps: ## Install Debian's cut-out photographs, which bench-quality needs, if they are missing
	@test -d /usr/share/tuxpaint/stamps && exit 0; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null; then \
		echo "Installing Tux Paint's stamps, which the benchmark pastes on photographs."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends tuxpaint-stamps-default >/dev/null; \
	else echo "Tux Paint's stamps aren't there. Install them: apt-get install tuxpaint-stamps-default"; exit 1; fi

.PHONY: docs
docs: $(VENV)/installed-docs ## Build the documentation into docs/_build/html
	$(BIN)/sphinx-build -W -b html docs docs/_build/html

.PHONY: colormaps
colormaps: $(VENV)/installed-test ## Write the Attention tab's color maps anew, from matplotlib's
	$(BIN)/python tools/colormaps.py

.PHONY: vendor
vendor: $(BIN)/python ## Fetch the Attention tab's libraries anew from the npm registry
	$(BIN)/python tools/vendor.py
