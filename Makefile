# Thin targets over cargo and hack/, under the names that GrootFS has always had. The programs are left in bin/.

PREFIX ?= /usr/local
BINDIR = $(DESTDIR)$(PREFIX)/bin
SHAREDIR = $(DESTDIR)$(PREFIX)/share
ZSHDIR = $(SHAREDIR)/zsh/site-functions
# Where the programs are that are installed.
PROGRAMS = bin
CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)

.PHONY: all unit integration test install install-files uninstall clean help

all: ## Build a release: bin/grootfs and bin/drax
	$(CARGO) build --release --locked --package grootfs --package drax
	install -D -m 755 $(TARGET_DIR)/release/grootfs bin/grootfs
	install -D -m 755 $(TARGET_DIR)/release/drax bin/drax

unit: ## Run the unit tests, as any user
	$(CARGO) test --workspace --lib --bins

integration: ## Run the end-to-end tests, as root
	hack/test --only integration

test: ## Run everything, as root
	hack/test

install: ## Install to $(PREFIX), as root: drax gets the setuid bit; run make first
	@test -x $(PROGRAMS)/grootfs -a -x $(PROGRAMS)/drax || { echo "make install: nothing is built yet: run make first" >&2; exit 1; }
	@$(MAKE) --no-print-directory install-files
	@if [ "$$(id -u)" = 0 ]; then \
		echo "chown root:root $(BINDIR)/drax && chmod u+s $(BINDIR)/drax"; \
		chown root:root $(BINDIR)/drax && chmod u+s $(BINDIR)/drax; \
	else \
		echo "make install: not root, so drax has no setuid bit: chown root drax && chmod u+s drax"; \
	fi

# For packages, which set the bit themselves.
install-files:
	install -D -m 755 $(PROGRAMS)/grootfs $(BINDIR)/grootfs
	install -D -m 755 $(PROGRAMS)/drax $(BINDIR)/drax
	ln -sf drax $(BINDIR)/tardis
	for page in docs/man/*; do install -D -m 644 -t $(SHAREDIR)/man/man$${page##*.} $$page || exit; done
	install -D -m 644 docs/completions/grootfs.bash $(SHAREDIR)/bash-completion/completions/grootfs
	install -D -m 644 docs/completions/_grootfs $(ZSHDIR)/_grootfs
	install -D -m 644 docs/completions/grootfs.fish $(SHAREDIR)/fish/vendor_completions.d/grootfs.fish

uninstall: ## Remove what install has put there
	rm -f $(BINDIR)/grootfs $(BINDIR)/drax $(BINDIR)/tardis
	for page in docs/man/*; do rm -f $(SHAREDIR)/man/man$${page##*.}/$${page##*/}; done
	rm -f $(SHAREDIR)/bash-completion/completions/grootfs $(ZSHDIR)/_grootfs
	rm -f $(SHAREDIR)/fish/vendor_completions.d/grootfs.fish

clean: ## Remove everything built
	$(CARGO) clean
	rm -rf bin

help: ## Show this list
	@awk -F ': ## ' '/^[a-z]+: ## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
