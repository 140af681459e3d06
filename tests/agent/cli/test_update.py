"""`tillside update` for a person: what is wanted, where that cannot be read, and what is no update."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the installer alone changes versions there")


class Installed:
    """A register that is installed by versions, and uses 0.2.0."""

    def __init__(self, folder: Path) -> None:
        self._lib = folder / "opt" / "versions" / "0.2.0" / "lib"
        self._lib.mkdir(parents=True)
        for name in ("agent", "config", "drivers", "loyalty", "sync"):
            # Real folders, so that modules know where they are.
            subprocess.run(["cp", "-r", str(ROOT / name), self._lib], check=True)
        (folder / "opt" / "current").symlink_to("versions/0.2.0")
        self.state = folder / "state"
        self.state.mkdir()
        self._config = folder / "tillside.toml"
        self._config.write_text('[paths]\nstate = "state"\n', encoding="utf-8")

    def update(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join((str(self._lib), sysconfig.get_path("purelib")))
        return subprocess.run(
            [sys.executable, "-P", "-m", "agent.cli.entry", "update", *arguments, "--config", str(self._config)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("register"))


def test_an_older_version_is_refused_with_what_to_do(installed: Installed) -> None:
    done = installed.update("--to", "0.1.9")

    assert done.returncode == 2
    assert "0.1.9 is older than 0.2.0" in done.stderr
    assert "install its package" in done.stderr
    assert list(installed.state.iterdir()) == []


def test_a_newer_one_is_wished_for(installed: Installed) -> None:
    done = installed.update("--to", "0.3.0", "--json")

    assert done.returncode == 0
    assert (json.loads(done.stdout)["wanted"], json.loads(done.stdout)["unreadable"]) == ("0.3.0", "")
    (installed.state / "update.json").unlink()


def test_a_wish_that_cannot_be_read_is_not_called_none(installed: Installed) -> None:
    assert "Wanted      none" in installed.update().stdout

    (installed.state / "update.json").mkdir()  # as a file in a folder that only the agent may enter
    done = installed.update()
    (installed.state / "update.json").rmdir()

    assert done.returncode == 0
    assert "Wanted      not readable (Is a directory): use sudo" in done.stdout


def test_a_root_that_cannot_be_used_is_said_with_file_key_and_remedy(installed: Installed) -> None:
    config = installed.state.parent / "tillside.toml"
    before = config.read_text(encoding="utf-8")
    config.write_text(before + '[update]\nroot = "gone.json"\n', encoding="utf-8")

    done = installed.update()

    config.write_text(before, encoding="utf-8")
    assert (done.returncode, "Releases" in installed.update().stdout) == (0, False)
    for part in (str(config), "[update] root", "gone.json", "1.root.json"):
        assert part in done.stdout
