# The Python that .venv is made from, and the torch build: a plain `torch` would bring gigabytes of CUDA.
PYTHON ?= python3
TORCH ?= torch==2.13.0

# It asks for Python 3.12 and runs on those before as well, so that MRD 2 is tested everywhere.
MRD2 := mrd-python==2.2.1

# Torch's threads give way to other programs while they wait, as they do in `kband`.
export OMP_WAIT_POLICY ?= passive

BIN = .venv/bin
INSTALLED = .venv/.installed

.PHONY: help demo test docs
.DELETE_ON_ERROR:

help:
	@echo "make demo   simulate a scan, reconstruct it with SENSE, GRAPPA and k-band, draw the images into demo/"
	@echo "make test   check the style and run all tests"
	@echo "make docs   write the API reference into build/docs; a warning ends it"
	@echo "All first install what they need into .venv; PYTHON=... and TORCH=... choose Python and torch build."

demo: $(INSTALLED)
	mkdir -p demo
	$(BIN)/kband simulate -o demo/scan.h5 --overwrite
	$(BIN)/kband replay demo/scan.h5 -p sense -o demo/images.h5 --overwrite
	$(BIN)/kband view demo/images.h5 --reference demo/scan.h5 -o demo/images.png --overwrite
	$(BIN)/kband replay demo/scan.h5 -p grappa -o demo/images_grappa.h5 --overwrite
	$(BIN)/kband view demo/images_grappa.h5 --reference demo/scan.h5 -o demo/images_grappa.png --overwrite
	$(BIN)/kband replay demo/scan.h5 -p kband -o demo/images_kband.h5 --overwrite
	$(BIN)/kband view demo/images_kband.h5 --reference demo/scan.h5 -o demo/images_kband.png --overwrite

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

docs: $(INSTALLED)
	$(BIN)/mkdocs build --config-file docs/mkdocs.yml
	@echo "the API reference is build/docs/index.html"

$(INSTALLED): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "$(PYTHON) is not Python 3.10 or newer; name another one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments; install the Debian package python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet --editable ".[dev,docs]"
	$(BIN)/python -m pip install --quiet --ignore-requires-python --no-deps $(MRD2)
	@touch $@
