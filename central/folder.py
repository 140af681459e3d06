"""The centre's data folder: what lies where, who may read it, and what `init` decided.

Owns the file names, their modes and the settings written by `init`. Never the content of the
database, which may be elsewhere. Everything is 0600 in a folder that is 0700: the CA key and the
signing key are in it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from msgspec import Struct

from central.db.database import Place
from loyalty.undecodable import UNDECODABLE
from sync.durable import write_private

SECRET_BYTES = 32


class FolderError(RuntimeError):
    """The data folder cannot be used. The message says what to do."""

    exit_code = 1


class AddressError(FolderError):
    """A text is no address to listen on."""

    exit_code = 2


class NotSetUpError(FolderError):
    """There is no centre in this folder."""

    exit_code = 3


class Address(Struct, frozen=True, kw_only=True):
    """Where a listener binds. Port 0 lets the system choose."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Address:
        """`127.0.0.1:8443`, `[::1]:8443`. Raises AddressError on anything else."""
        host, separator, port = text.rpartition(":")
        if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise AddressError(f"{text!r} is no address; write HOST:PORT, such as 127.0.0.1:8443")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class JoinSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The page on which people join. `url` is where they reach it, as the proxy before it answers; it ends in a slash.

    `privacy` is the address of what the shop says of what is done with their data.
    """

    listen: Address
    url: str
    privacy: str | None = None


class MailSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail server and who gets mail from whom by it; with STARTTLS unless `tls` is false, as to one beside it."""

    server: Address
    sender: str
    to: tuple[str, ...]
    tls: bool = True
    user: str | None = None
    password: str = ""


class AlertSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told of registers that are silent or have a problem. A webhook's address is a secret, like a password.

    `open` says when silence is news, as `central.opening` reads it; empty is always.
    """

    webhook: str | None = None
    mail: MailSettings | None = None
    silent_after_min: int = 15
    open: str = ""


class CentreSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`centre.json`: what `init` was told. `hosts` are the names in the server's certificate.

    `database` is the URL of a PostgreSQL database, without a password; None is SQLite in the data folder. Without
    `join` nobody joins by telephone, without `alerts` nobody is told of registers that are silent.
    """

    listen: Address
    admin: Address
    hosts: tuple[str, ...]
    brand: str = "Tillside"
    database: str | None = None
    join: JoinSettings | None = None
    alerts: AlertSettings | None = None


class DataFolder:
    """Paths in one data folder, and its secrets."""

    # What is in a backup besides the database: all that cannot be made anew.
    KEPT = (
        "centre.json",
        "ca.pem",
        "ca.key",
        "server.pem",
        "server.key",
        "program.key",
        "admin.secret",
        "journal.jsonl",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca_certificate = path / "ca.pem"
        self.ca_key = path / "ca.key"
        self.server_certificate = path / "server.pem"
        self.server_key = path / "server.key"
        self.snapshots = path / "snapshots"
        self.releases = path / "releases"
        self.journal = path / "journal.jsonl"
        self._settings = path / "centre.json"
        self._serving = path / "serving.json"
        self._program_key = path / "program.key"
        self._admin_secret = path / "admin.secret"

    def create(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        self.snapshots.mkdir(mode=0o700, exist_ok=True)

    def kept(self) -> tuple[Path, ...]:
        """The files of KEPT that are there."""
        return tuple(self.path / name for name in self.KEPT if (self.path / name).exists())

    @property
    def database(self) -> Place:
        """Where the database of these settings is. Raises FolderError where there are no usable ones."""
        return Place(data=self.path, url=self.settings().database)

    def settings(self) -> CentreSettings:
        """Raises FolderError where there is no usable `centre.json`."""
        try:
            return msgspec.json.decode(self._settings.read_bytes(), type=CentreSettings)
        except FileNotFoundError as error:
            raise NotSetUpError(
                f"{self.path} holds no centre; run: tillside-central init --data {self.path}"
            ) from error
        except UNDECODABLE as error:
            raise FolderError(f"{self._settings}: {error}; correct it, or take it from a backup") from error

    def has_settings(self) -> bool:
        return self._settings.exists()

    def save_settings(self, settings: CentreSettings) -> None:
        write_private(self._settings, msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n")

    def note_serving(self, listen: Address, admin: Address) -> None:
        """Remember the ports really bound, for the commands that print addresses."""
        write_private(self._serving, msgspec.json.encode({"listen": listen, "admin": admin}))

    def serving(self) -> dict[str, Address]:
        """The addresses last bound by `serve`, or the settings' own."""
        try:
            return msgspec.json.decode(self._serving.read_bytes(), type=dict[str, Address])
        except (FileNotFoundError, *UNDECODABLE):
            settings = self.settings()
            return {"listen": settings.listen, "admin": settings.admin}

    def device_url(self) -> str:
        """Where registers reach this centre: its first host, and the port it really has. Raises FolderError."""
        listen, hosts = self.serving()["listen"], self.settings().hosts
        if listen.port == 0:
            raise FolderError("the port is not known before the centre runs; start `serve`, or give --url")
        return f"https://{Address(host=hosts[0] if hosts else listen.host, port=listen.port)}"

    def create_secrets(self) -> None:
        """The program-signing key and the admin secret, each only where it is not there yet."""
        if not self._program_key.exists():
            write_private(self._program_key, private_pem(Ed25519PrivateKey.generate()))
        if not self._admin_secret.exists():
            write_private(self._admin_secret, os.urandom(SECRET_BYTES))

    def program_key(self) -> Ed25519PrivateKey:
        """Raises FolderError when the key is absent or is none."""
        try:
            key = load_pem_private_key(self._program_key.read_bytes(), password=None)
        except (OSError, ValueError) as error:
            raise FolderError(f"{self._program_key} cannot be read ({error}); take it from a backup") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise FolderError(f"{self._program_key} is no Ed25519 key; take it from a backup")
        return key

    def admin_secret(self) -> bytes:
        try:
            return self._admin_secret.read_bytes()
        except OSError as error:
            raise FolderError(
                f"{self._admin_secret} cannot be read ({error}); "
                f"run: tillside-central init --data {self.path}, which makes a new one"
            ) from error


def private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
