#!/usr/bin/env bash
# Create .venv and install one hash-pinned requirements file and this project into it.
set -euo pipefail
requirements=$1

[ -x .venv/bin/python ] || python3 -m venv .venv
export PIP_DISABLE_PIP_VERSION_CHECK=1
.venv/bin/python -m pip install --quiet --require-hashes -r "$requirements"
# The build backend comes hash-pinned too, so that nothing is fetched unpinned.
.venv/bin/python -m pip install --quiet --require-hashes -r requirements/build.txt
.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
