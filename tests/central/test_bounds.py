"""What no centre can use: blank codes, numbers and times beyond any clock; and a snapshot that the disk refuses."""

from __future__ import annotations

import errno
import secrets
import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec import Raw

from central import members, operations, quarantine, snapshots
from central.db import tables
from central.problems import BusyError
from central.scopes import WHOLE
from loyalty.receipt import MemberReference
from loyalty.remedies import REMEDIES
from sync.durable import write_private
from sync.records import MAX_SEQ, AliasBody, AttachBody, Entry, ErasedBody, JoinBody, SignalBody, ToldCode
from sync.wire import IngestRequest
from tests.central.conftest import RunningCentre
from tests.central.test_joining import join
from tests.central.till import NOON, RefusedError, receipt

# ---- codes


@pytest.mark.parametrize("blank", ["-", " ", "- -", "\u00a0"])
async def test_a_code_that_is_blank_names_nobody(centre: RunningCentre, blank: str) -> None:
    till = await centre.till()
    for kind in ("card", "phone"):
        code = ToldCode(kind=kind, code=blank)
        till.told("join", JoinBody(provisional_id=f"p-{kind}", codes=(code,)))
    till.told("alias", AliasBody(member="m1", code=ToldCode(kind="card", code=blank)))
    till.told("alias", AliasBody(member="m1", code=ToldCode(kind="card", code="TS7"), of=blank))
    till.told("attach", AttachBody(target="t", member=MemberReference(code=blank)))
    till.entry("signal", "s", msgspec.json.encode(SignalBody(what="seen", member=MemberReference(code=blank))))
    till.sale(receipt(1, code=blank))
    outcomes = (await till.send(1)).outcomes

    # Then nobody joins by it, nothing waits for it, and a sale is nobody's
    assert [one.code for one in outcomes] == ["quarantined"] * 5 + ["accepted"] * 2
    assert {one.detail for one in outcomes[:5]} == {"a code is blank"}
    assert centre.read(lambda c: members.meant(c, ["p-card", "p-phone"])) == {}
    (sold,) = centre.read(lambda c: c.execute(tables.receipts.select()).all())
    assert (sold.code, sold.member, b"member" in sold.body) == (None, None, False)


# ---- numbers and times


@pytest.mark.parametrize("count", [0, 1])
async def test_a_number_beyond_what_a_database_holds_makes_the_batch_unreadable(
    centre: RunningCentre, count: int
) -> None:
    till = await centre.till()
    for seq in (MAX_SEQ + 1, 2**64, 2**70):
        entries = tuple(
            Entry(seq=seq, key="k", kind="signal", hlc="x", wall=NOON, salt=secrets.token_hex(16), body=Raw(b"{}"))
            for _ in range(count)
        )
        batch = IngestRequest(
            device=till.device, epoch=till.epoch, first_seq=seq, prev_hash=till.hash_at(0).hex(), entries=entries
        )
        with pytest.raises(RefusedError) as refused:
            await till.ingest(batch)
        assert refused.value.status == 422
    # And the largest is one that is to come
    with pytest.raises(RefusedError) as refused:
        await till.ingest(
            IngestRequest(
                device=till.device, epoch=till.epoch, first_seq=MAX_SEQ, prev_hash=till.hash_at(0).hex(), entries=()
            )
        )
    assert (refused.value.status, refused.value.problem["expected_seq"]) == (409, 1)


@pytest.mark.parametrize("name", ["oldest_queued_at", "sent_at"])
@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_a_heartbeat_with_a_time_that_no_clock_shows_is_unreadable(
    centre: RunningCentre, name: str, moment: str
) -> None:
    till = await centre.till()

    status, _ = await till.request(
        "POST", "/v1/heartbeat", msgspec.json.encode({"version": "x", "queued": 1, "quarantined": 0, name: moment})
    )

    assert status == 422
    assert (await till.heartbeat()).centre_epoch


async def test_only_an_erasure_that_is_here_is_confirmed(centre: RunningCentre) -> None:
    till = await centre.till()
    till.told("join", join())
    await till.send(1)
    centre.write(lambda c: operations.erase_member(c, "p-1", NOON))
    for number in (77, -5, 0, 2**40, 1, 1):
        till.told("erased", ErasedBody(member="p-1", erasure=number))
    outcomes = (await till.send(2)).outcomes

    assert [one.code for one in outcomes] == ["quarantined"] * 4 + ["accepted", "duplicate"]
    confirmed = centre.read(lambda c: c.execute(tables.erasure_confirmations.select()).all())
    assert [row.number for row in confirmed] == [1]
    reasons = centre.read(quarantine.listed).reasons
    assert reasons == {"erasure": 1, "unreadable": 3}
    assert reasons.keys() <= REMEDIES.keys()


# ---- a full disk


async def test_a_snapshot_that_the_disk_does_not_take_leaves_nothing_there(
    centre: RunningCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a disk that takes no more than a part
    monkeypatch.setattr(snapshots, "ROWS_PER_CHUNK", 1)
    room = 2

    def write(path: Path, content: bytes) -> None:
        if path.name == f"{room}.jsonl.zst":
            raise OSError(errno.ENOSPC, "No space left on device")
        write_private(path, content)

    await (await centre.till()).changes()
    making = snapshots.Snapshots(centre.folder.snapshots, centre.database, write)
    # When a register asks again and again
    for _ in range(3):
        with pytest.raises(BusyError):
            await making.newest(WHOLE, NOON)

    # Then nothing of it is left; and once there is room it has one
    assert list(centre.folder.snapshots.iterdir()) == []
    room = 99
    assert sum(chunk.rows for chunk in (await making.newest(WHOLE, NOON)).chunks) == 3


async def test_where_no_snapshot_can_be_written_the_register_asks_again_later(centre: RunningCentre) -> None:
    till = await centre.till()
    shutil.rmtree(centre.folder.snapshots)
    centre.folder.snapshots.write_bytes(b"")

    with pytest.raises(RefusedError) as refused:
        await till.snapshot()

    assert refused.value.status == 503
