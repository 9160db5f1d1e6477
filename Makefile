# What a person and the continuous integration run.  `make help` lists it.

PYTHON        ?= python3
SEEDS         ?= 1000
ENCAPSULATION ?= udp
PYTEST        ?=
# Test processes at one time, one for each processor; PYTEST=--pdb needs JOBS=0.
JOBS          ?= auto
FULL          ?=
MODULES       ?=
SECONDS       ?= 60
ROUNDS        ?=
BIN           := .venv/bin
# What waits for minutes, and meets no library that the others do not.
BUT_NOT       := --ignore=tests/live/test_names.py --ignore=tests/live/test_softether.py
IN_PARALLEL   := --numprocesses=$(JOBS) --dist=loadfile

.DEFAULT_GOAL := help
.PHONY: help test test-debian test-kernel test-systemd deb docs demo demo-stop lint sim fuzz mutation bench bench-sessions bench-kernel clean pictures

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## Prepare what is missing and run every test (PYTEST="-k words" chooses)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest $(IN_PARALLEL) $(PYTEST)

test-debian: ## The tests that meet libraries, on Debian's own versions of them
	@$(PYTHON) tools/prepare.py
	@.venv-debian/bin/python -m pytest $(IN_PARALLEL) \
		tests/kernel tests/forwarder tests/runtime tests/admin tests/catalogue tests/live $(BUT_NOT) $(PYTEST)

test-kernel: ## The kernel plane in Debian's kernel, under emulation (root on Debian; FULL=1 tries all combinations)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m tests.guest.boot $(if $(FULL),--full) $(PYTEST)

test-systemd: deb ## The package on two machines of their own, each with a real systemd (root)
	@$(PYTHON) tools/prepare.py
	@$(PYTHON) tools/prepare.py machine
	@$(BIN)/python -m tests.systemd.root build/machine build/deb/l2tpd_*.deb
	@$(BIN)/python -m pytest tests/systemd -rP $(PYTEST)

docs: ## Make the documents anew that come from the code and the tests
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python tools/log_messages.py
	@$(BIN)/python -m tests.conformance

deb: ## The Debian package, in build/deb
	@$(PYTHON) tools/prepare.py package
	@packaging/build-deb build/deb

demo: ## Two hosts, a pseudowire, a ping (ENCAPSULATION=udp|ip, KEEP=1 leaves it running)
	@$(PYTHON) tools/prepare.py demo
	@$(BIN)/python tools/demo.py --encapsulation $(ENCAPSULATION) $(if $(KEEP),--keep)

demo-stop: ## Remove what `make demo KEEP=1` left running
	@$(PYTHON) tools/demo.py --stop

lint: ## ruff, mypy --strict, import-linter
	@$(PYTHON) tools/prepare.py
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict
	$(BIN)/lint-imports

sim: ## Two endpoints on a virtual clock, SEEDS=N random networks
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m tests.sim --seeds $(SEEDS)
	@$(BIN)/python -m tests.sim --seeds $(SEEDS) --torment

fuzz: ## Anything, to the helper: SECONDS=N by hypothesis, and as long by atheris (root)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m tests.kernel.fuzz $(SECONDS)

mutation: ## Change the codec and the state tables, and see that some test notices (MODULES="codec tables")
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python tools/mutate.py $(MODULES)

pictures: ## The pictures of l2tp-admin in docs/pictures, from a live demo (root)
	@$(PYTHON) tools/prepare.py demo
	@$(BIN)/python tools/pictures.py

bench: ## The forwarder beside VXLAN and a plain copy loop, on this machine (root)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m bench.forwarder

bench-sessions: ## Ten thousand sessions: setting them up, showing them, and who waits meanwhile (root)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m bench.sessions

bench-kernel: ## Sessions per second of the helper beside bare netlink and ip -batch, in guests (root on Debian)
	@$(PYTHON) tools/prepare.py
	@$(BIN)/python -m bench.kernel $(ROUNDS)

clean: ## Remove environments, caches and the demo's output
	rm -rf .venv .venv-debian .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		.coverage build dist *.egg-info demo-output
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
