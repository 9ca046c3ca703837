# Two commands do everything on a fresh machine: `make demo` and `make test`. The others are for whoever works on prvr.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
READY   = $(VENV)/.ready
DONE    = $(VENV)/.installed
DOCS    = $(VENV)/.docs
HEAVY   = $(VENV)/.heavy

.PHONY: setup demo test test-all test-cluster check format wheel check-wheel web docs screenshots figures sbom clean

setup: $(DONE)

# For people: what runs, and the model `things` for their own videos. No tools for developers.
$(READY): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): fetches packages of about 1.6 GB unpacked, PyTorch among them; 1 to 5 minutes, once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "prvr needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[things]'
	@touch $(READY)

$(DONE): $(READY)
	@echo "Setting up the tools for developers: about 0.6 GB more, unpacked"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(DONE)

demo: $(READY)
	$(BIN)/prvr demo --out demo

# One thread: the tests compute many small things, where threads that wait for each other cost more than they bring.
# Instead, one process a core. Each begins at a place of its own in the list and takes over from others when it is done:
# tests of one file stay together, so what a file makes once is hardly ever made twice.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal -m "not cluster"

# The same with what only some tests need: a model of speech and what runs it, Ray, what makes the docs: 0.7 GB. Those
# tests skip without.
$(HEAVY): $(DONE)
	@echo "Setting up what heavy tests need: about 0.7 GB more, unpacked"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[heavy]' \
		&& touch $(HEAVY) || echo "it could not be fetched: the tests that need it will skip"

test-all: $(HEAVY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal -m "not cluster"

# Two nodes of Ray on this machine, which come, go and are killed: some minutes, in one process, since they take all cores.
test-cluster: $(HEAVY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/cluster

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What is published, and the proof that it does what the README says in an environment that has nothing else.
wheel:
	@rm -rf dist
	$(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

check-wheel: wheel
	$(PYTHON) .ci/check_wheel.py dist/prvr-*.whl

# The page is built and committed, so that nobody needs Node but who changes it; the same sources give the same bytes.
web: setup
	cd web && npm ci --no-audit --no-fund
	$(BIN)/python web/schema.py | (cd web && node types.mjs > src/schema.ts)
	cd web && npm run build

# The documentation as a site, without the network: any warning, any link that leads nowhere ends it.
$(DOCS): $(READY)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $(DOCS)

docs: $(DOCS)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html; with its search: $(BIN)/python -m http.server --directory site --bind 127.0.0.1"

# What README.md and docs/ state, measured and written where it is marked: ONLY=NAME one of it, ALL=1 what takes hours too.
figures: setup
	$(BIN)/python -m benchmarks.figures $(if $(ONLY),--only $(ONLY)) $(if $(ALL),--all)

# The pictures of the page, made by the tests of the page; and those of how search works.
screenshots: setup
	OMP_NUM_THREADS=1 PRVR_SCREENSHOTS=docs/screenshots $(BIN)/python -m pytest tests/serve/page/test_access.py -k pictures_of_the_page
	$(BIN)/python -m benchmarks.pictures

# What is installed, with versions and licences, as CycloneDX.
sbom: setup
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible --output-file sbom.json $(BIN)/python

clean:
	rm -rf $(VENV) demo dist sbom.json .mypy_cache .ruff_cache
