"""What the store remembers of a damaged file that it took the place of: where that is, and what came back of it.

Owns the note and the item in quarantine that tells a person. Never reads the damaged file (`sync.store.salvage` does).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sync.store.purge_rows import ERASURES_THROUGH
from sync.store.reading import Reading
from sync.store.rows import Recovered, Salvaged
from sync.store.writing import Writing

_META: Final = "salvage"


class Recovery(Struct, frozen=True, kw_only=True):
    """`item` is the id in quarantine; `reached` the last row id of each table that was brought back; `before` are those
    that were done, of other files.
    """

    recovered: Recovered
    item: int
    reached: dict[str, int] = {}
    before: tuple[Recovery, ...] = ()


def begin_recovery(writing: Writing, recovered: Recovered, before: Recovery | None = None) -> None:
    """A damaged file was renamed; `before` it another one gave what it had."""
    item = writing.quarantine("store", "corrupt_store", _detail(recovered), b"")
    others = (*before.before, replace(before, before=())) if before is not None else ()
    keep_recovery(writing, Recovery(recovered=recovered, item=item, before=others))


def recovery_of(reading: Reading) -> Recovery | None:
    """The last one, whether it is done or not."""
    kept = reading.meta(_META)
    return msgspec.json.decode(kept, type=Recovery) if kept is not None else None


def is_same_file(one: Recovered, other: Recovered) -> bool:
    """Whether both tell of one damaged file; a store's folder may have been moved."""
    return Path(one.moved_to).name == Path(other.moved_to).name


def next_to_salvage(known: Recovery | None, found: Iterable[Recovered]) -> Recovered | None:
    """Of damaged files that are `found` the one that comes after what is `known`, which may not be done itself."""
    if known is not None and not known.recovered.salvaged.done:
        return None
    return next((one for one in found if known is None or not is_same_file(known.recovered, one)), None)


def done(recovery: Recovery) -> Recovery:
    """All that can be read came back."""
    salvaged = replace(recovery.recovered.salvaged, done=True)
    return replace(recovery, recovered=replace(recovery.recovered, salvaged=salvaged))


def finish_recovery(writing: Writing, recovery: Recovery, then: Recovered | None) -> None:
    """It is done, and the item in quarantine says what came back; `then` another file has its turn."""
    # Whoever was erased meanwhile may have come back with it: all erasures are carried out anew.
    writing.set_meta(ERASURES_THROUGH, "0")
    recovery = done(recovery)
    keep_recovery(writing, recovery)
    writing.still_quarantined(recovery.item, "corrupt_store", _detail(recovery.recovered), "", receipt=None)
    if then is not None:
        begin_recovery(writing, then, recovery)


def note_removed(writing: Writing) -> None:
    """The damaged files went with a member who was erased."""
    recovery = recovery_of(writing)
    if recovery is None or recovery.recovered.removed:
        return
    before = tuple(_removed(one) for one in recovery.before)
    recovery = replace(_removed(recovery), before=before)
    keep_recovery(writing, recovery)
    for one in (*before, recovery):
        writing.still_quarantined(one.item, "corrupt_store", _detail(one.recovered), "", receipt=None)


def _removed(recovery: Recovery) -> Recovery:
    return replace(recovery, recovered=replace(recovery.recovered, removed=True))


def keep_recovery(writing: Writing, recovery: Recovery) -> None:
    """How far it is, in the commit of what came back."""
    writing.set_meta(_META, msgspec.json.encode(recovery).decode())


def _detail(recovered: Recovered) -> str:
    return f"{whereabouts(recovered)}: {recovered.reason}; {told(recovered.salvaged)}"


def whereabouts(recovered: Recovered) -> str:
    """What became of the damaged file, for the operator."""
    return "removed, since a member was erased" if recovered.removed else f"kept as {recovered.moved_to}"


def told(salvaged: Salvaged) -> str:
    """What came of a salvage, for the operator."""
    counts = ", ".join(f"{count} {name}" for name, count in sorted(salvaged.brought_back.items())) or "nothing"
    if not salvaged.done:
        return f"{counts} brought back from it so far"
    if salvaged.lost_pages or salvaged.lost_rows:
        lost = f"{salvaged.lost_pages} of its {salvaged.pages} pages and {salvaged.lost_rows} more rows cannot be read"
        return f"{counts} brought back from it; {lost}"
    return f"{counts} brought back from it, and every page of it could be read"
