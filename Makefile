# The one door: the same targets locally and in CI. `make help` lists them.

PREFIX ?= /usr/local
CARGO ?= cargo
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
INSTALL_DIR := $(DESTDIR)$(PREFIX)

.DEFAULT_GOAL := build
.PHONY: help build binary library header test lint bench demo install soak clean

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo
	@echo '  PREFIX and DESTDIR say where `make install` puts things (PREFIX=$(PREFIX)).'
	@echo '  `scripts/test.sh NAME…` runs single stages of `make test`; `--list` names them.'

build: binary library ## Build the program and the C library, optimised, into target/release.

binary:
	$(CARGO) build --release --bin quorate

# Last on purpose: both builds write target/release/libquorate.*, and the one to ship has no program in it.
library: binary
	$(CARGO) build --release --no-default-features --lib

test: ## Everything that must pass, as CI runs it; installs what it needs if it may.
	@scripts/test.sh

lint: ## Formatting, clippy, tidy, documentation.
	@scripts/test.sh format clippy tidy docs

bench: ## The cluster bench: quorate beside Redis and a bare toy, in one run. Prints a table.
	@scripts/bench.sh

demo: ## A local cluster, a conflict made and resolved; ends by itself.
	$(CARGO) run --release --quiet --bin quorate -- dev --tour --port 0 --log error

soak: ## The long runs: 20,000 seeds, every planted bug, 100 rounds of kill -9, a million bad inputs, 20 minutes of overwriting.
	@scripts/soak.sh

install: build ## Install the program, the header and the libraries below PREFIX.
	install -d '$(INSTALL_DIR)/bin' '$(INSTALL_DIR)/include' '$(INSTALL_DIR)/lib/pkgconfig'
	install -m 755 target/release/quorate '$(INSTALL_DIR)/bin/quorate'
	install -m 644 include/quorate.h '$(INSTALL_DIR)/include/quorate.h'
	install -m 644 target/release/libquorate.a '$(INSTALL_DIR)/lib/libquorate.a'
	install -m 755 target/release/libquorate.so '$(INSTALL_DIR)/lib/libquorate.so'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' scripts/quorate.pc.in \
		> '$(INSTALL_DIR)/lib/pkgconfig/quorate.pc'

header: ## Write include/quorate.h anew from the source; the tests compare it.
	@scripts/header.sh

clean: ## Remove what builds made.
	$(CARGO) clean
