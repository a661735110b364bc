# `make run` and `make test` need Go, make and git, nothing else. What more is needed is said by the target that needs it.
.DEFAULT_GOAL := help

GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
SBOM := $(GO) tool -modfile=tools/sbom/go.mod cyclonedx-gomod
S := deploy/node_modules/.bin/s
FUZZTIME ?= 5s
# What the function calls itself in its log.
BUILD = $(shell git describe --always --dirty --tags 2>/dev/null || echo unknown)
# A race needs a C compiler to be found; Go itself says whether it has one.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)

# Print every target and what it is for.
help:
	@awk '/^# /{text = substr($$0, 3); next} /^[a-z][a-z-]*:/{split($$0, part, ":"); if (text != "") printf "  %-14s %s\n", part[1], text} {text = ""}' Makefile
.PHONY: help

# Run the function against a local cloud and watch: EVENT=file.json sends another event, CLOUD=file.yaml starts from another state.
run: build
	bin/regild local $(if $(EVENT),--event '$(EVENT)') $(if $(CLOUD),--cloud '$(CLOUD)')
.PHONY: run

# Build the operator's command (bin/regild) and the function for this machine (target/main).
build:
	$(GO) build -trimpath -o bin/regild ./cmd/regild
	$(GO) build -trimpath -ldflags '-s -w' -o target/main .
.PHONY: build

# Run all tests; those with clients nobody here wrote, too, if npm is there. All stories are played without the race detector, and some with it.
test:
	@$(if $(RACE),,echo 'no C compiler: testing without the race detector (CI has it)')
	$(if $(RACE),REGILD_STORIES=some) $(GO) test $(RACE) -shuffle=on -count=1 -vet=off ./...
	$(if $(RACE),$(GO) test -shuffle=on -count=1 -run Stories .)
	@if [ -n "$${CI:-}" ] || { command -v npm >/dev/null && $(MAKE) --no-print-directory conformance/node_modules sdk-modules; }; then \
		$(MAKE) --no-print-directory conformance; \
	else \
		echo 'npm or its registry is not there: left out the conformance tests (make conformance; CI runs them)'; \
	fi
.PHONY: test

# Everything that CI runs.
check: test browser rest
.PHONY: check

# What CI runs besides the tests.
rest: format vet tidy verify generated lint preview ros package simulated fuzz chaos
.PHONY: rest

# Simulate several instances against the promise: SEED=7 runs one schedule and tells it; SCHEDULES=100000, or TIME=10m (default 1m) from ever new seeds.
simulate:
	REGILD_SIMULATE_SEED='$(SEED)' REGILD_SIMULATE_SCHEDULES='$(SCHEDULES)' REGILD_SIMULATE_TIME='$(or $(TIME),$(if $(SEED)$(SCHEDULES),,1m))' \
		$(GO) test -count=1 -timeout=0 -v -run 'EverySchedule' ./simulation
.PHONY: simulate

# Simulate the same schedules each time, so that CI fails by a change and not by luck; `make simulate` looks for new ones.
simulated:
	@$(MAKE) --no-print-directory simulate SCHEDULES=3000
.PHONY: simulated

# Play one release over 1,000,000 desktops in 200 fleets of 50 accounts, and print what it cost: DESKTOPS, FLEETS, ACCOUNTS, INSTANCES, SPREAD=2m. A tenth of it, which waits as the whole does: DESKTOPS=100000 BOUND=1000.
million:
	REGILD_MILLION_DESKTOPS='$(or $(DESKTOPS),1000000)' REGILD_MILLION_FLEETS='$(or $(FLEETS),200)' REGILD_MILLION_ACCOUNTS='$(or $(ACCOUNTS),50)' \
		REGILD_MILLION_INSTANCES='$(INSTANCES)' REGILD_MILLION_SPREAD='$(SPREAD)' REGILD_MILLION_BOUND='$(BOUND)' $(GO) test -count=1 -timeout=0 -v -run OneRelease ./simulation/million
.PHONY: million

