"""Which keys of `[[receipts]]` go together.

Owns the kinds of source and the keys that not every kind has. Never judges a single value (`config.settings` does).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

# The key that makes a source one of its kind, and the keys that not every kind has.
KEYS_OF_KIND: Final[Mapping[str, frozenset[str]]] = {
    "spool": frozenset(),
    "webhook": frozenset(),
    "folder": frozenset(("pattern", "complete", "settle_ms", "temporary", "afterwards", "mapping")),
    "database": frozenset(("query", "high_water", "start", "overlap", "poll_s", "mapping")),
}


class SourceProblem(Struct, frozen=True, kw_only=True):
    """What is wrong with the table number `index`, counted from 0, at its `key`."""

    index: int
    key: str
    problem: str
    remedy: str


def source_problems(tables: Sequence[Mapping[str, Any]]) -> Iterator[SourceProblem]:
    """What is wrong with the sources of a register, each table as the operator wrote it."""
    for index, table in enumerate(tables):
        kinds = [kind for kind in KEYS_OF_KIND if table.get(kind) not in (None, False)]
        known = ", ".join(KEYS_OF_KIND)
        if not kinds:
            yield SourceProblem(
                index=index, key=known, problem="none of these is there", remedy="Say where the receipts come from"
            )
        elif len(kinds) > 1:
            yield SourceProblem(
                index=index,
                key=" and ".join(kinds),
                problem="a source is of one kind",
                remedy="Keep one of them, or make a second [[receipts]] of the other",
            )
        else:
            yield from _foreign_keys(index, table, kinds[0])
            yield from _missing_keys(index, table, kinds[0])
    yield from _between(tables)


def _missing_keys(index: int, table: Mapping[str, Any], kind: str) -> Iterator[SourceProblem]:
    """What a database cannot be asked without."""
    if kind != "database":
        return
    for key in ("query", "high_water", "mapping"):
        if not table.get(key):
            yield SourceProblem(index=index, key=key, problem="it is missing", remedy="docs/sources.md has an example")
    if not re.search(r":high_water\b", str(table.get("query", ""))):
        yield SourceProblem(
            index=index,
            key="query",
            problem="it has no :high_water, and would give every row each time",
            remedy="Write WHERE column > :high_water ORDER BY column",
        )


def _between(tables: Sequence[Mapping[str, Any]]) -> Iterator[SourceProblem]:
    """What is wrong with sources only because there are others."""
    names = [table.get("name") for table in tables]
    for index, name in enumerate(names):
        if name in names[:index]:
            remedy = "Give each its own name: what it has read is kept under it"
            yield SourceProblem(index=index, key="name", problem="is another source's as well", remedy=remedy)
    hooks = [index for index, table in enumerate(tables) if table.get("webhook")]
    if len(hooks) > 1:
        yield SourceProblem(
            index=hooks[1], key="webhook", problem="another source takes the calls already", remedy="Remove one of them"
        )
    chosen = [index for index, table in enumerate(tables) if table.get("authoritative")]
    if len(chosen) > 1 or (len(tables) > 1 and not chosen):
        yield SourceProblem(
            index=chosen[1] if chosen else len(tables) - 1,
            key="authoritative",
            problem=f"{len(chosen) or 'none'} of {len(tables)} sources say it",
            remedy="Each sale counts as one source has it: set authoritative = true for that one, and for no other",
        )


def _foreign_keys(index: int, table: Mapping[str, Any], kind: str) -> Iterator[SourceProblem]:
    for other, keys in KEYS_OF_KIND.items():
        for key in sorted((keys - KEYS_OF_KIND[kind]) & table.keys()):
            yield SourceProblem(
                index=index, key=key, problem=f"goes with {other}, and this is a {kind}", remedy="Remove it"
            )
