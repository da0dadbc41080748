# Everything a person or a CI runs on this repository; `make help` lists it.
# The modules are those of go.work, which is the only list of them, and bench: what it
# compares with needs far more than everything else together. What interop runs needs
# more still, and is outside the gate.

modules = $(shell go list -m -f '{{.Dir}}' | sed 's|^$(CURDIR)|.|') ./bench
STRESS ?= 2m
FUZZTIME ?= 1m

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test integration interop rings postgres registries-up registries-down images check bench bench-thrift bench-http bench-faults bench-policy bench-balance bench-even bench-scale bench-pick bench-compare stress model fuzz vuln notice fmt tidy check-fmt check-vet check-platforms check-oldest check-lint check-race check-fuzz check-alone check-tidy check-layers check-notice release release-check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-15s %s\n", $$1, $$2 }'

run: ## run the quickstart; REGISTRY=etcd (or zk, consul, a URL) finds its servers there; flags in ARGS="..."
	go run $(run-tags) ./examples/quickstart $(if $(REGISTRY),-registry="$(REGISTRY)") $(ARGS)

# Clients of registries, and etcd's server, are built only for those who ask.
run-tags = $(if $(REGISTRY),-tags=registries$(if $(filter etcd,$(REGISTRY)),$(comma)embedetcd))
comma := ,

test: ## run the tests of all modules with the race detector
	go test -race work

integration: ## start ZooKeeper, etcd and Consul in containers, break them, and watch the pool; then remove them
	CLUSTER=$(or $(CLUSTER),multipool-integration) CLUSTER_PORT=$(or $(CLUSTER_PORT),21830) integration/cluster test $(ARGS)

registries-up: ## start them and leave them running; prints how tests find them
	@integration/cluster up && integration/cluster env

registries-down: ## remove what registries-up started
	@integration/cluster down

images: ## build their images now, where none can be pulled
	@integration/cluster images

interop: rings postgres ## run other projects' registrars and resolvers beside ours, and write interop/REPORT.md; some minutes
	GOWORK=off go -C interop run ./registries REPORT.md

rings: ## ask the real nginx, HAProxy, twemproxy, libmemcached and gRPC where they place keys, and write the tables of the tests of balance
	GOWORK=off go -C interop run ./rings ../balance/testdata/rings rings/REPORT.md

postgres: ## let Patroni fail a cluster of PostgreSQL over while callers read and write; two minutes
	GOWORK=off go -C interop run ./postgres postgres/REPORT.md

bench: ## compare with other pools on this machine; flags in ARGS="..."
	GOWORK=off go -C bench run . $(ARGS)

bench-thrift: ## compare ways to call Thrift servers; flags in ARGS="..."
	GOWORK=off go -C bench run ./thrift $(ARGS)

bench-http: ## the same for HTTP servers; flags in ARGS="..."
	GOWORK=off go -C bench run ./http $(ARGS)

bench-faults: ## kill, stop, silence and slow servers under load; flags in ARGS="..."
	GOWORK=off go -C bench run ./faults $(ARGS)

bench-policy: ## the choice of servers in simulated time, beside an omniscient one; flags in ARGS="..."
	GOWORK=off go -C bench run ./policy $(ARGS)

bench-balance: ## shares, restarts, a canary and moved keys of every balancer, in simulated time; writes bench/balance/RESULTS.md
	GOWORK=off go -C bench test ./balance -count=1 -run Tables -args -long -o RESULTS.md $(ARGS)

bench-even: ## equal servers while other processes want the processors; flags in ARGS="..."
	GOWORK=off go -C bench run ./even $(ARGS)

bench-scale: ## large fleets that lose their registry, restart or begin at once, in simulated time; writes bench/scale/RESULTS.md
	GOWORK=off go -C bench test ./scale -count=1 -timeout=0 -run Tables -args -long -o RESULTS.md $(ARGS)

bench-pick: ## the time that the choice takes, of 10 to 10,000 servers; flags in ARGS="..."
	GOWORK=off go -C bench run ./pick $(ARGS)

bench-compare: ## is the working tree slower than the commit OLD, or NEW than OLD? flags in ARGS="..."
	GOWORK=off go -C bench run ./compare $(ARGS) $(or $(OLD),main) $(NEW)

stress: ## random actions against the core for STRESS=2m
	STRESS=$(STRESS) go test -race -count=1 -timeout=0 -run=Stress -v ./core/...

fuzz: ## run every fuzz target for FUZZTIME=1m, one after the other
	.ci/fuzz $(FUZZTIME) $(modules)

vuln: ## look for known vulnerabilities in what the modules call; says so where the database cannot be reached
	.ci/vuln $(modules)

