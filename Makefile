# Everything on a fresh machine that has Python >= 3.11 (with venv) and make:
#   make demo   path-integral IR spectrum of water from the shipped model (figure and CSV in runs/demo)
#   make test   the test suite
#   make docs   the documentation as a web site in site/; make docs-serve shows it on localhost, with its search
#   make pages  the generated pages of docs/reference anew: keys, commands, names, modules
#   make validation DATA=folder   trains the ladders of inputs/validation (hours, resumable)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Two busy-waiting thread pools on few cores slow each other down by a factor of ten and more.
export OMP_WAIT_POLICY := PASSIVE
export OMP_NUM_THREADS ?= 1

.PHONY: help install demo test validation lint pages docs docs-serve clean

help:
	@sed -n '1,6s/^# //p' Makefile

install: $(STAMP)

# Without an NVIDIA GPU a CPU build of torch (0.2 GB instead of 3 GB) is taken if pip can find one.
$(STAMP): pyproject.toml
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@if ! $(BIN)/python -c "import torch" 2>/dev/null && ! command -v nvidia-smi >/dev/null; then \
	  $(BIN)/python -m pip install --quiet "torch==2.13.0+cpu" 2>/dev/null \
	  || echo "No CPU build of torch found; the default wheel will be installed."; \
	fi
	$(BIN)/python -m pip install --quiet --editable ".[train,test,docs]"
	touch $@

demo: $(STAMP)
	$(BIN)/les-ipi run inputs/water/demo.xml --directory runs/demo --record current --compile
	$(BIN)/les-analysis ir runs/demo

test: $(STAMP)
	$(BIN)/python -m pytest

DATA ?= data
validation: $(STAMP)
	$(BIN)/python benchmarks/validation.py --data-root $(DATA)

lint: $(STAMP)
	$(BIN)/ruff check .

pages: $(STAMP)
	for script in training_keys field_keys cli_reference api_pages module_table; do $(BIN)/python docs/$$script.py || exit 1; done

docs: export NO_MKDOCS_2_WARNING := 1
docs: $(STAMP)
	$(BIN)/python -m mkdocs build --strict

docs-serve: export NO_MKDOCS_2_WARNING := 1
docs-serve: $(STAMP)
	$(BIN)/python -m mkdocs serve

clean:
	rm -rf $(VENV) runs site build *.egg-info
