"""Root becomes the user whose the register is, with its groups, for good; a file that it asks for is its own."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.state_owner import owner_of
from tests.agent.shop import Shop

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
# All is loaded before: the one who is become need not be allowed to read where Python is here.
EXPORTING = """
import sys
import agent.cli.stopped
from agent.cli.queue import Asked, queue_command
sys.exit(queue_command(Asked(action="export", ident=sys.argv[2], as_json=True), sys.argv[1]))
"""
ASKING = """
import os, pwd, sys
from pathlib import Path
from agent.cli.connection import AgentUnreachableError, running_agent
from config.settings import PathSettings, Settings
from sync.enrolment import EnrolmentError, load_enrolment
os.setuid(pwd.getpwnam(sys.argv[2]).pw_uid)
state = Path(sys.argv[1])
settings = Settings(paths=PathSettings(state=state))
for ask in (lambda: running_agent(settings), lambda: load_enrolment(state)):
    try:
        print(ask())
    except (AgentUnreachableError, EnrolmentError) as error:
        print(error)
"""


@pytest.fixture
def state() -> Iterator[Path]:
    """Where another user than root may go, as pytest's own folders are not."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
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


@pytest.fixture
async def unread(shop: Shop, state: Path) -> Path:
    """The settings of a register of another user that has something in quarantine; its agent does not run."""
    shop.print(b"\x1b@MYSTERY SHEET\n\x1dV\x00")
    await shop.take_all()
    shop.close()
    somebody = pwd.getpwnam(SOMEBODY)
    kept = shutil.copytree(shop.folder / "state", state / "state")
    for path in (kept, *kept.rglob("*")):
        os.chown(path, somebody.pw_uid, somebody.pw_gid)
    file = state / "tillside.toml"
    file.write_text('[paths]\nstate = "state"\n', encoding="utf-8")
    return file


def test_root_exports_the_queue_of_another_user_into_a_folder_of_its_own(unread: Path) -> None:
    target = unread.parent / "root" / "all.jsonl"
    target.parent.mkdir(mode=0o700)

    done = subprocess.run(
        [sys.executable, "-c", EXPORTING, unread, target], capture_output=True, text=True, check=False
    )

    assert (done.stderr, json.loads(done.stdout)) == ("", {"file": str(target), "items": 1})
    assert len(target.read_text().splitlines()) == 1
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o600)
    # and nothing of the register became root's
    somebody = pwd.getpwnam(SOMEBODY).pw_uid
    assert {path.stat().st_uid for path in (unread.parent / "state").rglob("*")} == {somebody}


def test_who_may_not_look_is_told_so_and_not_that_nothing_runs_or_to_enrol_anew(state: Path) -> None:
    state.chmod(0o700)

    done = subprocess.run([sys.executable, "-c", ASKING, state, SOMEBODY], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    agent, enrolment = done.stdout.splitlines()
    assert "nobody can tell whether the agent runs" in agent
    assert "may not be read by this user" in enrolment
    assert all("use sudo" in said for said in (agent, enrolment))
    assert "enrol" not in enrolment.partition("enrolment.json")[2]
