# Everything a developer does, one word each. PYTHON names the interpreter of the virtual environment.
PYTHON ?= .venv/bin/python

.PHONY: app test lint format types data train evaluate cards report

app:            ## open the page
	$(PYTHON) app.py

test:           ## run the tests
	$(PYTHON) -m pytest

lint: types     ## style and types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

types:
	$(PYTHON) -m mypy

format:         ## mend the style
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

data:           ## pack the data set: make data BOWL=folder-with-the-downloads
	$(PYTHON) -m train.data --source $(BOWL)/stage1_train.zip $(BOWL)/stage1_test.zip \
	    --truth $(BOWL)/stage1_solution.csv --out data/dsb2018

train:          ## train both networks, one after the other
	$(PYTHON) -m train.train --config train/configs/unet.yaml
	$(PYTHON) -m train.train --config train/configs/unetpp.yaml

evaluate:       ## measure the bundled weights on the test lists
	$(PYTHON) -m train.evaluate --model weights/unet-nuclei weights/unetpp-nuclei --figure docs/results.png

cards:          ## write the model cards and their pictures
	$(PYTHON) -m train.card weights/unet-nuclei weights/unetpp-nuclei --data data/dsb2018

report:         ## write the measured figures into README
	$(PYTHON) -m train.report
