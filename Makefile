# The one door: the same targets locally and in CI. `make help` lists them.

PREFIX ?= /usr/local
# Below PREFIX: lib64 or lib/x86_64-linux-gnu where a distribution has it so.
LIBDIR ?= lib
CARGO ?= cargo
# Of the build that writes the manual pages and is thrown away.
MAN_FEATURES ?= --features man
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
TARGET := $(or $(CARGO_TARGET_DIR),target)
LINKED := $(TARGET)/linked
# A release tarball brings the pages with it.
MAN := $(if $(wildcard man/quorate.1),man,$(TARGET)/man)
TREE := $(TARGET)/tree
INSTALL_DIR := $(DESTDIR)$(PREFIX)

.DEFAULT_GOAL := build
.PHONY: help build binary library man tree install uninstall dist header reference abi test lint bench demo soak clean

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18
	@echo
	@echo '  PREFIX, LIBDIR and DESTDIR say where `make install` puts things (PREFIX=$(PREFIX), LIBDIR=$(LIBDIR)).'
	@echo '  `scripts/test.sh NAME…` runs single stages of `make test`; `--list` names them.'

build: binary library ## Build the program and the C library, optimised, into target/release and target/linked.

binary:
	$(CARGO) build --release --locked --bin quorate

library:
	$(CARGO) rustc --release --locked --no-default-features --lib --crate-type staticlib
	scripts/link.sh '$(TARGET)/release/libquorate.a' $(VERSION) '$(LINKED)'

man:
	@[ '$(MAN)' = man ] || rm -rf '$(MAN)'
	@[ '$(MAN)' = man ] || $(CARGO) run --quiet --locked $(MAN_FEATURES) --bin quorate -- man '$(MAN)'

tree: binary library man
	scripts/tree.sh '$(TARGET)/release/quorate' '$(LINKED)' '$(MAN)' '$(TREE)' '$(LIBDIR)' $(VERSION)

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

# By tar, which leaves folders that are there already as they are.
install: tree ## Install program, header, libraries, pkg-config and CMake files and manual pages below PREFIX.
	install -d '$(INSTALL_DIR)'
	tar -C '$(TREE)' -c . | tar -C '$(INSTALL_DIR)' -x --no-same-owner --no-overwrite-dir

uninstall: tree ## Remove what `make install` puts below PREFIX.
	cd '$(TREE)' && find . ! -type d -print0 | (cd '$(INSTALL_DIR)' && xargs -0 rm -f)
	cd '$(INSTALL_DIR)' && rmdir '$(LIBDIR)/cmake/quorate' share/doc/quorate

dist: tree ## Pack a release: the source with all its crates, and the tree of `make`, into target/dist.
	scripts/dist.sh '$(TREE)' '$(MAN)' '$(TARGET)/dist' $(VERSION)

header: ## Write include/quorate.h anew from the source; the tests compare it.
	@scripts/header.sh

reference: ## Render the reference of quorate.h and the embedding guide as HTML, into target/reference.
	@rm -rf '$(TARGET)/reference' && mkdir -p '$(TARGET)/reference'
	@{ cat docs/Doxyfile; echo 'OUTPUT_DIRECTORY = $(TARGET)/reference'; } | doxygen -

abi: ## Check that the header breaks no program of the last release, as abi/ has it.
	@scripts/abi.sh

clean: ## Remove what builds made.
	$(CARGO) clean
