"""Secrets on Linux: systemd credentials where the unit passes them, else files of mode 0600.

Owns the checks of owner and mode, and how credentials are named. A credential is read-only: a secret that is not among
them is made as a file. Never repairs permissions by itself: whoever could read a secret may have done so.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sync.durable import sync_folder
from sync.keys import DEVICE_KEY, STORE_KEY, SecretError

CREDENTIALS = "systemd credentials"
FILES = "files, mode 0600"
# The unit's credentials have it before their names: the places where systemd looks for them are all services'.
PREFIX: Final = "tillside."
# Where systemd has those of the agent while it runs, readable for its user alone.
OF_THE_AGENT: Final = Path("/run/credentials/tillside.service")


class SecretExposedError(SecretError):
    """Others than the owner can read a secret, or someone else owns it."""


class SecretDamagedError(SecretError):
    """A secret has not the length it was made with."""


class SecretGivenError(SecretError):
    """A secret comes from the system and is not ours to change."""


class LinuxKeyKeeper:
    """Reads the credential `tillside.NAME` or `NAME`, else `folder/NAME`; makes the latter where all are absent.

    A command that systemd does not start goes by the credentials of the agent that runs, in `of_the_agent`.
    """

    def __init__(
        self, folder: Path, environment: Mapping[str, str] = os.environ, of_the_agent: Path = OF_THE_AGENT
    ) -> None:
        self._folder = folder
        given = environment.get("CREDENTIALS_DIRECTORY")
        self._credentials = Path(given) if given else of_the_agent

    def get_or_create(self, name: str, length: int) -> bytes:
        found = self.find(name, length)
        return found if found is not None else self._create(name, length)

    def find(self, name: str, length: int) -> bytes | None:
        credential = self._credential(name)
        if credential is not None:
            return _of_length(credential.read_bytes(), length, credential)
        path = self._folder / name
        if not path.exists():
            return None
        _check(self._folder, 0o700)
        _check(path, 0o600)
        return _of_length(path.read_bytes(), length, path)

    def renew(self, name: str, length: int) -> bytes:
        if self._credential(name) is not None:
            raise SecretGivenError(
                f"{name} is given by systemd: change it where it is placed, such as in /etc/credstore.encrypted"
            )
        secret, beside = self._written_beside(name, length)
        beside.replace(self._folder / name)
        sync_folder(self._folder)
        return secret

    def forget(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        sync_folder(self._folder)

    def where(self) -> str:
        places = {CREDENTIALS if self._credential(name) else FILES for name in (STORE_KEY, DEVICE_KEY)}
        return " and ".join(sorted(places, reverse=True))

    def _credential(self, name: str) -> Path | None:
        with suppress(PermissionError):  # of somebody else's service
            for credential in (self._credentials / f"{PREFIX}{name}", self._credentials / name):
                if credential.is_file():
                    return credential
        return None

    def _create(self, name: str, length: int) -> bytes:
        """Linked to its name: a power cut leaves all of it or nothing."""
        secret, beside = self._written_beside(name, length)
        try:
            os.link(beside, self._folder / name)
        except FileExistsError:
            # Another process made it first; its secret counts.
            return _of_length((self._folder / name).read_bytes(), length, self._folder / name)
        finally:
            beside.unlink()
        sync_folder(self._folder)
        return secret

    def _written_beside(self, name: str, length: int) -> tuple[bytes, Path]:
        """A new secret, and the synced file that holds it under another name."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(self._folder, 0o700)
        secret = secrets.token_bytes(length)
        beside = self._folder / f".{name}.{secrets.token_hex(8)}"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secret)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return secret, beside


def _check(path: Path, allowed: int) -> None:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        raise SecretExposedError(f"{path} belongs to user {status.st_uid}; run `chown {os.geteuid()} {path}`")
    if mode & ~allowed:
        raise SecretExposedError(
            f"{path} has mode {mode:04o}, so others can reach the secret; run `chmod {allowed:04o} {path}`, "
            "and enrol the register anew if someone else may have read it"
        )


def _of_length(secret: bytes, length: int, path: Path) -> bytes:
    if len(secret) != length:
        raise SecretDamagedError(f"{path} holds {len(secret)} bytes, not {length}; put the original back")
    return secret
