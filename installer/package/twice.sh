#!/usr/bin/env bash
# Build the package twice, under what may differ between two machines, and compare all bytes: twice.sh OUT.
#
# OUT has the first. It takes two builds' time, most of it for fetching and compressing.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/tillside-twice.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/a/deeper/folder" "$work/second"

"$here/build.sh" "$out" >"$work/first.sums"
(umask 077 && LC_ALL=C TZ=Pacific/Auckland PYTHONHASHSEED=1 TMPDIR="$work/a/deeper/folder" \
  "$here/build.sh" "$work/second" >"$work/second.sums")

if ! diff "$work/first.sums" "$work/second.sums" >&2; then
  echo "Two builds of one commit differ in these files." >&2
  exit 1
fi
cat "$work/first.sums"
echo "Built twice: the same bytes." >&2
