# `make` prints this help. Everything runs from a fresh clone: each target installs what it needs (scripts/setup).
SHELL := /bin/sh
GO    ?= go
BIN   := bin/smbgw
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
export CGO_ENABLED ?= 0

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: setup-run build ## Build and try it: server, agent and a private Samba, data under ./var
	@exec $(BIN) up --dir ./var

.PHONY: build
build: web/dist/index.html ## Build the console and the binary (bin/smbgw)
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/smbgw

WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' 2>/dev/null)
web/dist/index.html: $(WEB_SOURCES) web/node_modules/.package-lock.json
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: test
test: setup-test build ## Run all tests, on real Samba, PostgreSQL, LXC and Chromium
	CGO_ENABLED=1 $(GO) test -race -timeout 20m ./...
	cd web && npm test --silent
	$(MAKE) --no-print-directory e2e

.PHONY: e2e
e2e: build ## Run the console's tests in Chromium against the real server
	cd web && npm run --silent e2e

.PHONY: real
real: setup-test build ## Run the tests with real containers as nodes (part of test)
	CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 20m ./test/real/...

.PHONY: bench
bench: setup-test build ## Measure; docs/benchmarks.md says how to read it
	$(GO) run ./test/bench

.PHONY: fmt
fmt: ## Format the code
	gofmt -w cmd internal client api test docs web/*.go

.PHONY: lint
lint: setup-lint web/node_modules/.package-lock.json ## Check style and known mistakes
	scripts/lint
	cd web && npm run --silent lint

.PHONY: vuln
vuln: setup-lint ## Look for known vulnerabilities in what we use
	scripts/vuln

.PHONY: generate
generate: web/node_modules/.package-lock.json ## Write the generated files anew (OpenAPI, docs/cli.md, TypeScript types); tests hold them against the code
	$(GO) generate ./internal/server ./internal/ctl
	cd web && npm run --silent generate

.PHONY: generate-check
generate-check: generate ## Fail if a generated file is not what the code makes of it
	git diff --exit-code -- api docs/cli.md web/src/api/schema.gen.ts

.PHONY: check
check: setup-test lint vuln test ## What CI runs

.PHONY: fuzz
fuzz: ## Fuzz every parser of foreign input, 30 s each
	scripts/fuzz 30s

.PHONY: setup-run setup-lint setup-test
setup-run:
	@scripts/setup run
setup-lint:
	@scripts/setup lint
setup-test:
	@scripts/setup test
