#!/usr/bin/env bash
# Build the register's Windows package: build.sh PYTHON OUT [PIN [VERSION]]. The same commit gives the same bytes; with
# it comes its SBOM.
#
# PYTHON is the official embeddable package that python.toml pins; PIN names another pin, for tries that never leave this
# machine. The package holds this commit and what a register needs besides, hash-pinned, in a folder of its version.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
[ -n "${1:-}" ] || {
  echo "Name the embeddable Python: make msi PYTHON=FILE OUT=DIR. installer/windows/python.toml says which, and where it comes from." >&2
  exit 2
}
python_zip=$(realpath "$1")
out=$(mkdir -p "$2" && cd "$2" && pwd)
pin=$(realpath "${3:-$root/installer/windows/python.toml}")
work=$(mktemp -d "${TMPDIR:-/tmp}/tillside-msi.XXXXXX")
trap 'rm -rf "$work"' EXIT

python=/usr/bin/python3
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1 TZ=UTC LC_ALL=C.UTF-8
version=${4:-$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")}
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# Only what is committed goes in.
mkdir "$work/source"
git -C "$root" archive HEAD | tar -x -C "$work/source"
root=$work/source
cd "$root"
sed -i "s/^version = .*/version = \"$version\"/" pyproject.toml

# The Python first: a wrong one is told before anything is fetched.
stage=$work/stage
lib=$stage/$version/lib
mkdir -p "$stage/$version"
minor=$("$python" - "$python_zip" "$pin" "$stage/$version/python" <<'UNPACK'
import sys
from pathlib import Path
from installer.windows.embedded import WrongPythonError, read_pin, unpack

archive, pin, into = map(Path, sys.argv[1:])
try:
    print(unpack(archive, read_pin(pin), into))
except WrongPythonError as error:
    sys.exit(f"build.sh: {error}")
UNPACK
)

"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --no-deps --require-hashes -r requirements/package.txt
# Windows's own files of the libraries. Nothing of them is run here.
"$work/tools/bin/pip" download --quiet --no-deps --require-hashes --only-binary=:all: --platform win_amd64 \
  --implementation cp --python-version "$minor" --dest "$work/wheels" -r requirements/windows.txt
"$work/tools/bin/python" -m hatchling build --target wheel --directory "$work/wheels" >/dev/null 2>&1
"$work/tools/bin/pip" install --quiet --no-deps --no-compile --no-index --only-binary=:all: --platform win_amd64 \
  --implementation cp --python-version "$minor" --target "$lib" "$work"/wheels/*.whl
# The centre, and packages that only a developer or a build asks for.
rm -rf "${lib:?}"/{bin,central,installer,pip,pip-*.dist-info,setuptools,setuptools-*.dist-info,pkg_resources,_distutils_hack}
rm -f "$lib"/distutils-precedence.pth
find "$lib" -name '*.pyi' -delete
find "$lib" -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} +
# Where the build ran, and what differs from run to run.
find "$lib" \( -name direct_url.json -o -name RECORD -o -name INSTALLER -o -name REQUESTED \) -delete
cp -r "$root/installer/browser-policies" "$stage/$version/"
cp LICENSE "$stage/$version/"
cp installer/windows/files/tillside.toml "$stage/tillside.toml"
sed "s/@VERSION@/$version/" installer/windows/files/tillside.cmd >"$stage/tillside.cmd"
sed -i 's/$/\r/' "$stage/tillside.toml" "$stage/tillside.cmd"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

"$work/tools/bin/cyclonedx-py" requirements --output-reproducible --output-format JSON \
  --output-file "$work/sbom.json" requirements/windows.txt
"$python" -m installer.windows.sbom "$work/sbom.json" "$pin" "$version"
cp "$work/sbom.json" "$out/tillside_${version}_windows.cdx.json"
"$python" -m installer.windows.make "$stage" "$version" "$out/tillside-$version-amd64.msi"
(cd "$out" && sha256sum tillside[_-]"$version"*)
