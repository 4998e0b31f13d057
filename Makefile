# make run    builds all, starts the example on the embedded engine, drives load through it
# make test   passes all tests that need no Docker
# make test-docker   passes those that do
# make help   lists the rest

SHELL       := /bin/bash
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
VERSION     := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS     := -s -w -X main.version=$(VERSION)
# The race detector needs a C compiler; without one the tests run without it.
RACE        := $(shell command -v cc >/dev/null 2>&1 && [ "$$(go env CGO_ENABLED)" = 1 ] && echo -race)

# Benchmarks' runs; the figures in docs/benchmarks.md come from the defaults.
BENCHTIME   ?= 1s

.PHONY: build web go-build run test test-docker test-go test-web e2e bench bench-engine bench-router soak chaos conformance lint format-check lock-check clean help

build: web go-build

web: web/dist/index.html

ifeq ($(shell command -v npm 2>/dev/null),)
web/dist/index.html:
	@echo "npm was not found: the dashboard's page is left out, all else works." >&2
	@echo "Install Node.js 20 or newer with npm, then run: make web go-build" >&2
else
web/dist/index.html: web/node_modules/.package-lock.json web/index.html web/vite.config.ts web/tsconfig.json $(shell find web/src web/public -type f 2>/dev/null)
	cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci --no-audit --no-fund
	@touch $@
endif

# The program carries the parent process of its tasks, a small program, behind its
# end. As `go build` alone makes it, it is that process itself: slower and larger.
go-build: | web
	@mkdir -p bin/parts examples/tiles/bin
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/parts/ ./cmd/plimsoll ./cmd/plimsoll-shim
	bash cmd/plimsoll-shim/join bin/parts/plimsoll bin/parts/plimsoll-shim bin/plimsoll
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o examples/tiles/bin/tiles ./examples/tiles

run: build
	@exec bin/plimsoll up -f examples/tiles/compose.yaml --load

test: build test-go test-web

test-go:
	@[ -n "$(RACE)" ] || echo "no C compiler: the tests run without the race detector" >&2
	go vet ./...
	go test $(RACE) -timeout 15m ./...
	@[ -z "$(RACE)" ] || go test -timeout 5m -run EveryWorld ./sim

test-web:
	@if command -v npm >/dev/null 2>&1; then cd web && npm test --silent; \
	else echo "npm was not found: the page's own tests are skipped" >&2; fi

# What needs Docker, on a private Docker Engine; installs Docker if it is not there.
# One test: make test-docker RUN=Contract VERBOSE=1
test-docker:
	bash engine/runtime/docker/dockertest/run

e2e: build
	@command -v npm >/dev/null 2>&1 || { echo "make e2e needs npm (Node.js 20 or newer)" >&2; exit 1; }
	@[ -x /usr/bin/chromium ] || { echo "make e2e needs /usr/bin/chromium: apt-get install chromium" >&2; exit 1; }
	cd e2e && { [ -d node_modules ] || npm ci --no-audit --no-fund; } && npm test --silent

# Every operation of the ECS endpoint, good and bad input, through the SDK and the
# AWS CLI; writes docs/ecs-compatibility.md. The SDK's half is part of make test.
conformance:
	go test ./engine/ecsapi -run 'TestEveryOperation|TestTheAWSCLI' -count=1 -timeout 20m -update -cli

bench: go-build
	bash bench/run $(BENCHTIME)

# The engine alone: starts, placement, the API beside moto_server, 10,000 tasks; starts
# in Docker beside the Docker Engine's own, where it may be installed.
bench-engine: go-build
	go test ./bench -run '^$$' -bench Engine -benchtime 1x -timeout 30m
	bash engine/runtime/docker/dockertest/run bench

# A thousand SIGKILLs under load, and faults of the disk by strace and a full file
# system where this machine lets them be made. What it prints runs it again.
KILLS ?= 1000
chaos:
	go test ./chaos -count=1 -timeout 4h -v -args -kills $(KILLS)

# The router beside nginx, haproxy, fabio and httputil.ReverseProxy, by wrk.
bench-router: go-build
	bash bench/router

# The long forms of what `make test` does shortly: jobs, kills, releases.
soak:
	@# The router: ten minutes of churn, a gigabyte both ways, 12,000 idle and slow clients.
	PLIMSOLL_SOAK=1 go test -count=1 -timeout 40m -v -run 'FiveTargets|ALargeBody|IdleAndSlow' ./router
	@# Hosts and zones that go away, with the router's own time-outs.
	PLIMSOLL_SOAK=1 go test -count=1 -timeout 20m -v -run AHostThatDies ./app
	SOAK=10 go test $(RACE) -count 1 -timeout 60m -v ./soak
	SIM_SEEDS=100000 go test -count 1 -timeout 90m -run EveryWorld ./sim
	go test $(RACE) -count 1 -timeout 30m -run Release -rapid.checks 5000 ./control ./engine

lint: format-check
	go vet ./...
	go run $(STATICCHECK) ./...

format-check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not formatted (run gofmt -w):" >&2; echo "$$out" >&2; exit 1; }

# The lock files say all that is built with, and no address of any registry.
lock-check:
	go mod tidy -diff
	go mod verify
	@for lock in web/package-lock.json e2e/package-lock.json; do \
	  ! grep -q '"resolved"' $$lock || { echo "$$lock: has \"resolved\" addresses; omit-lockfile-registry-resolved=true belongs in .npmrc" >&2; exit 1; }; done
	git diff --exit-code -- go.mod go.sum web/package-lock.json e2e/package-lock.json

clean:
	rm -rf bin examples/tiles/bin web/node_modules e2e/node_modules artefacts
	find web/dist -mindepth 1 ! -name .keep -delete

help:
	@echo "build run test test-docker e2e bench bench-engine bench-router soak chaos conformance lint format-check lock-check clean"
