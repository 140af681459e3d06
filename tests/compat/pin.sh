#!/usr/bin/env bash
# Keep the agent of COMMIT for test_older_agent.py: pin.sh COMMIT, once a version is out that registers may still run.
# The file is the same for the same commit. It takes the place of the one before.
set -euo pipefail
cd "$(dirname "$0")"
commit=$(git rev-parse --short=9 "$1^{commit}")
rm -f agent-*.tar.xz
(cd ../.. && git -c tar.umask=0022 archive "$commit" agent config drivers loyalty sync ':!agent/demo') |
  xz --threads=1 -9e >"agent-$commit.tar.xz"
ls -l "agent-$commit.tar.xz"