# Make small bugs one by one and print those that no test notices: PKG=./internal/guard for one package, FLAGS='-results FILE -limit 1h' to go on later
# where it stopped. Takes hours for all; not part of CI. Simulated has what runs besides a package's own tests.
SEEDS = 1 21 41 61 81 101 121 141 161 181
SIMULATED = -then './simulation:NoKept' $(foreach s,$(SEEDS),-then './simulation:EverySchedule:REGILD_SIMULATE_SEED=$s,REGILD_SIMULATE_SCHEDULES=20,REGILD_SIMULATE_FINDINGS=0')
MUTATED = ./events $(addprefix ./internal/,plan guard journal jsonpart credentials desktop envelope mns ecd pace rollout) ./handler
mutants:
	@cd tools && $(GO) build -o ../bin/mutants ./mutants
	@for p in $(or $(PKG),$(MUTATED)); do \
		case $$p in *rollout) set -- -then './handler:.' $(SIMULATED);; *handler) set -- $(SIMULATED);; *) set --;; esac; \
		(cd tools && ../bin/mutants -pkg $$p -accepted mutants/accepted.txt "$$@" $(FLAGS)) || failed=1; \
	done; [ -z "$$failed" ]
.PHONY: mutants

# Fail if a Go file is not gofmt'ed.
format:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
.PHONY: format

# Run go vet, also on the files that only `make conformance` and `make browser` build.
vet:
	$(GO) vet ./...
	$(GO) vet -tags conformance ./conformance
	$(GO) vet -tags browser ./browser
.PHONY: vet

# Fail if a go.mod or go.sum is not what `go mod tidy` would write.
tidy:
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff
.PHONY: tidy

# Fail if a module on this machine is not what go.sum says that it is.
verify:
	$(GO) mod verify
.PHONY: verify

# Fail if `go generate` changes a file.
generated:
	@mkdir -p target; state() { git ls-files -co --exclude-standard | sort >target/files; git hash-object --stdin-paths <target/files | paste - target/files; }; \
	state >target/before && $(GO) generate ./... && state >target/after && \
	diff target/before target/after || { echo 'go generate changed the files above: commit what it wrote'; exit 1; }
.PHONY: generated

# Run golangci-lint; the first time it is built from source, which takes minutes.
lint:
	$(TOOL) golangci-lint run ./...
	cd tools && $(GO) tool golangci-lint run ./...
.PHONY: lint

# Look for known vulnerabilities in what is called here, and in the function as it is built; asks vuln.go.dev, or the copy that VULNDB names.
vuln: package
	GO='$(GO)' VULNDB='$(VULNDB)' tools/vuln.sh target/linux-amd64/main
.PHONY: vuln

# Fuzz every fuzz target for FUZZTIME each (5s).
fuzz:
	GO='$(GO)' .ci/each fuzz Fuzz -run='^$$' -fuzztime=$(FUZZTIME) -fuzz
.PHONY: fuzz

# Kill the function at random against the local cloud that counts wipes: TIME=10m or SCHEDULES=1000 for more than a short run.
chaos: build
	REGILD_CHAOS_TIME='$(TIME)' REGILD_CHAOS_SCHEDULES='$(SCHEDULES)' GO='$(GO)' .ci/each chaos TestChaos -count=1 -timeout=0 -run
.PHONY: chaos

# Run every benchmark: COUNT=10 for enough runs to compare with `go tool -modfile=tools/go.mod benchstat`.
bench: build
	GO='$(GO)' .ci/each bench Benchmark -count=$(or $(COUNT),1) -timeout=0 -run='^$$' -benchmem -bench
.PHONY: bench

# Drive the local cloud with npm clients that nobody here wrote, and with the OSS SDK's own tests.
conformance: conformance/node_modules
	$(GO) test -tags conformance -count=1 ./conformance
.PHONY: conformance

# Download what the OSS SDK's own tests need.
sdk-modules:
	cd "$$($(GO) list -m -f '{{.Dir}}' github.com/aliyun/alibabacloud-oss-go-sdk-v2)" && $(GO) mod download
