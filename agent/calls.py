"""Calls that are repeated under their Idempotency-Key get the first answer.

Owns what a key is, and that the answer is kept in the transaction of what the call did. Never knows HTTP, nor what is
asked.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from agent.problem import MalformedBodyError
from sync.store.reading import Reading
from sync.store.writing import Writing

# The register's own secret, under which bodies of calls are kept as digests.
_CALLS_KEY: Final = "calls-key"
# An Idempotency-Key, as a pattern.
KEY: Final = r"[!-~]{1,255}"
_is_key: Final = re.compile(KEY).fullmatch

T = TypeVar("T", bound=Struct)


def call_of(idempotency_key: str | None) -> str | None:
    """The name under which a call is remembered; None of one that has no key. Raises MalformedBodyError."""
    if idempotency_key is None:
        return None
    if not _is_key(idempotency_key):
        raise MalformedBodyError("The Idempotency-Key is not 1 to 255 visible ASCII characters.")
    return hashlib.sha256(idempotency_key.encode()).hexdigest()


def answered(reading: Reading, *, source: str, call: str | None, asked: bytes, answer: type[T]) -> T | None:
    """What this call was answered before, None where it never was. Raises MalformedBodyError of another body."""
    first = reading.answered_call(source, call) if call is not None else None
    secret = reading.meta(_CALLS_KEY)
    if first is None or secret is None:
        return None
    if first.digest != _digest(secret, asked):
        raise MalformedBodyError("This Idempotency-Key was used for another body: take a new key.")
    return msgspec.json.decode(first.answer, type=answer)


def once(
    writing: Writing, *, source: str, call: str | None, asked: bytes, answer: type[T], work: Callable[[Writing], T]
) -> T:
    """What `work` answers, or what it answered to this call before. Raises MalformedBodyError, and what it raises."""
    first = answered(writing, source=source, call=call, asked=asked, answer=answer)
    if first is not None:
        return first
    told = work(writing)
    if call is not None:
        digest = _digest(_calls_key(writing), asked)
        writing.keep_answered_call(source, call, digest, msgspec.json.encode(told))
    return told


def _digest(secret: str, asked: bytes) -> str:
    """Under a secret: a telephone number could be guessed back from a bare digest."""
    return hmac.digest(secret.encode(), asked, "sha256").hex()


def _calls_key(writing: Writing) -> str:
    secret = writing.meta(_CALLS_KEY)
    if secret is None:
        secret = writing.new_id("")
        writing.set_meta(_CALLS_KEY, secret)
    return secret
