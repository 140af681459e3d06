"""Root becomes the user whose the register is, with its groups, for good."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.state_owner import owner_of

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no users by number"),
    pytest.mark.skipif(os.name == "posix" and os.geteuid() != 0, reason="only root can become somebody else"),
]
SOMEBODY = "daemon"
BECOMING = """
import os, sys
from pathlib import Path
from agent.state_owner import become, owner_of
become(owner_of(Path(sys.argv[1])))
print(os.getresuid(), os.getresgid(), os.getgroups())
Path(sys.argv[1], "made").touch()
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """Where another user than root may go, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_root_becomes_whose_the_folder_is_and_what_it_makes_is_that_users(state: Path) -> None:
    somebody = pwd.getpwnam(SOMEBODY)
    os.chown(state, somebody.pw_uid, somebody.pw_gid)

    done = subprocess.run([sys.executable, "-c", BECOMING, state], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    user, group = somebody.pw_uid, somebody.pw_gid
    assert done.stdout.startswith(f"{(user, user, user)} {(group, group, group)} ")
    assert "0" not in done.stdout.partition("[")[2].rstrip("]\n").split(", ")
    assert (state / "made").stat().st_uid == user


def test_nobody_is_become_where_it_is_roots_or_not_there(state: Path) -> None:
    assert owner_of(state) is None
    assert owner_of(state / "nowhere") is None
