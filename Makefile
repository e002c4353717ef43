# Two commands matter: `make demo` runs the main job, `make test` passes the tests. Each makes .venv itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINS := -c constraints.txt
JOBS ?= 2

.PHONY: demo test test-torchvision test-minimum slow lint types imports docs gallery bench bench-m4 clean

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(PINS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(PIP) install --quiet $(PINS) -e ".[dev,docs,demo,transformers,onnx,scale,japanese]"
	touch $@

demo: $(VENV)/.core  ## run the loop on 3,000 faces, offline; the last line is the path of the report
	@$(BIN)/equipoise demo --out equipoise-demo --overwrite

test: $(VENV)/.dev  ## the fast suite
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS)

$(VENV)-torchvision/.done: pyproject.toml constraints-torchvision.txt
	$(PYTHON) -m venv $(VENV)-torchvision
	$(VENV)-torchvision/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-torchvision.txt \
		-e ".[open-clip,timm,transformers]" torchvision hypothesis pytest
	touch $@

test-torchvision: $(VENV)-torchvision/.done  ## open_clip and timm, whose torchvision needs a torch of its own
	OMP_NUM_THREADS=1 $(VENV)-torchvision/bin/python -m pytest tests/models/test_open_clip.py tests/models/test_timm.py \
		tests/models/test_preprocessing_torchvision.py

$(VENV)-minimum/.done: pyproject.toml constraints-minimum.txt
	$(PYTHON) -m venv $(VENV)-minimum
	$(VENV)-minimum/bin/python -m pip --disable-pip-version-check install --quiet -c constraints-minimum.txt -e . \
		fairlearn hypothesis pandas polars pytest pytest-xdist scikit-learn statsmodels
	touch $@

test-minimum: $(VENV)-minimum/.done  ## the fast suite on the oldest dependencies that the metadata admits
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(VENV)-minimum/bin/python -m pytest -n $(JOBS) --deselect tests/cli/test_kills.py

slow: $(VENV)/.dev  ## tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(VENV)/.dev
	$(BIN)/lint-imports

docs: $(VENV)/.dev
	$(BIN)/python scripts/write_metric_docs.py --check
	$(BIN)/python scripts/demo_tables.py --check
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

gallery: $(VENV)/.dev  ## measure the pages of docs/gallery again; needs the data
	$(BIN)/python examples/face_gender_audit.py --out runs/gallery --write-docs
	$(BIN)/python examples/imagenet_and_portraits.py --out runs/gallery --write-docs

bench: $(VENV)/.dev  ## ratios against named peers, in one run
	$(BIN)/python -m benchmarks

$(VENV)-peers/.done:
	$(PYTHON) -m venv $(VENV)-peers
	$(VENV)-peers/bin/python -m pip --disable-pip-version-check install --quiet empirical_calibration weightipy cvxpy \
		clarabel aif360 pandas
	touch $@

$(VENV)-balance/.done:
	$(PYTHON) -m venv $(VENV)-balance
	$(VENV)-balance/bin/python -m pip --disable-pip-version-check install --quiet balance
	touch $@

bench-m4: $(VENV)/.dev $(VENV)-peers/.done $(VENV)-balance/.done  ## M4 beside libraries that weight rows; half an hour
	$(BIN)/python benchmarks/m4_peers.py --sets S A B C web --limit 600 --python $(VENV)-peers/bin/python \
		--python $(VENV)-balance/bin/python

clean:
	rm -rf $(VENV) build dist docs/_build .pytest_cache .ruff_cache .import_linter_cache equipoise-demo
