"""Our own centre, set up and served by its command line, for when no other is named.

The only module here that knows the product, and nothing of it but its commands.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from typer.testing import CliRunner

from central.cli import app

HERE = Path(__file__).parent


class OwnCentre:
    """A serving centre, by its data folder. `expired` is a code that can be used no more."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.url = ""
        self.expired = ""

    def run(self, *command: str) -> str:
        """What a command prints; as `tillside-central COMMAND --data …`, without starting Python anew for each."""
        result = CliRunner().invoke(app, [*command, "--data", str(self._data)], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def code(self, *options: str) -> str:
        """An enrolment code, without the picture of it, which takes long to draw."""
        created = self.run("enrolment", "create", "--store", "12", "--register", "*", "--json", *options)
        code: str = json.loads(created)["code"]
        return code

    def revoke(self, device: str) -> None:
        self.run("registers", "revoke", device)

    def erase(self, member: str) -> None:
        self.run("members", "erase", member)


@contextmanager
def own_centre(folder: Path, database: str = "") -> Iterator[OwnCentre]:
    """A centre with the members and the program that README.md asks for, until the context ends.

    `database` is the URL of an empty PostgreSQL database, where it is not to be on SQLite.
    """
    data = folder / "centre"
    centre = OwnCentre(data)
    centre.run("init", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--database", database)
    centre.run("program", "publish", str(HERE / "program.json"))
    centre.run("scopes", "set", "everything")
    centre.run("members", "import", str(HERE / "members.json"))
    expired = centre.code("--valid-for", "1s", "--url", "https://localhost")
    made_at = time.monotonic()
    command = (sys.executable, "-c", "from central.cli import main; main()", "serve", "--data", str(data), "--json")
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1])}
    with (
        folder.joinpath("log").open("wb") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environment) as serving,
    ):
        try:
            assert serving.stdout is not None
            ready = serving.stdout.readline()
            assert ready, f"the centre did not start: {folder.joinpath('log').read_text()[-2000:]}"
            # Started in less than a second, which was not seen yet
            time.sleep(max(0.0, made_at + 1 - time.monotonic()))
            centre.url, centre.expired = json.loads(ready)["device_api"], expired
            yield centre
        finally:
            serving.terminate()
