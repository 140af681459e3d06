"""As whom root's commands work: as the service's user, but where root asks for a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[2] / "installer" / "package" / "files"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sudo and users by number")


@pytest.mark.parametrize(
    ("command", "user"),
    [
        ("doctor --test-sheet sheet.png", "root"),
        ("doctor --json --test-sheet=sheet.png", "root"),
        ("queue export all.jsonl", "root"),
        ("support-bundle", "root"),
        ("doctor", "tillside"),
        ("doctor --scan-test", "tillside"),
        ("status --test-sheet", "tillside"),
        ("members doctor --test-sheet", "tillside"),
        ("update", "tillside"),
    ],
)
def test_the_command_becomes_the_services_user_but_for_files_that_root_asks_for(
    command: str, user: str, tmp_path: Path
) -> None:
    text = (FILES / "tillside").read_text(encoding="utf-8").replace("/usr/bin/python3", "./python3")
    for name, script in {
        "tillside": text,
        "id": "#!/bin/sh\necho 0\n",
        "getent": "#!/bin/sh\n",
        "runuser": '#!/bin/sh\necho "$2"\n',
        "python3": "#!/bin/sh\necho root\n",
    }.items():
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        ["./tillside", *command.split()],
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.stdout.strip(), done.stderr) == (user, "")