notice: ## write NOTICE anew, from the licences of what the modules link to
	GOWORK=off go -C tools run ./notice -write ..

model: ## the protocol of waiting calls, checked exhaustively by spin; names of single checks in ARGS="..."
	core/internal/model/run $(ARGS)

fmt: .bin/golangci-lint ## format everything: gofumpt, and imports in three groups
	.bin/golangci-lint fmt

tidy: ## tidy every go.mod and go.sum
	$(call each,go mod tidy)

check: check-fmt check-vet check-platforms check-oldest check-lint check-race check-fuzz check-alone check-tidy check-layers check-notice release-check vuln ## the gate: everything below, in this order
	@echo "==> all checks passed"

check-fmt: .bin/golangci-lint ## code is formatted (else: make fmt)
	$(call step,gofumpt and gci)
	@.bin/golangci-lint fmt --diff || $(call fail,run make fmt)

check-vet: ## go vet, and actionlint for the workflow
	$(call step,go vet)
	@go vet work && GOWORK=off go -C bench vet ./...
	@GOWORK=off go run $(actionlint) .github/workflows/ci.yml

# Not in tools/go.mod: it does not build with the version of yaml/v4 that golangci-lint requires.
actionlint = github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

check-platforms: ## everything compiles for other systems and processors; tests too for 32 bits
	$(call step,other systems and processors)
	@GOARCH=386 go vet ./... ./discovery/zk/... ./protocol/thriftpool/... ./util/...
	@for p in $(platforms); do echo "    $$p"; GOOS=$${p%/*} GOARCH=$${p#*/} go build ./... ./discovery/zk/... ./util/... || exit 1; done
	@GOOS=windows GOARCH=386 go build $(packages)

# The clients of the other modules are built once more only, since that takes minutes: for
# Windows and 32 bits.
packages = $(patsubst %,%/...,$(filter-out ./bench ./examples ./integration,$(modules)))
platforms = linux/arm64 darwin/arm64 freebsd/amd64

check-oldest: ## modules that promise an older Go work with it, which is downloaded
	$(call step,$(oldest))
	@for m in $(old-modules); do echo "    $$m"; (cd $$m && GOWORK=off GOTOOLCHAIN=$(oldest) go vet ./...) || exit 1; done
	@GOWORK=off GOTOOLCHAIN=$(oldest) go test ./core ./config ./discovery ./outlier ./retry ./protocol/netpool

# Those whose go.mod asks for no more than oldest.
old-modules = . ./discovery/zk ./util
oldest = go1.25.5

check-lint: .bin/golangci-lint ## golangci-lint in each module
	$(call step,golangci-lint)
	$(call each,$(CURDIR)/.bin/golangci-lint run --allow-parallel-runners ./...)

check-race: ## all tests with the race detector
	$(call step,go test -race)
	@go test -race -timeout=30m work && GOWORK=off go -C bench test -race ./...

check-fuzz: ## every fuzz target for five seconds; make fuzz takes a minute each
	$(call step,fuzz)
	@.ci/fuzz 5s $(modules)

check-alone: ## each module builds without go.work, as its users see it
	$(call step,each module alone)
	$(call each,go build -o /dev/null ./... && go vet ./...)

check-tidy: ## every go.mod and go.sum is tidy (else: make tidy)
	$(call step,go mod tidy)
	$(call each,go mod tidy -diff)

check-layers: ## the root module has no dependency, and core none of its own
	$(call step,layers)
	@go test -count=1 .

check-notice: ## NOTICE has every module that ours link to (else: make notice)
	$(call step,NOTICE)
	@GOWORK=off go -C tools run ./notice ..

release-check: ## programs outside of this repository can go get and build each released module
	$(call step,go get from outside)
	@GOWORK=off go -C tools test ./...
	@$(release) check

release: ## set VERSION=v0.1.0 everywhere, run the gate, commit; prints the tags to push, and pushes nothing
	$(call step,preparing $(VERSION))
	@$(release) prepare "$(VERSION)"
	@$(MAKE) check
	@$(release) commit "$(VERSION)"

release = GOWORK=off go -C tools run ./release

# Built once from its pin, since that takes minutes.
.bin/golangci-lint: tools/go.mod
	$(call step,building $@)
	@GOWORK=off go -C tools build -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

step = @echo "==> $(1)"
fail = { echo "FAIL: $(1)" >&2; exit 1; }
# $(call each,command) runs the command in every module, also after a failure,
# and fails in the end if one did.
each = @failed=; set -- $(modules); [ -n "$$1" ] || $(call fail,go.work lists no module); \
	for m; do echo "    $$m"; (cd $$m && export GOWORK=off && $(1)) || failed="$$failed $$m"; done; \
	[ -z "$$failed" ] || $(call fail,$(1) in$$failed)
