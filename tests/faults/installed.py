"""A register that is installed by versions, each a folder as the package has it, with this project's libraries."""

from __future__ import annotations

import io
import sys
import sysconfig
import tarfile
import time
from importlib.metadata import distribution
from pathlib import Path

from agent.cli.connection import running_agent
from agent.inspection import StatusReport
from agent.updating.versions import Versions
from config.load import load_settings, state_folder
from tests.browser.till import free_port

ROOT = Path(__file__).parents[2]


class Installed:
    """The folders of a register below `folder`, with one version in use; `settings` are more lines for its file."""

    def __init__(self, folder: Path, version: str, update_root: bytes, settings: str = "") -> None:
        self.root = folder / "opt"
        self.config = folder / "tillside.toml"
        self.config.write_text(
            f'[paths]\nstate = "state"\n[page]\nport = {free_port()}\n[update]\nroot = "root.json"\n{settings}',
            encoding="utf-8",
        )
        self.update_root = folder / "root.json"
        self.update_root.write_bytes(update_root)
        self.settings = load_settings(self.config)
        self.versions = Versions(self.root)
        first = self.root / "versions" / version
        for name, content in version_files(version).items():
            (first / name).parent.mkdir(parents=True, exist_ok=True)
            (first / name).write_bytes(content)
            (first / name).chmod(0o755)
        self.versions.use(version)
        self.versions.watch_with(version)
        self.state.mkdir(mode=0o700)

    @property
    def state(self) -> Path:
        return state_folder(self.settings)

    @property
    def command(self) -> list[str]:
        """What its service runs."""
        return [str(self.root / "current" / "bin" / "tillside"), "run", "--config", str(self.config)]

    def status(self) -> StatusReport:
        """Of the agent that answers, once one does."""
        while (agent := running_agent(self.settings)) is None:
            time.sleep(0.1)
        return agent.status()

    def version(self) -> str:
        """Of the agent that answers."""
        return self.status().versions.tillside


def version_files(version: str, fault: str = "") -> dict[str, bytes]:
    """A version as it is packed; its libraries are those of this project. `fault` is run whenever it starts."""
    command = (ROOT / "installer/package/files/tillside").read_text().replace("/usr/bin/python3", sys.executable)
    entry_points = distribution("tillside").read_text("entry_points.txt")
    paths = [str(ROOT), sysconfig.get_path("purelib")]
    return {
        "bin/tillside": command.encode(),
        "lib/sitecustomize.py": f"import sys\nsys.path += {paths!r}\n{fault}".encode(),
        f"lib/tillside-{version}.dist-info/METADATA": f"Name: tillside\nVersion: {version}\n".encode(),
        # Drivers are found by these.
        f"lib/tillside-{version}.dist-info/entry_points.txt": (entry_points or "").encode(),
    }


def packed(version: str, fault: str = "") -> bytes:
    """The same as the archive of a release."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:xz") as tar:
        for name, content in version_files(version, fault).items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()
