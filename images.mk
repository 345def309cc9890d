# The container images: built here (make images), tested, pushed, signed, and named in an overlay (docs/ci.md). Part of the
# Makefile, in a file of its own since a change here builds all images anew.

IMAGE_TAG ?= latest
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' occupancy/__init__.py)
CREATED = $(shell git log -1 --format=%cI 2>/dev/null)
# BASE, if it is set, stands for the base image that the Dockerfiles pin by its digest
BUILD_ARGS = $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) \
  --build-arg CREATED=$(CREATED) --build-arg SOURCE=$(SOURCE)
images: ## build occupancy_training, occupancy_inference, occupancy_monitoring and occupancy_retraining, all :latest
	for image in $(IMAGES); do \
	  file=Dockerfile.$$image; [[ -e $$file ]] || file=$$image/Dockerfile; \
	  DOCKER_BUILDKIT=1 docker build -f $$file -t occupancy_$$image:$(IMAGE_TAG) $(BUILD_ARGS) . || exit; \
	done

TESTS_retraining := tests/training tests/monitoring
image-tests: $(VENV)/dev ## test what is in an image, then its container: make image-tests IMAGE=inference
	$(IN)/python -m pytest tests/occupancy $(or $(TESTS_$(IMAGE)),tests/$(IMAGE)) tests/integration/test_images.py $(PYTEST)

# Images for a registry, for two architectures, with what they are made of (SBOM) and how (provenance). Docker Hub unless
# REGISTRY says otherwise; what builds is pinned, too.
REGISTRY := $(or $(REGISTRY),$(and $(REGISTRY_USER),docker.io/$(REGISTRY_USER)))
IN_REGISTRY = $(or $(REGISTRY),$(error where? REGISTRY_USER=you, or REGISTRY=ghcr.io/you))/occupancy_$(or $(IMAGE),$(error which image? IMAGE=inference))
PLATFORMS ?= linux/amd64,linux/arm64
BUILDER ?= occupancy
BUILDKIT := moby/buildkit:v0.33.1@sha256:cec9f139f45e93c5c69c60f8b07cfad9f43f4ef6b6a6cd917527fea5ff2e3dea
BINFMT := tonistiigi/binfmt:qemu-v10.2.3@sha256:400a4873b838d1b89194d982c45e5fb3cda4593fbfd7e08a02e76b03b21166f0
SCANNER ?= docker/buildkit-syft-scanner:1.12.0@sha256:ae4f3b554449e7e25548e7d8ccc029d17357348e30c6e3df01b92bc93654d6a9
CACHE = type=registry,ref=$(IN_REGISTRY):cache
# a shell that exports a variable of one of these names would have make expand it, and its error, for every recipe
unexport IN_REGISTRY CACHE BUILDX DIGEST
BUILDX = docker buildx build --builder $(BUILDER) --platform $(PLATFORMS) -f $(firstword $(wildcard Dockerfile.$(IMAGE)) $(IMAGE)/Dockerfile) \
  $(BUILD_ARGS) $(if $(REGISTRY),--cache-from $(CACHE))

builder: ## the builder for both architectures: BuildKit in a container, and an emulator of the other processor
	docker buildx inspect $(BUILDER) >/dev/null 2>&1 || { docker run --privileged --rm $(BINFMT) --install arm64,amd64 && \
	  docker buildx create --name $(BUILDER) --driver docker-container --driver-opt image=$(BUILDKIT); }

both: builder ## build an image for both architectures, and push nothing: make both IMAGE=inference
	$(BUILDX) --output type=cacheonly .

login: ## log in to the registry as REGISTRY_USER with the token in REGISTRY_TOKEN
	@[[ -n "$$REGISTRY_TOKEN" ]] || { echo "make login: REGISTRY_TOKEN is empty: put the registry's access token into it"; exit 1; }
	@docker login --username "$(REGISTRY_USER)" --password-stdin $(firstword $(subst /, ,$(REGISTRY))) <<<"$$REGISTRY_TOKEN"

# a commit's image has its revision as tag; that of a release its version, too, and the version without its last number
RELEASE = $(shell git describe --exact-match --tags --match 'v[0-9]*.[0-9]*.[0-9]*' 2>/dev/null)
TAGS = sha-$(REVISION) $(if $(RELEASE),$(VERSION) $(basename $(VERSION)))
push: builder ## build and push an image: make push IMAGE=inference REGISTRY_USER=you
	$(if $(filter-out v$(VERSION),$(RELEASE)),$(error the tag $(RELEASE) is not v$(VERSION), which occupancy/__init__.py says))
	@[[ -z "$$(git status --porcelain)" ]] || { echo "make push: commit first, new files too: the image's tag names a revision"; exit 1; }
	@[[ $(IMAGE) != training || -e data/original/datatraining.txt ]] || \
	  { echo "make push: data/original has not the real data, which the image carries: make data"; exit 1; }
	mkdir -p out/push
	$(BUILDX) --cache-to $(CACHE),mode=max --attest type=sbom,generator=$(SCANNER) --attest type=provenance,mode=max \
	  $(TAGS:%=--tag $(IN_REGISTRY):%) --metadata-file out/push/$(IMAGE).json --push .

COSIGN ?= $(or $(shell command -v cosign),go run github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3)
PUSHED = $(shell sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' out/push/$(IMAGE).json)
sign: ## sign the image that was pushed last, as who logs in or, in a workflow, as the workflow
	$(COSIGN) sign --yes $(IN_REGISTRY)@$(PUSHED)

TAG ?= sha-$(REVISION)
DIGEST ?= $(shell docker buildx imagetools inspect $(IN_REGISTRY):$(TAG) --format '{{print .Manifest.Digest}}')
verify: ## an image in the registry has an SBOM and provenance for each architecture: make verify IMAGE=inference TAG=1.2.0
	@echo $(IN_REGISTRY):$(TAG) is $(DIGEST)
	@for platform in linux/amd64 linux/arm64; do docker buildx imagetools inspect $(IN_REGISTRY):$(TAG) --format \
	  "$$platform {{(index .Provenance \"$$platform\").SLSA.buildType}} {{(index .SBOM \"$$platform\").SPDX.spdxVersion}}" && echo || exit; done

signature: ## an image in the registry is signed by the workflows of SOURCE: make signature IMAGE=... TAG=... SOURCE=https://github.com/you/occupancy
	$(COSIGN) verify --certificate-oidc-issuer https://token.actions.githubusercontent.com \
	  --certificate-identity-regexp '^$(or $(SOURCE),$(error whose? SOURCE=https://github.com/you/occupancy))/\.github/workflows/image\.yml@refs/(heads/main|tags/v.*)$$' $(IN_REGISTRY):$(TAG)

OVERLAY ?= kubernetes/overlays/production
deploy-line: ## write the line of an overlay that says which image runs: make deploy-line IMAGE=inference TAG=1.2.0
	@file=$(OVERLAY)/kustomization.yaml && [[ "$(DIGEST)" == sha256:* ]] && grep -q "name: occupancy_$(IMAGE)$$" $$file && \
	  changed=$$(sed '/name: occupancy_$(IMAGE)$$/,/digest:/{s|newName: .*|newName: $(IN_REGISTRY)|;s|digest: .*|digest: $(DIGEST)|;}' $$file) && \
	  printf '%s\n' "$$changed" > $$file && grep -A 2 "name: occupancy_$(IMAGE)$$" $$file


.PHONY: images image-tests builder both login push sign verify signature deploy-line
