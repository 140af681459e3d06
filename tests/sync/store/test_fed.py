"""A page of the feed goes in by small parts: together they are the page, and each comes no further than its changes."""

from __future__ import annotations

import pytest

from sync.store.fed import APPLIED_AT_ONCE, parts_of
from sync.wire import Change, ChangesResponse
from tests.sync.store.samples import NOON


def page(count: int, *, more: bool) -> ChangesResponse:
    changes = tuple(Change(pos=10 * place, op="leave", member=f"m{place}") for place in range(1, count + 1))
    return ChangesResponse(centre_epoch="c", changes=changes, next=10 * count + 7, more=more, as_of=NOON)


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("count", [0, 1, APPLIED_AT_ONCE, APPLIED_AT_ONCE + 1, 2 * APPLIED_AT_ONCE + 5])
def test_the_parts_are_the_page(count: int, more: bool) -> None:
    whole = page(count, more=more)

    *before, last = parts_of(whole)

    assert tuple(change for part in (*before, last) for change in part.changes) == whole.changes
    assert all(len(part.changes) <= APPLIED_AT_ONCE for part in (*before, last))
    # Who stops in between goes on behind what is in the store, and does not say that all of it is
    assert [(part.next, part.more) for part in before] == [(part.changes[-1].pos, True) for part in before]
    assert (last.next, last.more) == (whole.next, more)
