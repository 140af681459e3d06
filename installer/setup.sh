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
    postgresql-15)
      # Debian 12 has it. Elsewhere tests find another version, or are skipped.
      if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        :
      elif grep -qs '^VERSION_CODENAME=bookworm' /etc/os-release; then
        missing+=("$package")
        # Only its programs are wanted: no cluster is made, and no service runs.
        if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
          mkdir -p /etc/postgresql-common
          echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
        fi
      else
        echo "No postgresql-15 package here: tests that need PostgreSQL will be skipped." >&2
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
