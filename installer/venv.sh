#!/usr/bin/env bash
# Create .venv and install one hash-pinned requirements file and this project into it.
set -euo pipefail
requirements=$1

[ -x .venv/bin/python ] || python3 -m venv .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
# The files name everything. With its resolver on, pip may want a release that came out since, where one package asks
# for another with an extra, and then has no hash for it.
.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r "$requirements"
# The build backend comes hash-pinned too, so that nothing is fetched unpinned.
.venv/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements/build.txt
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
.venv/bin/python -m pip check
