"""What a register would hold: the feed from a position on, and a snapshot, applied as docs/protocol.md says."""

from __future__ import annotations

import hashlib

import msgspec

from tests.conformance.register import Register, unpacked
from tests.conformance.rules import require, violated
from tests.conformance.shapes import Change, Changes, Chunk, OnDemand, Snapshot

# More pages than a centre under test has; one that never ends is its fault.
MAX_PAGES = 10_000


class State:
    """Members at their newest position."""

    def __init__(self) -> None:
        self.newest: dict[str, Change] = {}

    def apply(self, changes: list[Change]) -> None:
        """A change counts if it is newer than what is held; an erasure is final."""
        for change in changes:
            held = self.newest.get(change.member)
            if held is None or (held.op != "erase" and change.pos > held.pos):
                self.newest[change.member] = change

    @property
    def members(self) -> dict[str, Change]:
        return {name: change for name, change in self.newest.items() if change.op == "upsert"}

    def by_code(self, code: str) -> OnDemand:
        """The member whom an outcome was about."""
        for change in self.members.values():
            if change.row is not None and any(one.code == code for one in change.row.identifiers):
                break
        else:
            violated("changes", f"Nobody with the code {code} is in the feed, though an outcome named a position.")
        assert change.row is not None
        return OnDemand(pos=change.pos, row=change.row)


async def page(register: Register, after: int, limit: int) -> Changes:
    """One page, in which everything has to be in order."""
    answer = await register.get(f"/v1/changes?after={after}&limit={limit}")
    found = answer.read(Changes, "changes")
    positions = [change.pos for change in found.changes]
    in_order = all(one < two for one, two in zip([after, *positions], positions, strict=False))
    require(in_order, "changes", f"Changes after {after} are at {positions}: not each beyond the one before.")
    require(len(positions) <= limit, "changes", f"A page of {limit} changes holds {len(positions)}.")
    last = max([after, *positions])
    require(found.next >= last, "changes", f"next is {found.next}, and the page ends at {last}.")
    require(found.next > after or not found.more, "changes", f"more is promised, and next stays at {after}.")
    for change in found.changes:
        whole = change.row is not None and change.row.member == change.member
        require(whole or change.op != "upsert", "rows", f"The upsert at {change.pos} has no row of its member.")
    return found


async def changes_after(register: Register, after: int, limit: int = 500) -> tuple[list[Change], int]:
    """All changes from there on, and where they end."""
    found: list[Change] = []
    for _ in range(MAX_PAGES):
        one = await page(register, after, limit)
        found += one.changes
        after = one.next
        if not one.more:
            break
    else:
        violated("changes", f"After {MAX_PAGES} pages there is more still.")
    return found, after


async def chunk_of(register: Register, chunk: Chunk) -> list[Change]:
    answer = await register.get(chunk.url)
    require(answer.status == 200, "snapshots", f"A chunk that the snapshot names is answered with {answer.status}.")
    encoded = answer.headers.get("content-encoding")
    require(encoded is None, "snapshots", f"A chunk came with Content-Encoding {encoded}: it is a file, as it is.")
    digest = hashlib.sha256(answer.body).hexdigest()
    require(digest == chunk.sha256, "snapshots", f"A chunk's digest is {digest}, the snapshot says {chunk.sha256}.")
    lines = unpacked(answer.body, "a chunk").splitlines()
    require(len(lines) == chunk.rows, "snapshots", f"A chunk has {len(lines)} lines, the snapshot says {chunk.rows}.")
    try:
        rows = [msgspec.json.decode(line, type=Change) for line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        violated("snapshots", f"A line of a chunk is no change: {error}.")
    strange = {row.op for row in rows} - {"upsert"}
    require(not strange, "snapshots", f"A chunk holds changes of {strange}; it is of upserts.")
    return rows


async def rows_of(register: Register, snapshot: Snapshot) -> list[Change]:
    return [row for chunk in snapshot.chunks for row in await chunk_of(register, chunk)]


async def state_of(register: Register) -> State:
    """What a register that starts now holds: a snapshot, and what came since."""
    state, snapshot = State(), await register.snapshot()
    state.apply(await rows_of(register, snapshot))
    state.apply((await changes_after(register, snapshot.as_of))[0])
    return state
