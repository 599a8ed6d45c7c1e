# make demo   predict the shipped scene with the shipped models into demo/
# make docs   the documentation site, into build/docs/index.html
# make test   the fast tests; make test-slow the long ones; make lint types: as CI runs them
#
# Everything runs in .venv, made on first use and again when pyproject.toml changes. Linux without an NVIDIA GPU gets
# PyTorch without CUDA from TORCH_INDEX if that answers; CPU=1 insists on it, CPU=0 does without.

PYTHON ?= python3
CPU ?=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# Processes that share the tests, one thread of PyTorch each. More than 4 would need more memory than most machines have.
WORKERS ?= logical
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n $(WORKERS) --maxprocesses 4
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs

.PHONY: demo test test-slow test-all lint types docs install clean
.DEFAULT_GOAL := help

.PHONY: help
help:
	@sed -n 's/^# //p' Makefile | head -3

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "landseg needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1); run: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@$(BIN)/python tools/cpu_torch.py --index '$(TORCH_INDEX)' --cpu '$(CPU)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo: $(STAMP)
	@mkdir -p demo
	$(BIN)/landseg predict sample_tiles/banepa_scene.tif -o demo/landcover.tif \
		--polygons demo/landcover.gpkg --preview demo/preview.png --overwrite
	$(BIN)/landseg predict sample_tiles/banepa_scene.tif -m buildings-rgb -o demo/buildings.gpkg \
		--preview demo/buildings.png --overwrite
	@echo
	@echo "Land cover of Banepa, Nepal:"
	@echo "  demo/landcover.tif   class raster; open it in QGIS, its style comes along"
	@echo "  demo/landcover.gpkg  polygons"
	@echo "  demo/preview.png     picture"
	@echo "Its buildings, each by itself:"
	@echo "  demo/buildings.gpkg  polygons: one a building, with its score and area, and the ground between them"
	@echo "  demo/buildings.png   picture, each building in a colour of its own"

test: $(STAMP)
	$(PYTEST) --dist loadfile -m "not slow"

test-slow: $(STAMP)
	$(PYTEST) --dist worksteal -m slow

test-all: test test-slow

lint: $(STAMP)
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	@touch $@

docs: $(DOCS_STAMP)
	$(BIN)/python -m tools.docs.build build/docs
	@echo "The documentation is in build/docs/index.html"

clean:
	rm -rf .venv demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
