# `make test` installs what the tests need and runs all of them; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PROFILE := checked
APT := $(shell [ "$$(id -u)" = 0 ] || echo sudo) apt-get
LOOM_DIR := target/loom

.PHONY: help
help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

.PHONY: setup
setup: .venv/installed .tools/promtool tests/clients/node_modules/.package-lock.json ## Install what the tests need.

.PHONY: packages
packages:
	@missing=(); \
	command -v curl >/dev/null || missing+=(curl); \
	command -v node >/dev/null || missing+=(nodejs); \
	command -v npm >/dev/null || missing+=(npm); \
	command -v cc >/dev/null || missing+=(build-essential); \
	python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv); \
	if [ $${#missing[@]} -gt 0 ]; then \
		$(APT) update -qq && DEBIAN_FRONTEND=noninteractive $(APT) install -y -qq "$${missing[@]}"; \
	fi
	@# Once, 124 MB: without what Debian recommends beside it, which is for desktops.
	@if ! command -v "$${RINGCAST_TEST_CHROMIUM:-chromium}" >/dev/null; then \
		$(APT) update -qq && DEBIAN_FRONTEND=noninteractive \
			$(APT) install -y -qq --no-install-recommends chromium; \
	fi


# Out of its package: to install that would start a server beside it.
.tools/promtool: | packages
	mkdir -p .tools/package
	$(APT) update -qq
	cd .tools/package && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .
	cp .tools/package/usr/bin/promtool $@
	rm -r .tools/package

.venv/installed: tests/clients/requirements.txt | packages
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r tests/clients/requirements.txt
	touch $@

tests/clients/node_modules/.package-lock.json: tests/clients/package-lock.json | packages
	cd tests/clients && npm ci --no-audit --no-fund --silent
	touch $@

.PHONY: test
test: setup ## Run every test.
	cargo test --profile $(PROFILE)
	$(MAKE) loom

.PHONY: loom
loom: ## Check the lock-free ring and the wake-ups under every interleaving.
	RUSTFLAGS="--cfg ringcast_loom" cargo test --profile $(PROFILE) --target-dir $(LOOM_DIR) --lib loom_

.PHONY: lint
lint: ## Format, clippy, and licences where cargo-deny is installed.
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; \
	else echo "cargo-deny is not installed: licences were not checked"; fi

.PHONY: ledger
ledger: ## Print every promise of docs/ledger.md as done or open.
	@tests/ledger

.PHONY: bench
bench: ## Run the criterion benches and keep their medians.
	benches/criterion.sh

.PHONY: bench-fanout
bench-fanout: ## Measure a fan-out beside a bare send() loop (needs two cores; see docs/bench.md).
	benches/fanout.sh

.PHONY: bench-channels
bench-channels: ## Measure 1,000 channels of 10 streams beside the floor, in many pairs.
	benches/channels.sh

.PHONY: bench-idle
bench-idle: ## Measure the memory of idle streams.
	benches/idle.sh

.PHONY: bench-gzip
bench-gzip: ## Measure gzip streams beside plain ones (needs two cores; see docs/bench.md).
	benches/gzip.sh

.PHONY: compare
compare: ## Measure the floor, ringcast and its peers in one run.
	benches/compare.sh

.PHONY: proof
proof: ## Measure connects, channels, mixed, stalled, storming, NDJSON and kernel memory.
	benches/proof.sh

.PHONY: growth
growth: ## Plot how cost grows with streams, channels, idle streams and workers (root, 12 GiB).
	benches/growth.sh

.PHONY: wrk
wrk: ## Run wrk against publish and health.
	benches/wrk.sh

.PHONY: flamegraphs
flamegraphs: ## Draw where a worker spends its time (root, perf).
	flamegraphs/capture

.PHONY: million
million: ## Hold a million streams in one process here (root, 12 GiB).
	benches/million.sh
