# Everything a developer does, one word each. PYTHON names the interpreter of the virtual environment, DATA the packed images.
PYTHON ?= .venv/bin/python
DATA ?= data

.PHONY: benchmark app test lint format types data train evaluate golden cards report lock audit licences campaign

app:            ## open the page
	$(PYTHON) app.py

test:           ## run the tests, in two processes
	$(PYTHON) -m pytest -n 2 --dist loadfile

lint: types     ## style, types and which module may import which
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(dir $(PYTHON))lint-imports

types:
	$(PYTHON) -m mypy

format:         ## mend the style
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

data:           ## pack the data set: make data BOWL=folder-with-the-downloads
	$(PYTHON) -m train.data --source $(BOWL)/stage1_train.zip $(BOWL)/stage1_test.zip \
	    --truth $(BOWL)/stage1_solution.csv --out data/dsb2018

train:          ## train both networks, each in five runs, then the small one in three; the last runs want a GPU
	for run in unet unetpp unet-on unetpp-on unet-settle unetpp-settle unet-five unetpp-five unet-taught-on unetpp-taught-on \
	    unet-small-five unet-small-taught unet-small-taught-on; do \
	    $(PYTHON) -m train.train --config train/configs/$$run.yaml || exit 1; done

evaluate:       ## measure the bundled weights on the test lists
	$(PYTHON) -m train.evaluation.evaluate --model weights/unet-nuclei weights/unetpp-nuclei weights/unet-small-nuclei
	$(PYTHON) -m train.evaluation.figures --weights weights/unet-nuclei weights/unetpp-nuclei --out docs/results.png

golden:         ## store what the bundled weights say of an example image, for the tests and bioimage.io
	$(PYTHON) -m train.release.golden

cards:          ## write the model cards and their pictures
	$(PYTHON) -m train.release.card weights/unet-nuclei weights/unetpp-nuclei weights/unet-small-nuclei --data data

report:         ## write the measured figures into README and docs
	$(PYTHON) -m train.release.readme

lock:           ## pin what requirements.txt needs, with hashes; torch is left to the machine
	grep -v '^torch==' requirements.txt | uv pip compile - --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file requirements.lock

audit:          ## ask for known weaknesses in what is locked (needs the network)
	pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock

licences:       ## list the licences of what is locked, as it is installed here
	( printf '# Licences\n\nOf what the app installs, as `make licences` found them on Linux.\n\n'; \
	  pip-licenses --python $(PYTHON) --format markdown --with-urls --order license --packages torch \
	    $$(sed -n 's/^\([a-z0-9_.-]*\)==.*/\1/p' requirements.lock | sort -u) ) > docs/licences.md

campaign:       ## try everything against it, and write what came of it into docs/trust.md
	$(PYTHON) -m tests.campaign --out docs/trust.md

benchmark:      ## measure all speed, in an hour or so, into README and docs; AGAINST=checkout of an earlier version, too
	$(PYTHON) -m benchmarks.peers --install
	test ! -d $(DATA)/dsb2018 || $(PYTHON) -m train.evaluation.evaluate --split validation --data $(DATA) \
	    --out benchmarks/quality --model $(wildcard weights/unet-nuclei weights/unet-small-nuclei)
	$(PYTHON) -m benchmarks.small $(if $(AGAINST),--against $(AGAINST))
	-$(PYTHON) -m benchmarks.page_benchmark
	$(PYTHON) -m benchmarks all $(if $(AGAINST),--against $(AGAINST))
