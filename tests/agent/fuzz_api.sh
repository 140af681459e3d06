#!/bin/bash
# Asks a register all that its OpenAPI document lets a POS ask, and much that it does not: fuzz_api.sh [SEED].
# schemathesis makes the calls; an answer that the document does not have, or a server error, fails. Some minutes.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/tillside-fuzz.XXXXXX")
seed=${1:-$RANDOM}

python3 -m venv "$scratch/venv"
"$scratch/venv/bin/pip" install --quiet --no-deps --require-hashes -r "$root/requirements/fuzz.txt"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$root/.venv/bin/tillside" mock --port "$port" > "$scratch/mock" &
mock=$!
trap 'kill $mock; rm -rf "$scratch"' EXIT
until grep -q 'Members, by card' "$scratch/mock"; do
  kill -0 $mock
  sleep 0.2
done
eval "$(grep '^export' "$scratch/mock")"
card=$(awk '/^  TS/ {print $1; exit}' "$scratch/mock")

till() { # METHOD PATH [BODY]
  curl -sS --noproxy '*' -X "$1" "$TILL$2" -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' ${3:+-d "$3"}
}

# What a POS may ask, and what it would put into the places of a path.
till GET /openapi.json > "$scratch/whole.json"
sale=$(till POST /v1/sales '{}' | cut -d '"' -f 4)
"$scratch/venv/bin/python" - "$scratch" "$sale" "$card" <<'PYTHON'
import json, pathlib, sys

folder, sale, card = pathlib.Path(sys.argv[1]), *sys.argv[2:]
document = json.loads((folder / "whole.json").read_text())
for path, operations in list(document["paths"].items()):
    kept = {
        method: operation
        for method, operation in operations.items()
        if {"pos": []} in operation["security"] and "101" not in operation["responses"]
    }
    document["paths"][path] = kept
document["paths"] = {path: kept for path, kept in document["paths"].items() if kept}
(folder / "pos.json").write_text(json.dumps(document))
(folder / "schemathesis.toml").write_text(f'[parameters]\n"path.id" = "{sale}"\n"path.code" = "{card}"\n')
PYTHON

echo "seed $seed"
cd "$scratch"
NO_PROXY='*' "$scratch/venv/bin/st" run pos.json --url "$TILL" -H "Authorization: Bearer $TOKEN" --seed "$seed" \
  --phases coverage,fuzzing --max-examples 100 --exclude-checks positive_data_acceptance
