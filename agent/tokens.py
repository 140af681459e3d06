"""Tokens of pages in a browser: each for one origin and one role, revocable by itself.

Owns making, listing and revoking them, and saying what one is for. Those of other origins send theirs, those that came
from the register itself have it as a cookie. A token is told once, when it is made: what is kept is its SHA-256, which
is as good as any slower digest for 32 random bytes. One file each, so that two who make or revoke some at once cannot
undo each other's. Never decides whether an origin is let in (`agent.access`, by the settings).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog
from msgspec import Struct

from agent.access import TOKEN_BYTES, Role
from agent.inspection import NotFoundError
from sync.durable import private_folder, sync_folder, write_private
from sync.keys import SecretError

ORIGINS_FOLDER: Final = "origin-tokens"
PAGES_FOLDER: Final = "page-tokens"
# Some for each origin that may be set: a shop that needs more has forgotten to revoke. Of our own pages two are open at
# a till, and a browser that is started anew is paired anew.
MAX_TOKENS: Final = 32
_ID_BYTES: Final = 4
_ID: Final = re.compile(r"[0-9a-f]{8}")

log = structlog.get_logger(__name__)


class Token(Struct, frozen=True, kw_only=True):
    """What is known of a token; `digest` is the SHA-256 of its text, in hexadecimal digits."""

    id: str
    origin: str
    role: Role
    made: datetime
    digest: str


class TooManyTokensError(SecretError):
    """There is no room for another; the message says what to do."""


class Tokens:
    """Those in one folder; read anew each time, as another process may have changed them.

    `listed_by` and `revoked_by` are the commands for it. Where there are too many a further one is refused, or with
    `oldest_goes` the oldest is revoked.
    """

    def __init__(self, folder: Path, *, listed_by: str, revoked_by: str, oldest_goes: bool = False) -> None:
        self._folder = folder
        self._listed_by = listed_by
        self._revoked_by = revoked_by
        self._oldest_goes = oldest_goes

    def make(self, origin: str, role: Role, made: datetime) -> tuple[Token, str]:
        """Another one, durable, and its text, which nobody can read again. Raises SecretError and OSError."""
        self._make_room()
        name = secrets.token_hex(_ID_BYTES)
        text = f"{name}.{secrets.token_urlsafe(TOKEN_BYTES)}"
        token = Token(id=name, origin=origin, role=role, made=made, digest=_digest(text))
        private_folder(self._folder)
        write_private(self._file(name), msgspec.json.encode(token))
        return token, text

    def all(self) -> tuple[Token, ...]:
        """The oldest first. Raises SecretError and OSError."""
        return tuple(sorted(map(self._read, self._files()), key=lambda token: token.made))

    def revoke(self, name: str) -> None:
        """Lets one open nothing from now on, durably. Raises NotFoundError and OSError."""
        if not _ID.fullmatch(name) or not self._file(name).exists():
            raise NotFoundError(f"no token {name!r}: `{self._listed_by}` names those there are")
        self._file(name).unlink()
        sync_folder(self._folder)

    def revoke_all(self) -> None:
        """Lets none of them open anything from now on, also one that cannot be read. Raises OSError."""
        for file in self._files():
            file.unlink(missing_ok=True)
        if self._folder.exists():
            sync_folder(self._folder)

    def role_of(self, origin: str, text: str) -> Role | None:
        """What the token is for; None where it is not one of this origin's."""
        name = text.partition(".")[0]
        if not _ID.fullmatch(name):
            return None
        try:
            token = self._read(self._file(name))
        except FileNotFoundError:
            return None
        except (SecretError, OSError) as error:
            log.error("token_unreadable", reason=str(error))
            return None
        return token.role if hmac.compare_digest(_digest(text), token.digest) and token.origin == origin else None

    def _make_room(self) -> None:
        files = self._files()
        if len(files) < MAX_TOKENS:
            return
        if not self._oldest_goes:
            raise TooManyTokensError(
                f"there are {MAX_TOKENS} tokens already: revoke one with `{self._revoked_by} ID`, "
                f"as `{self._listed_by}` names them"
            )
        # By when it was written: one that cannot be read gives way, too.
        min(files, key=lambda file: file.stat().st_mtime_ns).unlink(missing_ok=True)

    def _read(self, file: Path) -> Token:
        try:
            return msgspec.json.decode(file.read_bytes(), type=Token)
        except msgspec.DecodeError as error:
            remedy = f"revoke it with `{self._revoked_by} {file.stem}`, and make another"
            raise SecretError(f"{file} cannot be read as a token: {remedy}") from error

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*.json"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def origin_tokens(state: Path) -> Tokens:
    """Those of other origins' pages at the register with this state folder."""
    return Tokens(
        state / ORIGINS_FOLDER, listed_by="tillside pos-token --list", revoked_by="tillside pos-token --revoke"
    )


def page_tokens(state: Path) -> Tokens:
    """Those of browsers that have the register's own pages; a till that is started anew every day never runs out."""
    return Tokens(
        state / PAGES_FOLDER, listed_by="tillside open --list", revoked_by="tillside open --forget", oldest_goes=True
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
