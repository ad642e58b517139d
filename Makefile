# make install | test | lint | demo | docs. Everything is installed in .venv; nothing outside the checkout
# changes. PYTHON chooses the interpreter: make install PYTHON=python3.12
PYTHON ?= python3
OUTPUT ?= output/vtfpn_R18_scenes
export DETECTRON2_DATASETS ?= datasets

VENV := .venv
VENV_PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed

.PHONY: install test lint demo docs

install: $(INSTALLED)

# There are two ways. If PYTHON has no Detectron2, the tested versions of requirements.txt go into
# .venv and Detectron2 after them. If it has one, .venv sees PYTHON's packages (its pyvenv.cfg says
# so), and only missing packages are added, within the ranges of pyproject.toml: that torch and that
# Detectron2 belong together and are used as they are.
$(INSTALLED): requirements.txt pyproject.toml dev/create_environment.py \
		dev/install_detectron2.py
	$(PYTHON) dev/create_environment.py $(VENV)
	if grep -qi '^include-system-site-packages = true' $(VENV)/pyvenv.cfg; then \
		extras=dev; $(VENV_PYTHON) -c 'import cv2' 2>/dev/null || extras=dev,opencv; \
		$(VENV_PYTHON) -m pip install -e ".[$$extras]"; \
	else \
		$(VENV_PYTHON) -m pip install --use-pep517 -r requirements.txt && \
		$(VENV_PYTHON) dev/install_detectron2.py && \
		$(VENV_PYTHON) -m pip install --no-deps --no-build-isolation -e .; \
	fi
	touch $@

# Each process has one torch thread, as pytest runs a process per core.
test: install
	OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n auto --maxprocesses 4

lint: install
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy

# Render the scenes, train VT-FPN on them from scratch, and draw its predictions on held-out ones. A
# demo that was interrupted continues where it stopped.
demo: install
	$(VENV_PYTHON) datasets/prepare_scenes.py --root $(DETECTRON2_DATASETS)
	$(VENV_PYTHON) tools/train_net.py --config-file configs/vtfpn_R18_scenes.yaml --resume \
		OUTPUT_DIR $(OUTPUT)
	$(VENV_PYTHON) tools/demo.py --config-file configs/vtfpn_R18_scenes.yaml \
		--dataset vt_scenes_val --opts OUTPUT_DIR $(OUTPUT)
	@grep -h "Done: mIoU" $(OUTPUT)/log.txt | tail -n 1 | sed 's/.*Done: /Held-out scenes: /'

# The documentation site, in output/docs; a warning is an error.
docs: install
	$(VENV_PYTHON) -m sphinx -q -W --keep-going -b html docs output/docs
