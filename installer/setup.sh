#!/usr/bin/env bash
# Make sure that the named Debian packages are installed: install them when root, else say which are missing.
set -euo pipefail

missing=()
for package in "$@"; do
  case "$package" in
    python3-venv) python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=("$package") ;;
    chromium)
      # Ubuntu has Chromium as a snap only; the tests that need a browser are skipped there.
      if grep -qs '^ID=ubuntu' /etc/os-release; then
        [ -x /usr/bin/chromium ] || echo "No chromium package on Ubuntu: tests in a browser will be skipped." >&2
      else
        [ -x /usr/bin/chromium ] || missing+=("$package")
      fi
      ;;
    *) dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "Missing system packages: ${missing[*]}" >&2
  echo "Install them with: sudo apt-get install ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -y -q --no-install-recommends "${missing[@]}"
