#!/usr/bin/env bash
# Build the register's Debian package: build.sh OUT. The same commit gives the same bytes; with it comes its SBOM.
#
# The package holds this commit and what a register needs besides, hash-pinned, under /opt/tillside/versions/VERSION; of
# the system it asks Debian's Python alone. It has no centre, and so no demo.
set -euo pipefail
# Whoever builds, and with what of their own settings.
umask 022
export LC_ALL=C.UTF-8 TZ=UTC PYTHONHASHSEED=0
root=$(cd "$(dirname "$0")/../.." && pwd)
out=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/tillside-package.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Programs of other versions of Python would not load: they hold compiled code.
python=/usr/bin/python3
read -r minor next < <("$python" -c 'import sys; print(*(f"3.{sys.version_info[1] + n}" for n in (0, 1)))')
export PIP_DISABLE_PIP_VERSION_CHECK=1
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/pyproject.toml")
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# Only what is committed goes in.
mkdir "$work/source"
# Modes are those of the index, whoever builds.
git -C "$root" -c tar.umask=0022 archive HEAD | tar -x -C "$work/source"
root=$work/source

# Tools of the build, then what a register needs: each in an environment of its own.
"$python" -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --no-deps --require-hashes -r "$root/requirements/package.txt"
"$python" -m venv --without-pip "$work/edge"
lib=$work/edge/lib/python$minor/site-packages
"$work/tools/bin/pip" --python "$work/edge/bin/python" install --quiet --no-deps --require-hashes --no-compile \
  -r "$root/requirements/run.txt"
(cd "$root" && "$work/tools/bin/python" -m hatchling build --target wheel --directory "$work/wheel" >/dev/null)
"$work/tools/bin/pip" --python "$work/edge/bin/python" install --quiet --no-deps --no-compile --no-index "$work"/wheel/*.whl
# The centre, and packages that only a developer or a build asks for.
rm -rf "${lib:?}"/{central,installer,pip,pip-*.dist-info,setuptools,setuptools-*.dist-info,pkg_resources,_distutils_hack}
rm -f "$lib"/distutils-precedence.pth
find "$lib" -name '*.pyi' -delete
# Names that only a debugger reads are half of it. Libraries that were packed beside a module would not load without.
find "$lib" -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
find "$lib" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# Where the build ran, and what differs from run to run.
find "$lib" \( -name direct_url.json -o -name RECORD -o -name INSTALLER -o -name REQUESTED \) -delete
"$work/tools/bin/cyclonedx-py" environment --output-reproducible --output-format JSON \
  --output-file "$work/sbom.json" "$work/edge/bin/python"

stage=$work/stage
install -d "$stage/lib"
cp -r "$lib/." "$stage/lib/"
find "$stage" -name __pycache__ -prune -exec rm -rf {} +
# Compiled once, here: a register's folder is read-only. Found by content, so that no time of the build is in it.
"$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$stage" -p "/opt/tillside/versions/$version" "$stage/lib"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

cd "$root/installer/package"
VERSION=$version ARCH=$(dpkg --print-architecture) STAGE=$stage MINOR=$minor NEXT=$next UNITS=$root/installer/systemd \
  LICENCE=$root/LICENSE POLICIES=$root/installer/browser-policies CUPS=$root/installer/cups \
  "$work/tools/bin/nfpm" package --config nfpm.yaml --packager deb --target "$out" >&2
cp "$work/sbom.json" "$out/tillside_$version.cdx.json"
# The same for an update by the centre: one version's folder, as agent.updating.releases names it.
install -D -m 0755 files/tillside "$stage/bin/tillside"
find "$stage" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
archive=tillside-$version-linux-$(uname -m)-py$minor.tar.xz
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$stage" bin lib |
  xz --threads=1 -6 >"$out/$archive"
(cd "$out" && sha256sum tillside[_-]"$version"*)
