"""Has schemathesis ask a register whatever its OpenAPI document lets a program ask, and much that it does not.

Owns starting the register (`tillside mock`) and what is put into the places of its paths. schemathesis makes the calls:
an answer that the document does not have, or a server error, is a finding. `make fuzz` runs it for some minutes.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.request import ProxyHandler, Request, build_opener

import msgspec

from agent.cli.mock import MockReady
from agent.control import read_control
from tests.browser.till import free_port

# Of each operation, in some minutes.
EXAMPLES: Final = 100
# That all is taken which fits the shapes: a basket has rules besides. And what `Allow` names: `/v1/quarantine/reread`
# is an item's address, too, and its GET not in the document.
_NOT_CHECKED: Final = "positive_data_acceptance,allow_header_conformance"
_CALL_WITHIN_S: Final = 10.0


@contextmanager
def register() -> Iterator[MockReady]:
    """One to try calls with, gone at the end with all that was asked of it."""
    command = (sys.executable, "-m", "agent.cli.entry", "mock", "--port", str(free_port()), "--json")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield msgspec.json.decode(process.stdout.readline(), type=MockReady)
        finally:
            process.terminate()


def fuzz(folder: Path, *, seed: int, examples: int, phases: str) -> subprocess.CompletedProcess[str]:
    """Its findings, with exit code 1 where there are any; by who may ask everything."""
    program = Path(sys.executable).with_name("st")
    if not program.exists():
        raise FileNotFoundError(f"{program} is not here: touch requirements/dev.txt, and make .venv/ready-dev")
    with register() as ready:
        control = read_control(Path(ready.config).parent)
        assert control is not None
        document = _document(ready.url)
        sale = _asked(f"{ready.url}/v1/sales", ready.token, b"{}")["sale"]
        places = {"path.id": sale, "path.code": ready.members[0].card}
        (folder / "openapi.json").write_text(json.dumps(document))
        (folder / "schemathesis.toml").write_text(
            "[parameters]\n" + "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in places.items())
        )
        return subprocess.run(
            [
                *(str(program), "run", "openapi.json", "--url", ready.url),
                *("--header", f"Authorization: Bearer {control.token}", "--seed", str(seed), "--phases", phases),
                *("--max-examples", str(examples), "--exclude-checks", _NOT_CHECKED, "--no-color"),
            ],
            cwd=folder,
            env={**os.environ, "NO_PROXY": "*"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _document(url: str) -> Any:
    """The register's own but for sockets and pairing, and without who may ask what: other tests are about that.

    schemathesis would have 401 where a token lacks, and a register says 403 to all that it does not know.
    """
    document = _asked(f"{url}/openapi.json")
    paths = {
        path: {
            method: {name: value for name, value in operation.items() if name != "security"}
            for method, operation in operations.items()
            if operation["security"] and "101" not in operation["responses"]
        }
        for path, operations in document["paths"].items()
    }
    return {**document, "paths": {path: kept for path, kept in paths.items() if kept}}


def _asked(url: str, token: str = "", body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    with build_opener(ProxyHandler({})).open(Request(url, body, headers), timeout=_CALL_WITHIN_S) as answer:
        return json.loads(answer.read())


def main() -> int:
    seed = int(sys.argv[1]) if sys.argv[1:] else random.randrange(2**31)
    print(f"seed {seed}")
    with tempfile.TemporaryDirectory(prefix="tillside-fuzz-") as folder:
        done = fuzz(Path(folder), seed=seed, examples=EXAMPLES, phases="coverage,fuzzing")
    print(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
