# Everything a person or a CI runs on this repository; `make help` lists it.
# The modules are those of go.work, which is the only list of them, and bench:
# the pools that it compares with need far more than everything else together.

modules = $(shell go list -m -f '{{.Dir}}' | sed 's|^$(CURDIR)|.|') ./bench
STRESS ?= 2m

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test integration registries-up registries-down images check bench bench-thrift bench-http bench-faults bench-policy bench-balance bench-pick bench-compare stress fmt tidy check-fmt check-vet check-32bit check-lint check-race check-alone check-tidy check-layers

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

bench-pick: ## the time that the choice takes, of 10 to 10,000 servers; flags in ARGS="..."
	GOWORK=off go -C bench run ./pick $(ARGS)

bench-compare: ## is the working tree slower than the commit OLD, or NEW than OLD? flags in ARGS="..."
	GOWORK=off go -C bench run ./compare $(ARGS) $(or $(OLD),main) $(NEW)

stress: ## random actions against the core for STRESS=2m
	STRESS=$(STRESS) go test -race -count=1 -timeout=0 -run=Stress -v ./core/...

fmt: .bin/golangci-lint ## format everything: gofumpt, and imports in three groups
	.bin/golangci-lint fmt

tidy: ## tidy every go.mod and go.sum
	$(call each,go mod tidy)

check: check-fmt check-vet check-32bit check-lint check-race check-alone check-tidy check-layers ## the gate: everything below, in this order
	@echo "==> all checks passed"

check-fmt: .bin/golangci-lint ## code is formatted (else: make fmt)
	$(call step,gofumpt and gci)
	@.bin/golangci-lint fmt --diff || $(call fail,run make fmt)

check-vet: ## go vet
	$(call step,go vet)
	@go vet work && GOWORK=off go -C bench vet ./...

check-32bit: ## everything compiles for 32 bits too, tests included
	$(call step,go vet for 386 and arm)
	@GOARCH=386 go vet work && GOARCH=arm go vet work

check-lint: .bin/golangci-lint ## golangci-lint in each module
	$(call step,golangci-lint)
	$(call each,$(CURDIR)/.bin/golangci-lint run --allow-parallel-runners ./...)

check-race: ## all tests with the race detector
	$(call step,go test -race)
	@go test -race work && GOWORK=off go -C bench test -race ./...

check-alone: ## each module builds without go.work, as its users see it
	$(call step,each module alone)
	$(call each,go build -o /dev/null ./... && go vet ./...)

check-tidy: ## every go.mod and go.sum is tidy (else: make tidy)
	$(call step,go mod tidy)
	$(call each,go mod tidy -diff)

check-layers: ## the root module has no dependency, and core none of its own
	$(call step,layers)
	@go test -count=1 .

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
