"""PouchDB and pouchdb-server as a peer: got by npm once, run as processes of their own.

Owns getting, starting and ending them; what is measured is in `peers/pouchdb.js`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from loyalty.member import Member
from tests.browser.till import free_port

PACKAGE = "pouchdb-server@4.2.0"
_SCRIPT = Path(__file__).parent / "peers" / "pouchdb.js"
_INSTALLED_WITHIN_S = 300.0
_STARTED_WITHIN_S = 30.0
_MEASURED_WITHIN_S = 300.0


def found() -> Path | None:
    """Where PouchDB is installed, after installing it where npm can; None where it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", "") or Path.home() / ".cache") / "tillside-bench" / "pouchdb"
    if not shutil.which("node") or not shutil.which("npm"):
        return None
    if not (cache / "node_modules" / "pouchdb-server").is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        command = ("npm", "install", "--no-audit", "--no-fund", "--prefix", str(cache), PACKAGE)
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_INSTALLED_WITHIN_S)
        except (subprocess.SubprocessError, OSError):
            return None
    return cache


def measured(what: str, installed: Path, folder: Path, row: Member, count: int) -> dict[str, Any]:
    """What `peers/pouchdb.js` measures, beside a server of its own; the row of a member is the document."""
    with _server(installed, folder / "server") as address:
        command = ("node", str(_SCRIPT), what, address, str(folder), msgspec.json.encode(row).decode(), str(count))
        done = subprocess.run(
            command,
            check=True,
            capture_output=True,
            timeout=_MEASURED_WITHIN_S,
            env=os.environ | {"NODE_PATH": str(installed / "node_modules")},
        )
    answer: dict[str, Any] = msgspec.json.decode(done.stdout)
    return answer


@contextmanager
def _server(installed: Path, folder: Path) -> Iterator[str]:
    folder.mkdir()
    port = free_port()
    program = installed / "node_modules" / "pouchdb-server" / "bin" / "pouchdb-server"
    command = ("node", str(program), "--host", "127.0.0.1", "--port", str(port), "--dir", str(folder))
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving:
        address = f"http://127.0.0.1:{port}"
        try:
            _wait_for(address)
            yield address
        finally:
            serving.kill()


def _wait_for(address: str) -> None:
    until = time.monotonic() + _STARTED_WITHIN_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
