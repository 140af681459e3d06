# The one door. `make demo` and `make test` do all their own set-up.
SHELL := /bin/bash
PY := .venv/bin/python
ARGS ?=
# Where random tests begin: one place, so that a change is judged by itself. `make test SEED=$$RANDOM` looks elsewhere.
SEED ?= 20261128
# Each module is compiled once, those of tests with what pytest makes of their asserts; else every process would do it.
unexport PYTHONDONTWRITEBYTECODE

OUT ?= dist

.PHONY: demo test check types lint compiled bench pictures coverage mutants fuzz package package-twice msi msi-wine lock clean
.DEFAULT_GOAL := demo

demo: .venv/ready-central
	$(PY) -m agent.cli.entry demo $(ARGS)

# The checks and the compiler of the tests need a core each, and Debian's packages the network.
# One test more than there are cores goes on at a time: many wait for other processes, and for clocks.
test: .venv/ready-dev
	$(MAKE) --no-print-directory --jobs=3 --output-sync .venv/ready-tests check compiled
	$(PY) -m pytest --numprocesses=$$(($$(nproc) + 1)) --dist=worksteal --randomly-seed=$(SEED) $(ARGS)

check: types lint

types: .venv/ready-dev
	.venv/bin/mypy

lint: .venv/ready-dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports
	.venv/bin/deptry .
	.venv/bin/codespell

# What is wrong with a test's module is told when the tests are run.
compiled: .venv/ready-dev
	-@$(PY) -m pytest --collect-only --quiet --quiet >/dev/null

bench: .venv/ready-dev .venv/ready-tests
	$(PY) -m tests.bench $(if $(ARGS),$(ARGS),all)

# What docs/pictures shows, made anew with this machine's fonts: look at each.
pictures: .venv/ready-dev .venv/ready-tests
	TILLSIDE_PICTURES=docs/pictures $(PY) -m pytest -q -n $$(nproc) tests/browser/test_pictures.py

# Which branches of the loyalty engine its tests leave out; none should be.
coverage: .venv/ready-dev
	$(PY) -m coverage run --branch --source=loyalty -m pytest tests/loyalty tests/test_remedies.py -q
	$(PY) -m coverage report --show-missing --skip-covered --fail-under=100

# Which changes of the loyalty engine its tests do not notice: hours for all of it, minutes for MODULES="evaluate roll".
mutants: .venv/ready-dev
	tests/loyalty/mutants.sh $(MODULES)

# Whether a register answers as its OpenAPI document says, whatever it is asked: a longer look than the tests have.
fuzz: .venv/ready-dev
	$(PY) -m tests.agent.fuzzing $(ARGS)

# The register's Debian package with its SBOM, into OUT: the same commit gives the same bytes.
package:
	installer/setup.sh python3-venv binutils
	installer/package/build.sh $(OUT)

# The same twice, by another path, umask, time zone and seed: fails where any byte differs.
package-twice:
	installer/setup.sh python3-venv binutils
	installer/package/twice.sh $(OUT)

# The register's Windows package with its SBOM, into OUT, with the embeddable Python that installer/windows/python.toml
# pins: `make msi PYTHON=python-3.13.14-embed-amd64.zip`. The same commit gives the same bytes.
msi:
	installer/setup.sh python3-venv wixl msitools
	installer/windows/build.sh "$(PYTHON)" $(OUT)

# Two of them, built with another Python, put through installing, selling, upgrading, going back and removing under wine.
msi-wine: .venv/ready-central
	installer/setup.sh wixl msitools wine wine64 gcc-mingw-w64-x86-64
	installer/windows/wine/try.sh

# Debian packages come first: a virtual environment needs python3-venv there.
.venv/ready-central: requirements/central.txt pyproject.toml
	installer/setup.sh python3-venv
	installer/venv.sh requirements/central.txt
	touch $@

.venv/ready-dev: requirements/dev.txt pyproject.toml
	installer/setup.sh python3-venv
	installer/venv.sh requirements/dev.txt
	touch $@ .venv/ready-central

# Chromium draws nothing without a font, and what drives it needs libatomic. Tests start a database server of their own,
# and watch what processes ask of the disk. Where the system has no browser or database those tests are skipped; without
# strace, or root for small disks, they fail unless ARGS=--without-root-or-strace.
.venv/ready-tests: .venv/ready-dev
	installer/setup.sh chromium curl fonts-dejavu-core libatomic1 msitools postgresql-15 strace wixl
	touch $@

# Hashes, no index lines: the files name no registry.
lock:
	installer/lock.sh

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
