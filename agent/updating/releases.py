"""Where new versions come from: the centre's releases, proven by The Update Framework before a byte is used.

Owns which file of a release is this machine's, and fetching it. Whoever answers at the centre's address can withhold a
release and nothing else: keys that are not there signed what may be installed, and no release goes back before one that
was seen. Never unpacks or runs anything.
"""

from __future__ import annotations

import errno
import platform
import ssl
import sys
from pathlib import Path
from typing import Final

from tuf.api.exceptions import DownloadError, DownloadLengthMismatchError, ExpiredMetadataError, RepositoryError
from tuf.ngclient import Updater, UpdaterConfig

from agent.updating.fetching import Fetcher
from agent.updating.versions import NoRoomError, ask_for_room
from sync.network import Way, proxy_for

# An archive of one version; the package is about 30 MB.
MAX_ARCHIVE_BYTES: Final = 200 * 1024 * 1024
# While it is fetched it is on the disk as what came so far, as the library's own copy, and as what was proven of that.
COPIES: Final = 3
_METADATA = "/v1/releases/metadata/"
_TARGETS = "/v1/releases/targets/"


class ReleaseUnreachableError(Exception):
    """The centre did not answer, or broke off: try again later."""


class ReleaseRefusedError(Exception):
    """What the centre gave is not proven to be a release. The message says what is wrong."""


def archive_name(version: str) -> str:
    """The file of a release that a machine like this one can run: it holds compiled code."""
    python = f"py{sys.version_info.major}.{sys.version_info.minor}"
    return f"tillside-{version}-{sys.platform}-{platform.machine()}-{python}.tar.xz"


class Releases:
    """The releases at `url`, whose TLS certificate is of `ca_pem`. `root` is the first trusted root's JSON."""

    def __init__(self, *, url: str, ca_pem: str, root: bytes, metadata: Path, way: Way | None = None) -> None:
        self._url = url.rstrip("/")
        way = way or Way()
        self._context = ssl.create_default_context(cadata=ca_pem + way.ca_pem)
        self._proxy = proxy_for(self._url, way)
        self._root = root
        self._metadata = metadata

    def fetch(self, version: str, folder: Path) -> Path:
        """The proven archive of `version` in `folder`. One that is whole there is not fetched again, and of one that
        broke off the rest alone.

        Raises ReleaseUnreachableError, ReleaseRefusedError, NoRoomError, OSError; what came is gone where the disk is
        full.
        """
        try:
            return self._fetched(version, folder)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            for left in folder.iterdir():
                left.unlink()
            raise NoRoomError(f"the disk of {folder} is full: what came of {version} was taken away again") from error

    def _fetched(self, version: str, folder: Path) -> Path:
        self._metadata.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = archive_name(version)
        targets = self._url + _TARGETS
        fetcher = Fetcher(self._context, self._proxy, kept_below=targets, parts=folder)
        try:
            updater = Updater(
                str(self._metadata),
                self._url + _METADATA,
                target_dir=str(folder),
                target_base_url=targets,
                fetcher=fetcher,
                config=UpdaterConfig(app_user_agent="tillside"),
                bootstrap=self._root,
            )
            target = updater.get_targetinfo(name)
            if target is None:
                raise ReleaseRefusedError(f"no release holds {name}: this machine needs a build of its own")
            if target.length > MAX_ARCHIVE_BYTES:
                raise ReleaseRefusedError(
                    f"{name} would be {target.length} bytes; at most {MAX_ARCHIVE_BYTES} are read"
                )
            found = updater.find_cached_target(target)
            if found is None:
                ask_for_room(folder, COPIES * target.length)
                found = updater.download_target(target)
            fetcher.forget()
        except DownloadLengthMismatchError as error:
            fetcher.forget()
            raise ReleaseRefusedError(f"what the centre gave is longer than what was signed: {error}") from error
        except DownloadError as error:
            raise ReleaseUnreachableError(f"the releases could not be read: {error}") from error
        except ExpiredMetadataError as error:
            raise ReleaseRefusedError(
                f"what is said of releases is too old ({error}): it is held back, or this machine's clock is wrong"
            ) from error
        except RepositoryError as error:
            fetcher.forget()
            raise ReleaseRefusedError(
                f"what the centre says of releases is not signed as it has to be: {error}"
            ) from error
        return Path(found)
