# rota. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Everything is plain Go: no C compiler is needed to build or test.
export CGO_ENABLED := 0

GOLANGCI_VERSION := v2.15.0
GOLANGCI := bin/golangci-lint-$(GOLANGCI_VERSION)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# What the variables of the help do.
TESTFLAGS ?=
BENCH ?= .
SEEDS ?= 20000
FROM ?= 1
MINUTES ?= 10

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s  %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/rota
	@.ci/prerequisites go
	go build -buildvcs=false -trimpath -ldflags '-X github.com/rota-cluster/rota/internal/cli.version=$(VERSION)' -o bin/rota ./cmd/rota

.PHONY: demo
demo: ## show a cluster on this machine losing a node and taking it back (root, one minute)
	@.ci/prerequisites root
	@$(MAKE) --no-print-directory build
	bin/rota lab --demo

# One package at a time: many tests measure times, and none should measure its
# neighbour. Compiling comes first, on all cores, for the same reason.
.PHONY: test
test: ## run all tests (root; TESTFLAGS=-v tells every test)
	@.ci/prerequisites root go nft
	go build -buildvcs=false ./...
	go vet ./...
	go test -p 1 -count 1 -timeout 30m $(TESTFLAGS) ./...

.PHONY: lint
lint: $(GOLANGCI) ## run the linters, the import rules among them, and show that those catch something
	@.ci/prerequisites go shellcheck
	$(GOLANGCI) run --allow-parallel-runners ./...
	shellcheck $$(grep -rlE '^#!.*sh' --exclude-dir=.git --exclude-dir=bin --exclude='*.md' .)
	.ci/lint-proof $(abspath $(GOLANGCI))

$(GOLANGCI):
	@.ci/prerequisites go
	GOBIN=$(CURDIR)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv bin/golangci-lint $@

.PHONY: generate
generate: ## compile the BPF programs and work out the test vectors again
	@.ci/prerequisites go clang-16 llvm-strip-16
	go generate ./...

.PHONY: check-generated
check-generated: ## fail if `make generate` changes a file
	.ci/unchanged $(MAKE) generate

.PHONY: bench
bench: ## run the benchmarks, keepalived beside rota (root; BENCH=Table runs those whose names match)
	@.ci/prerequisites root go keepalived
	go test -p 1 -timeout 30m -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: soak
soak: ## simulate clusters under faults (SEEDS=200000 for more of them, FROM=1 the first)
	@.ci/prerequisites go
	go test -count 1 -timeout 0 -v -run '^TestSeeds' ./internal/ownership/sim -seeds=$(SEEDS) -from=$(FROM)

.PHONY: soak-load
soak-load: ## count false takeovers and late beats with every core busy (root; MINUTES=10)
	@.ci/prerequisites root go
	go vet -tags soak ./test/bench
	go test -count 1 -timeout 0 -v -tags soak -run '^TestUnderLoad$$' ./test/bench -minutes=$(MINUTES)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
