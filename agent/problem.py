"""Errors of the local API as RFC 9457 problem documents."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

MEDIA_TYPE = "application/problem+json"


class Problem(Struct, frozen=True, kw_only=True):
    """What went wrong; `detail` tells the caller what to do, `reason` names it where programs may want to know.

    `name` is the short name of whom a cashier has to ask for.
    """

    title: str
    status: int
    detail: str | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class MalformedBodyError(ValueError):
    """The caller sent something else than the operation takes. The message says what to change."""