.PHONY: sdk-modules

conformance/node_modules: conformance/package-lock.json
	cd conformance && npm ci --no-audit --no-fund
	@touch $@

# Look at the pages in a real browser: a Chromium on the PATH, or REGILD_BROWSER. PICTURES=1 also writes those of the docs.
browser: browser/node_modules
	$(GO) test -tags browser -count=1 ./browser $(if $(PICTURES),-update)
.PHONY: browser

browser/node_modules: browser/package-lock.json
	cd browser && npm ci --no-audit --no-fund
	@touch $@

deploy/node_modules: deploy/package-lock.json
	cd deploy && npm ci --no-audit --no-fund
	@touch $@

# Resolve s.yaml with Serverless Devs, offline, and hold the result to the same rules as the file.
preview: deploy/node_modules
	@mkdir -p target
	env -i PATH="$$PATH" HOME="$(CURDIR)/target/serverless-devs" $(S) preview -o json --silent > target/preview.json
	REGILD_PREVIEW="$(CURDIR)/target/preview.json" $(GO) test -count=1 ./deploy
.PHONY: preview

# Hold deploy/ros.yaml to the vendor's own description of its resource types, offline.
ros: deploy/node_modules
	@mkdir -p target
	$(GO) run ./deploy/rosjson >target/ros.json
	node deploy/ros.js target/ros.json target/ros
.PHONY: ros

# Build the zip that Function Compute runs: target/regild.zip, linux/amd64, static, the same bytes for the same sources.
package:
	CGO_ENABLED=0 GOOS=linux GOARCH=amd64 $(GO) build -trimpath -buildvcs=false -ldflags '-s -w -X main.build=$(BUILD)' -o target/linux-amd64/main .
	$(GO) run ./deploy/pack -o target/regild.zip target/linux-amd64/main $(wildcard fleets.yaml)
.PHONY: package

# Build what a release consists of into target/release, offline: the zip, its SBOM (CycloneDX) and the checksums of both.
release: package
	@mkdir -p target/release
	cp target/regild.zip target/release/regild.zip
	$(SBOM) bin -json -noserial -notimestamp -std -version '$(BUILD)' -output target/release/regild.cdx.json target/linux-amd64/main
	cd target/release && sha256sum regild.cdx.json regild.zip >SHA256SUMS
	REGILD_RELEASE='$(CURDIR)/target/release' $(GO) test -count=1 -run Release ./deploy/pack
.PHONY: release

# Make or update everything around the function (deploy/ros.yaml) and write regild.env: ARGS='--dry-run' shows what would change.
setup: command
	bin/regild setup $(ARGS)
.PHONY: setup

# Deploy with Serverless Devs, every trigger by name (s.yaml, "Triggers"). A stopped function stays stopped, unless START=1.
deploy: package deploy/node_modules command
	S='$(S)' REGILD='bin/regild' ALIAS='$(ALIAS)' START='$(START)' deploy/deploy.sh
.PHONY: deploy

# Turn away every invocation of the function in REGILD_REGION, at once (the kill switch); `make start` lets them in again.
stop: bin/regild
	bin/regild stop
.PHONY: stop

# Let invocations in again, as many at once as s.yaml says.
start: bin/regild
	bin/regild start
.PHONY: start

# Look whether the account is set up right: ARGS='--probe' also sends a dry run through it.
doctor: command
	bin/regild doctor $(ARGS)
.PHONY: doctor

# The command as the sources are now: an old one would set up an old template.
command:
	$(GO) build -trimpath -o bin/regild ./cmd/regild
.PHONY: command

# Not built anew when it is there: the kill switch must not wait for a compiler. `make build` does.
bin/regild:
	$(GO) build -trimpath -o bin/regild ./cmd/regild

# Remove what was built and installed here.
clean:
	rm -rf bin target browser/node_modules conformance/node_modules deploy/node_modules
.PHONY: clean
