# make lists the targets. Everything runs from a fresh checkout; "make deps" asks apt for what is missing.

.DEFAULT_GOAL := help
.PHONY: help deps run build dist web test prove chaos bench pictures fuzz lint fmt clean

GO_TOOL := go tool -modfile=tools/go.mod

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what building and testing needs
	@scripts/install

run: web ## start the server with its pages and its defaults, on http://127.0.0.1:8080/room
	go run ./cmd/server

web: web/dist/socket.io.js ## build what browsers load; the next build of the server has it

web/dist/socket.io.js: web/node_modules/.package-lock.json $(shell find web/src web/public clients/js/src -type f) $(wildcard web/*.html web/*.ts web/*.mjs web/package.json)
	@echo "building the pages"
	@cd web && npm run --silent build

web/node_modules/.package-lock.json: web/package-lock.json
	@echo "installing what the pages are made of"
	@cd web && npm ci --no-progress --no-audit --no-fund --loglevel=error

dist: web ## pack static binaries for Linux on amd64, arm64 and loong64 into dist/
	@scripts/dist

build: ## build the server into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/server

test: deps lint ## check everything: lint, then all tests against real servers and clients
	scripts/services run scripts/tests -race -timeout 40m $$(go list ./... | grep -v -E '/test/(chaos|examples|pages|sdk)$$')
	scripts/services run scripts/tests -race -timeout 20m -p 1 ./test/examples ./test/pages ./test/sdk # by themselves: browsers and compilers take the whole machine
	scripts/tests -race -timeout 20m ./test/chaos # by itself: it breaks what it has itself, and takes the whole machine
	cd bench && go test -race ./...
	cd web && npm test --silent
	cd deploy && go test ./...

prove: deps ## run the long proofs: load, crashes, lost networks
	scripts/prove

chaos: deps ## break nodes, servers and lines, and print what was promised and what clients saw
	@scripts/chaos

bench: deps ## measure beside Node and a bare broadcaster, and print what each costs
	@scripts/bench

pictures: deps ## take the pictures of the pages in docs/screenshots
	@mkdir -p docs/screenshots
	ROLLCALL_TEST_PICTURES=$(CURDIR)/docs/screenshots scripts/services run go test -count=1 -run TestMeeting ./test/pages

fuzz: ## look for input that breaks something, 30 s for each kind of it
	@scripts/fuzz

lint: ## gofmt, go vet and staticcheck
	@echo "gofmt" && unformatted=$$(gofmt -l .) && test -z "$$unformatted" || { echo "run make fmt for:"; echo "$$unformatted"; exit 1; }
	go vet ./...
	cd bench && go vet ./...
	cd deploy && go vet ./...
	$(GO_TOOL) staticcheck ./...

fmt: ## format all Go files
	gofmt -w .

clean: ## remove what was built and installed here
	rm -rf bin dist test/clients/node_modules test/pages/node_modules clients/js/node_modules clients/js/dist clients/js/build bench/node/node_modules web/node_modules web/dist/*.* web/dist/assets
