# make demo   the whole appliance, once, on this machine: no root, no apt
# make test   all tests, against real counterparts (installed with apt when run as root)
# make faults what is killed, cut off, filled up or lied to, at length
# make check  format, lint, types, import contracts, architecture, generated documents

PYTHON ?= python3.11
# A site chooses its build of PyTorch: TORCH_INDEX=<address of a package index> make venv
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^ *\(torch==[0-9.]*\)$$/\1/p' setup.cfg)
BIN := .venv/bin
PACKAGES := appliance scp pipelines results_store feedback
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
OUT ?= benchmarks/results
BENCH ?=

.PHONY: venv dev demo test test-model test-gpu faults check docs guide screenshot bench bench-receive bench-day bench-pipelines bench-scale export-onnx train-hippocampus install install-files install-venv clean

# Compiled on all cores, which pip does on one. A package's templates are no Python: no error.
define install
	@echo "Making .venv; PyTorch is the large part. This takes a minute or more."
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) $(TORCH))
	$(PIP) --editable "$(1)"
	$(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true
endef

venv: .venv/runtime

.venv/runtime: setup.cfg pyproject.toml
	$(call install,.)
	touch $@

dev: .venv/dev

.venv/dev: setup.cfg pyproject.toml
	$(call install,.[dev])
	touch .venv/runtime $@

demo: venv
	$(BIN)/appliance demo

# By files: what a module sets up (an Orthanc, a cluster, warm children) is set up once.
# What a test starts is compiled once, also where the environment asks for no bytecode.
test: export PYTHONDONTWRITEBYTECODE =
test: dev
	sh tests/install-counterparts.sh
	$(BIN)/python -m pytest -m "not gpu" --ignore=tests/model -n 2 --dist loadfile

# The brain model, run several times over: tilted, stored otherwise. Some minutes.
test-model: dev
	$(BIN)/python -m pytest tests/model

# Kills, power cuts, attacks, hard times at length; half an hour. DATA=FOLDER sends its files too.
faults: dev
	sh tests/install-counterparts.sh
	$(PIP) --only-binary :all: atheris || echo "Without atheris the fuzzer goes by chance."
	$(BIN)/python -m tests.faults $(if $(DATA),--data $(DATA))

test-gpu: dev
	$(BIN)/python -m pytest -m gpu tests/gpu

check: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(foreach p,$(PACKAGES),-p $(p))
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

# Writes every generated document again; `make check` compares them.
docs: dev
	$(BIN)/python -m appliance.documents

# What the commands in docs/PIPELINES.md print, by the test that compares it.
guide: dev
	APPLIANCE_WRITE_GUIDE=1 $(BIN)/python -m pytest -q tests/system/test_pipelines_guide.py -k shows

# The picture of the review page in docs/, by the tests' own browser.
screenshot: dev
	APPLIANCE_SCREENSHOT=docs/review-page.png $(BIN)/python -m pytest -q tests/system/test_review_page.py

# pipelines/brain_mr_onnx/model.onnx, from the weights of brain_mr.
export-onnx: dev
	$(BIN)/python -m pipelines.brain_mr_onnx.export

# Trains the hippocampus model: five folds by subject and the final one, an hour of two idle cores.
# DATA=FOLDER is Task04_Hippocampus of the Medical Segmentation Decathlon; FOLD=0 makes one fold.
train-hippocampus: dev
	$(BIN)/python -m pipelines.hippocampus_mr.scripts.crossvalidate $(if $(DATA),--data "$(DATA)") \
		$(if $(FOLD),--fold $(FOLD))

bench: dev
	sh tests/install-counterparts.sh
	$(BIN)/python -m benchmarks --out $(OUT)

# Receiving: its memory, then its rates beside storescp, Orthanc and stock pynetdicom; up to an
# hour. BENCH=--quick takes minutes; other words: .venv/bin/python -m benchmarks.receive --help
bench-receive: dev
	sh tests/install-counterparts.sh
	$(BIN)/python -m benchmarks.memory --out $(OUT)
	$(BIN)/python -m benchmarks.receive --out $(OUT) $(BENCH)

# The peak hour of a large hospital, in five minutes; 20 GB of disk.
bench-day: dev
	$(BIN)/python -m benchmarks.day --out $(OUT)

# Pipelines kept warm, beside a process for each job; the brain study by phase. Some ten minutes.
bench-pipelines: dev
	$(BIN)/python -m benchmarks.pipelines --out $(OUT)

# A hospital group in a simulation: waits and costs (docs/SCALE.md).
bench-scale: dev
	$(BIN)/python -m benchmarks.scale --out $(OUT)

# DESTDIR=… lays the files out elsewhere; ENABLE=1 enables the units.
install:
	sh systemd/install.sh all

install-files:
	sh systemd/install.sh files

install-venv:
	sh systemd/install.sh venv

clean:
	rm -rf .venv build *.egg-info
