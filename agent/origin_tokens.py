"""Tokens of pages that a browser has from another origin: each for one origin and one role, revocable by itself.

Owns making, listing and revoking them, and saying what one is for. A token is told once, when it is made: what is kept
is its SHA-256, which is as good as any slower digest for 32 random bytes. One file each, so that two who make or revoke
some at once cannot undo each other's. Never decides whether an origin is let in (`agent.access`, by the settings).
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

FOLDER_NAME: Final = "origin-tokens"
# Some for each origin that may be set: a shop that needs more has forgotten to revoke.
MAX_TOKENS: Final = 32
_ID_BYTES: Final = 4
_ID: Final = re.compile(r"[0-9a-f]{8}")

log = structlog.get_logger(__name__)


class OriginToken(Struct, frozen=True, kw_only=True):
    """What is known of a token; `digest` is the SHA-256 of its text, in hexadecimal digits."""

    id: str
    origin: str
    role: Role
    made: datetime
    digest: str


class TooManyTokensError(SecretError):
    """There is no room for another; the message says what to do."""


class OriginTokens:
    """Those of the register with this state folder; read anew each time, as another process may have changed them."""

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER_NAME

    def make(self, origin: str, role: Role, made: datetime) -> tuple[OriginToken, str]:
        """Another one, durable, and its text, which nobody can read again. Raises SecretError and OSError."""
        if len(self._files()) >= MAX_TOKENS:
            raise TooManyTokensError(
                f"there are {MAX_TOKENS} tokens of origins already: revoke one with `tillside pos-token --revoke ID`, "
                "as `--list` names them"
            )
        name = secrets.token_hex(_ID_BYTES)
        text = f"{name}.{secrets.token_urlsafe(TOKEN_BYTES)}"
        token = OriginToken(id=name, origin=origin, role=role, made=made, digest=_digest(text))
        private_folder(self._folder)
        write_private(self._file(name), msgspec.json.encode(token))
        return token, text

    def all(self) -> tuple[OriginToken, ...]:
        """The oldest first. Raises SecretError and OSError."""
        return tuple(sorted(map(_read, self._files()), key=lambda token: token.made))

    def revoke(self, name: str) -> None:
        """Lets one open nothing from now on, durably. Raises NotFoundError and OSError."""
        if not _ID.fullmatch(name) or not self._file(name).exists():
            raise NotFoundError(f"no token {name!r}: `tillside pos-token --list` names those there are")
        self._file(name).unlink()
        sync_folder(self._folder)

    def role_of(self, origin: str, text: str) -> Role | None:
        """What the token is for; None where it is not one of this origin's."""
        name = text.partition(".")[0]
        if not _ID.fullmatch(name):
            return None
        try:
            token = _read(self._file(name))
        except FileNotFoundError:
            return None
        except (SecretError, OSError) as error:
            log.error("origin_token_unreadable", reason=str(error))
            return None
        return token.role if hmac.compare_digest(_digest(text), token.digest) and token.origin == origin else None

    def _files(self) -> list[Path]:
        return list(self._folder.glob("*.json"))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"


def _read(file: Path) -> OriginToken:
    try:
        return msgspec.json.decode(file.read_bytes(), type=OriginToken)
    except msgspec.DecodeError as error:
        remedy = f"revoke it with `tillside pos-token --revoke {file.stem}`, and make another"
        raise SecretError(f"{file} cannot be read as a token: {remedy}") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
