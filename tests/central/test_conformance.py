"""Our centre on PostgreSQL, tried from outside as anybody's is: by its URL, and by commands that are named."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conformance.own_centre import own_centre
from tests.postgres import Server

ROOT = Path(__file__).parents[2]
PARTS = ("feed", "members", "receipts", "spending")
# Enrolment codes made beforehand: more than these ask for.
CODES = 4


def tried(folder: Path, *options: str) -> str:
    """What a run of what concerns the database prints, in a process of its own."""
    command: Sequence[str] = (
        *(sys.executable, "-m", "pytest", *(f"tests/conformance/test_{name}.py" for name in PARTS), "-q", "-rs"),
        *("-p", "no:cacheprovider", "-p", "no:randomly", "--basetemp", str(folder / "tried"), *options),
    )
    # What the run of this test has in its environment is not for that one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout


@pytest.mark.long
@pytest.mark.processes
@pytest.mark.timeout(300)
def test_a_centre_on_postgresql_keeps_the_protocol(tmp_path: Path, postgres: Server) -> None:
    url = postgres.database()
    with own_centre(tmp_path, url) as centre:
        # A command that starts Python for each code takes longer than the tests do
        codes = tmp_path / "codes"
        codes.write_text("".join(f"{centre.code()}\n" for _ in range(CODES)))
        command = shlex.join((sys.executable, "-c", "from central.cli import main; main()"))
        said = tried(
            tmp_path,
            *("--centre", centre.url),
            *("--enrolment-command", f"sh -c 'head -n 1 {codes} && sed -i 1d {codes}'"),
            *("--erase-command", f"{command} members erase --data {tmp_path}/centre {{member}}"),
        )
    postgres.drop(url)
    assert re.search(r"^\d\d passed in", said, flags=re.MULTILINE), said
