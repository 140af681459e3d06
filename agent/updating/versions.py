"""The folder of versions: each whole in a folder of its own, and a link that says which is in use.

    versions/VERSION/{bin,lib}   one version; a folder with this name is complete
    current -> versions/VERSION  the one in use
    updater -> versions/VERSION  the one that fetches, watches and goes back: never one that is on trial
    update.json                  what is remembered (agent.updating.trial)
    metadata/                    what was last proven of the releases

Owns that folder. Every change is one rename, so that a cut at any moment leaves the old or the new. Never decides which
version is used.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import msgspec

from agent.updating.trial import Record
from loyalty.undecodable import UNDECODABLE
from sync.durable import sync_folder
from sync.program_versions import version_key

if TYPE_CHECKING:
    import tarfile

# A version takes about 100 MB; a bad archive must not fill the disk.
MAX_UNPACKED_BYTES: Final = 500 * 1024 * 1024
MAX_FILES: Final = 50_000
# What has to be free besides, so that neither fetching nor unpacking takes the room that sales need.
SPARE_BYTES: Final = 200 * 1024 * 1024
COMMAND: Final = Path("bin", "tillside")
_UNPACKING = ".unpacking"


class UnusableArchiveError(Exception):
    """An archive holds no version that can be used. The message says why."""


class NoRoomError(Exception):
    """The disk has no room for another version. The message says how much is missing."""


class Versions:
    """The versions under one folder, such as /opt/tillside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._folders = root / "versions"

    @classmethod
    def around(cls, module: Path) -> Versions | None:
        """Those that a module of this program is part of; None where it was not installed by versions."""
        for parent in module.parents:
            if parent.name == "versions":
                return cls(parent.parent)
        return None

    @property
    def metadata(self) -> Path:
        return self.root / "metadata"

    def current(self) -> str | None:
        return self._leads_to("current")

    def updater(self) -> str | None:
        return self._leads_to("updater")

    def installed(self) -> set[str]:
        return {one.name for one in self._folders.iterdir() if _is_version(one.name) and (one / COMMAND).exists()}

    def command(self, version: str) -> Path:
        return self._folders / version / COMMAND

    def use(self, version: str) -> None:
        """Raises FileNotFoundError for one that is not installed: a link that leads nowhere starts nothing."""
        self.command(version).stat()
        self._link("current", version)

    def watch_with(self, version: str) -> None:
        self._link("updater", version)

    def record(self) -> Record:
        """What is remembered; nothing where the file is not there. A file that cannot be read is nothing, too: it is
        written whole or not at all, so somebody else has written it.
        """
        try:
            return msgspec.json.decode((self.root / "update.json").read_bytes(), type=Record)
        except (FileNotFoundError, *UNDECODABLE):
            return Record()

    def remember(self, record: Record) -> None:
        # The agent, which is another user, tells the centre of it.
        _put(self.root / "update.json", msgspec.json.encode(record))

    def unpack(self, archive: Path, version: str) -> None:
        """Puts the version into its folder. Raises UnusableArchiveError, NoRoomError, OSError."""
        import tarfile  # noqa: PLC0415 - the agent reads what is remembered, and unpacks nothing

        self.clear()
        into = self._folders / f"{_UNPACKING}-{version}"
        _make_folder(into)
        try:
            with tarfile.open(archive, "r:xz") as packed:
                members = _checked(packed)
                ask_for_room(self._folders, sum(member.size for member in members))
                for member in members:
                    _extract(packed, member, into)
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise UnusableArchiveError(f"the archive of {version} cannot be unpacked: {error}") from error
        if not (into / COMMAND).is_file() or not (into / "lib").is_dir():
            raise UnusableArchiveError(f"the archive of {version} has no {COMMAND} or no lib")
        # All of its files, and only then the name by which it counts as complete.
        os.sync()
        archive.unlink()
        into.rename(self._folders / version)
        sync_folder(self._folders)

    def remove(self, version: str) -> None:
        """The name goes first: half a folder must never count as a version."""
        going = self._folders / f"{_UNPACKING}-{version}"
        shutil.rmtree(going, ignore_errors=True)
        (self._folders / version).rename(going)
        shutil.rmtree(going, ignore_errors=True)

    def clear(self) -> None:
        """Takes away what an interrupted unpacking or removal left."""
        for left in self._folders.glob(f"{_UNPACKING}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _leads_to(self, link: str) -> str | None:
        try:
            name = (self.root / link).readlink().name
        except OSError:
            return None
        return name if _is_version(name) else None

    def _link(self, link: str, version: str) -> None:
        beside = self.root / f".{link}.new"
        beside.unlink(missing_ok=True)
        beside.symlink_to(Path("versions", version))
        beside.replace(self.root / link)
        sync_folder(self.root)


def ask_for_room(folder: Path, size: int) -> None:
    """Whether `size` bytes can be written in `folder`, with SPARE_BYTES left to others. Raises NoRoomError."""
    missing = size + SPARE_BYTES - shutil.disk_usage(folder).free
    if missing > 0:
        raise NoRoomError(f"{missing // (1024 * 1024) + 1} MB more are needed on the disk of {folder}")


def _is_version(name: str) -> bool:
    try:
        version_key(name)
    except ValueError:
        return False
    return True


def _checked(packed: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members: list[tarfile.TarInfo] = []
    size = 0
    for member in packed:
        size += member.size
        name = PurePosixPath(member.name)
        if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
            raise ValueError(f"{member.name!r} is no plain file or folder below its own")
        if size > MAX_UNPACKED_BYTES or len(members) >= MAX_FILES:
            raise ValueError(f"more than {MAX_UNPACKED_BYTES // (1024 * 1024)} MB or {MAX_FILES} files")
        members.append(member)
    return members


def _extract(packed: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """By hand: not every Python 3.11 has the filters of `tarfile`, and whose files they are no archive has to say.

    The agent's user reads them all, whatever the umask of who unpacks.
    """
    path = into / member.name
    if member.isdir():
        _make_folder(path)
        return
    _make_folder(path.parent)
    source = packed.extractfile(member)
    if source is None:
        raise ValueError(f"{member.name!r} has no content")
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
    path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _make_folder(path: Path) -> None:
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


def _put(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.chmod(0o644)
    beside.replace(path)
    sync_folder(path.parent)
