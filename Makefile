# make up     everything that is missing is installed, everything is built, the whole site runs: Ctrl-C stops it
# make demo   a test picture with sound is broadcast to the demo channel of the site that runs
# make test   every test, on a machine that has git, Rust, Node and apt
# make bench  Tally measured beside its peers, in docs/performance.md; on two cores that do nothing else, in half an hour
# make soak   the site broken at random for half an hour, or DURATION=2h; TALLY_SEED=… does the same once more
# make latency  how far viewers are behind what is filmed, in a real browser; DURATION=60 (seconds) for less than five minutes
# make cost   what a broadcast takes of the processor, with and without smaller sizes, and what the dearest documents take
# make fuzz   the fuzz targets, a minute each, or DURATION=600 (seconds)
# make lint   formatting, lints, documentation, licences
#
# ARGS are given to tally: make up ARGS="--http 127.0.0.1:9000 --rtmp 127.0.0.1:9001"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

TARGET := $(or $(CARGO_TARGET_DIR),target)
TALLY := $(TARGET)/release/tally

# What the pages are built from: all of web/ but for what is installed or made there, and the graph's schema.
WEB_MADE := -path '*/node_modules/*' -o -path 'web/dist/*' -o -path 'web/src/graphql/*'
WEB_SOURCES := $(shell find web -type f -not \( $(WEB_MADE) \) 2>/dev/null) $(wildcard schema.graphql)
WEB_INSTALLED := web/node_modules/.installed
WEB_BUILT := web/dist/index.html.gz
# What the tests need from npm, besides the pages.
TESTS_INSTALLED := $(patsubst %,tests/%/node_modules/.installed,audits browser bucket)
# What the benchmarks measure us beside.
PEERS_INSTALLED := benches/peers/node_modules/.installed

.PHONY: up demo build setup web test test-web test-rust soak latency cost bench fuzz lint lint-web lint-rust clean

up: setup build
	@exec $(TALLY) up $(ARGS)

demo: build
	@exec $(TALLY) demo $(ARGS)

# The pages are part of the binary.
build: web
	@cargo build --release --locked

setup:
	@script/setup

web: $(WEB_BUILT)

$(WEB_INSTALLED) $(TESTS_INSTALLED) $(PEERS_INSTALLED): %/node_modules/.installed: %/package-lock.json
	@cd $* && npm ci --no-audit --no-fund
	@touch $@

# Compressed here once, as well as can be, so that nothing is while serving; and kept so alone, which makes the binary
# 8 MB smaller.
$(WEB_BUILT): $(WEB_INSTALLED) $(WEB_SOURCES)
	@cd web && npm run build
	@find web/dist -type f \( -name '*.js' -o -name '*.css' -o -name '*.html' -o -name '*.svg' \) -exec gzip -9f {} +
	@touch $@

test:
	@script/setup --test
	@$(MAKE) test-web
	@$(MAKE) test-rust

test-web: web
	@cd web && npm test

test-rust: web $(TESTS_INSTALLED)
	@script/with-postgres cargo test --locked

soak: web $(TESTS_INSTALLED)
	@TALLY_SOAK=$(or $(DURATION),30m) script/with-postgres \
	  cargo test --locked --test site -- --ignored --nocapture --exact faults::soak::whatever_happens_for_however_long

latency: web $(TESTS_INSTALLED)
	@TALLY_SECONDS=$(or $(DURATION),300) script/with-postgres \
	  cargo test --locked --test site -- --ignored --nocapture --exact browser::how_far_behind_viewers_are

cost: build $(TESTS_INSTALLED)
	@TALLY_PROGRAM=$(abspath $(TALLY)) script/with-postgres \
	  cargo test --locked --test site -- --ignored --nocapture --exact --test-threads 1 \
	  documents::what_the_dearest_documents_cost cost::what_a_broadcast_costs

# Each with a PostgreSQL of its own. ARGS for those that know them: --quick to try it out, --only NAME,…, --rounds N.
BENCHES := fan_out queries presence

bench: $(PEERS_INSTALLED)
	@cargo bench --locked --features bench --no-run $(BENCHES:%=--bench %)
	@for name in $(BENCHES); do \
	  script/with-postgres cargo bench --locked --features bench --bench $$name -- $(or $(ARGS),--write); done

# The stable compiler can do it; what finds memory errors cannot, and there is no unsafe code to have any.
FUZZ_TARGETS := document websocket callback playback

fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "fuzz: installing cargo-fuzz"; cd / && cargo install cargo-fuzz --locked --quiet; }
	@for target in $(FUZZ_TARGETS); do \
	  cargo fuzz run --fuzz-dir fuzz --sanitizer none $$target -- -max_total_time=$(or $(DURATION),60) \
	    -max_len=65536 -timeout=2 -print_final_stats=1 || exit 1; done

lint: lint-web lint-rust

lint-web: $(WEB_INSTALLED)
	@cd web && npm run check

lint-rust: web
	@cargo fmt --check
	@cargo clippy --locked --all-targets --all-features -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --log-level error check bans licenses sources; \
	  else echo "lint: cargo-deny is not installed, so licences and sources were not checked (cargo install cargo-deny --locked)"; fi

# The site's data in .tally stays.
clean:
	@cargo clean
	@rm -rf web/dist web/node_modules tests/*/node_modules benches/*/node_modules
