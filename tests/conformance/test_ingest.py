"""Taking in entries: the chain, overlaps, gaps, forks, epochs, and what is wrong with a batch or with one entry."""

from __future__ import annotations

import json
import secrets
from dataclasses import replace

import pytest
from aiohttp import ClientConnectionError

from tests.conformance.register import Answer, Register, Request, packed
from tests.conformance.rules import Section, require
from tests.conformance.shapes import Gap, Ingested, Problem

pytestmark = pytest.mark.asyncio(loop_scope="session")

TOO_MANY_BYTES = 16 * 1024 * 1024 + 1


def all_accepted(taken: Ingested, section: Section, why: str) -> None:
    require(set(taken.codes) == {"accepted"}, section, f"{why}; the outcomes are {taken.codes}.")


# ---- the chain


async def test_a_chain_is_hashed_as_it_was_sent(register: Register) -> None:
    # Given bodies and texts in forms that no encoder of the centre would write
    register.write("signal", '{ "what" :\t"conformance", "later":1.50,"e":1E2 ,"what2":"\\u0110\\/Đ" }')
    register.write("signal", {"what": "conformance"}, key="ключ-Đ-🙂", wall="2026-11-22T09:07:14.250000+01:00")
    register.write("signal", {"what": "conformance"}, wall="2026-11-22T05:37:14-03:30")
    register.write("signal", '{"z":1,"a":{"y":[1,2 , 3]},"what":"conformance"}')
    # Then its hashes are the register's, in one batch and over several
    await register.ingest(1, 2)
    await register.ingest(3, 4)
    again = await register.ingest(1, 4)
    require(len(again.outcomes) == 4, "the-chain", "The boundaries of batches meant something.")


async def test_batches_may_begin_and_end_anywhere(register: Register) -> None:
    for _ in range(6):
        register.signal()
    for first, last in ((1, 1), (1, 3), (2, 4), (4, 6), (1, 6)):
        all_accepted(await register.ingest(first, last), "up", f"Entries {first} to {last} were sent")


async def test_an_empty_batch_says_where_the_centre_stands(register: Register) -> None:
    register.signal()
    await register.ingest()
    taken = await register.ingest(2)
    require(taken.acked_through == 1, "up", f"An empty batch behind entry 1 is acknowledged as {taken.acked_through}.")


async def test_an_overlap_gets_the_first_outcomes(register: Register) -> None:
    # Given entries with three kinds of outcomes
    receipt = register.sale()
    register.receipt(receipt)
    register.receipt(receipt)
    register.write("conformance_future", {})
    first = await register.ingest()
    require(first.codes == ["accepted", "duplicate", "quarantined"], "kinds", f"The outcomes are {first.codes}.")
    # When they come again with one more
    register.signal()
    again = await register.ingest()
    # Then theirs are the first ones again, and only the new one is taken
    require(
        again.codes == [*first.codes, "accepted"],
        "where-a-batch-meets-what-is-there",
        f"Entries with outcomes {first.codes} came again with one more; now they are {again.codes}.",
    )


async def test_a_gap_is_answered_with_where_to_go_on(register: Register) -> None:
    for _ in range(4):
        register.signal()
    await register.ingest(1, 1)
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(3)))
    require(answer.status == 409, "up", f"Entry 2 has not come, and 3 did; the centre answered {answer}; 409 is due.")
    gap = answer.read(Gap, "up", status=409)
    require(gap.expected_seq == 2, "up", f"The mark is 1 and the centre expects entry {gap.expected_seq}.")
    all_accepted(await register.ingest(2), "up", "After a gap everything was sent from where it began")


# ---- forks and epochs


async def test_another_history_under_the_same_numbers_is_a_fork(register: Register) -> None:
    # Given three entries that were taken
    receipts = [register.sale() for _ in range(4)]
    for receipt in receipts[:3]:
        register.receipt(receipt)
    await register.ingest()
    honest, epoch = list(register.entries), register.epoch
    # When a clone, with the first two of them, goes on otherwise
    register.entries = honest[:2]
    strange = register.receipt(receipts[3])
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(2)))
    # Then that is a fork
    section: Section = "where-a-batch-meets-what-is-there"
    require(
        answer.status == 410, section, f"Entry 3 came with other content; the centre answered {answer}; 410 is due."
    )
    # And the epoch takes nothing any more, of whichever history
    register.entries = honest
    register.signal()
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(4)))
    require(answer.status == 410, section, f"The epoch was fenced by a fork; the centre answered {answer}; 410 is due.")
    # And both histories count once in an epoch of their own
    register.entries = honest[:3]
    await register.open_epoch()
    require(register.epoch != epoch, "epochs", "The centre opened an epoch that was there before.")
    for entry in (*honest[:3], strange):
        register.write(entry.kind, entry.body, key=entry.key)
    taken = await register.ingest()
    require(
        taken.codes == ["duplicate"] * 3 + ["accepted"],
        "epochs",
        f"Three receipts that had arrived and one that had not came in a new epoch; the outcomes are {taken.codes}.",
    )


async def test_a_chain_that_differs_before_the_batch_is_a_fork(register: Register) -> None:
    register.signal()
    batch = register.batch(prev_hash="00" * 32)
    answer = await register.send(register.signed("POST", "/v1/ingest", batch))
    require(
        answer.status == 410,
        "where-a-batch-meets-what-is-there",
        f"prev_hash was not h before the batch; the centre answered {answer}; 410 is due.",
    )


async def test_a_new_epoch_fences_the_one_before(register: Register) -> None:
    # Given a live epoch with one receipt
    register.receipt(register.sale())
    await register.ingest()
    before, entries = register.epoch, list(register.entries)
    # When another is opened
    await register.open_epoch()
    after = register.epoch
    # Then the one before takes nothing
    register.epoch, register.entries = before, entries
    register.signal()
    answer = await register.send(register.signed("POST", "/v1/ingest", register.batch(2)))
    require(answer.status == 410, "epochs", f"A fenced epoch got an entry; the centre answered {answer}; 410 is due.")
    # And the new one begins at 1
    register.begin(after)
    register.write(entries[0].kind, entries[0].body, key=entries[0].key)
    taken = await register.ingest()
    require(taken.codes == ["duplicate"], "epochs", f"A known receipt came in a new epoch; it is {taken.codes}.")


async def test_an_epoch_belongs_to_its_device(register: Register, other: Register) -> None:
    for epoch in (other.epoch, "conformance-made-this-up"):
        register.epoch, register.entries = epoch, []
        register.signal()
        answer = await register.send(register.signed("POST", "/v1/ingest", register.batch()))
        require(
            answer.status == 410, "up", f"The epoch is not this device's; the centre answered {answer}; 410 is due."
        )


# ---- what is wrong with a batch

HEAD = {"first_seq": 1, "prev_hash": "0" * 64, "entries": []}
UNREADABLE = {
    "nothing": b"",
    "no JSON": b"conformance",
    "JSON that is cut off": b'{"device":"',
    "no UTF-8": b'{"device":"\xff"}',
    "another shape": b"[]",
    "a number where a text is due": json.dumps(HEAD | {"device": 1, "epoch": "e"}).encode(),
    "keys that are missing": json.dumps({"device": "d"}).encode(),
    "nesting without an end": b'{"device":' + b"[" * 100_000,
}


async def unreadable(register: Register, request: Request, what: str) -> None:
    answer = await register.send(request.sign(register.device.id, register.device.key))
    require(answer.status == 422, "up", f"A batch was {what}; the centre answered {answer}; 422 is due.")
    answer.read(Problem, "transport", status=422)
    register.entries = register.entries or [register.signal()]
    all_accepted(await register.ingest(), "up", f"A batch that was {what} was refused, and then an honest one came")


@pytest.mark.parametrize("what", UNREADABLE)
async def test_what_cannot_be_read_is_refused_and_changes_nothing(register: Register, what: str) -> None:
    await unreadable(register, Request(method="POST", target="/v1/ingest", body=UNREADABLE[what]), what)


@pytest.mark.parametrize("what", ["no frame", "a frame that is cut off", "two frames", "a frame with bytes behind it"])
async def test_what_is_not_one_whole_frame_is_refused(register: Register, what: str) -> None:
    register.signal()
    batch = register.batch()
    frame = packed(batch)
    body = {
        "no frame": batch,
        "a frame that is cut off": frame[:-5],
        "two frames": packed(batch[:50]) + packed(batch[50:]),
        "a frame with bytes behind it": frame + b"}",
    }[what]
    headers = {"Content-Encoding": "zstd"}
    await unreadable(register, Request(method="POST", target="/v1/ingest", body=body, headers=headers), what)


async def test_more_entries_than_a_batch_may_hold_are_refused(register: Register) -> None:
    for _ in range(2001):
        register.write("signal", '{"what":"c"}', key="k")
    request = register.request("POST", "/v1/ingest", register.batch())
    answer = await register.send(request.sign(register.device.id, register.device.key))
    require(answer.status == 422, "limits", f"A batch held 2,001 entries; the centre answered {answer}; 422 is due.")
    taken = await register.ingest(1, 500)
    all_accepted(taken, "limits", "A batch held 500 entries")
    more = min(taken.credit, 1501)
    if more > 0:
        taken = await register.ingest(501, 500 + more)
        all_accepted(taken, "limits", f"A batch held {more} entries, for which the answer before gave credit")


async def test_numbers_out_of_step_are_refused(register: Register) -> None:
    register.signal()
    register.signal()
    honest = list(register.entries)
    register.entries[1] = replace(honest[1], seq=3)
    batch = register.batch()
    register.entries = honest
    await unreadable(register, register.request("POST", "/v1/ingest", batch), "out of step: 1, 3")


async def refused_as_too_large(register: Register, request: Request, what: str) -> None:
    """A server may end the connection while it is sent what it will not read."""
    try:
        answer: Answer | None = await register.send(request.sign(register.device.id, register.device.key))
    except ClientConnectionError:
        answer = None
    refused = answer is None or answer.status == 413
    require(refused, "limits", f"A body was {what}; the centre answered {answer}; 413 is due.")


async def test_a_body_that_grows_beyond_the_limit_is_refused(register: Register) -> None:
    bomb = register.request("POST", "/v1/ingest", b" " * TOO_MANY_BYTES, compressed=True)
    answer = await register.send(bomb.sign(register.device.id, register.device.key))
    require(answer.status == 413, "limits", f"A frame of over 16 MiB came; the centre answered {answer}; 413 is due.")


async def test_a_body_above_the_limit_is_refused(register: Register) -> None:
    large = register.request("POST", "/v1/ingest", b" " * TOO_MANY_BYTES, compressed=False)
    await refused_as_too_large(register, large, "larger than 16 MiB")


@pytest.mark.parametrize("target", ["/v1/epochs", "/v1/heartbeat"])
async def test_a_small_request_has_a_small_limit(register: Register, target: str) -> None:
    large = register.request("POST", target, b" " * (16 * 1024 + 1), compressed=False)
    await refused_as_too_large(register, large, f"larger than 16 KiB, for {target}")


# ---- what is wrong with one entry


async def test_a_poison_entry_delays_nothing(register: Register) -> None:
    # Given entries that nobody can apply among others
    register.receipt(register.sale())
    register.write("conformance_future", {"of": "the future"})
    register.write("receipt", {"receipt": {"key": 1}})
    register.write("receipt", "[1, 2, 3]")
    register.write("signal", "null")
    mismatched = register.sale()
    register.write("receipt", {"receipt": mismatched}, key="another-key")
    crowded = register.sale() | {"also": [f"pos:conformance/{register.epoch}/x/{count}" for count in range(5000)]}
    register.receipt(crowded)
    register.receipt(register.sale())
    # When they come in one batch
    taken = await register.ingest()
    # Then each is set aside alone
    expected = ["accepted", *["quarantined"] * 6, "accepted"]
    require(
        taken.codes == expected,
        "kinds",
        "The second to seventh of eight entries are of an unknown kind, of other shapes, under another key than "
        f"their receipt's, and with 5,000 ids; the outcomes are {taken.codes}.",
    )


async def test_a_text_that_is_too_long_delays_nothing(register: Register) -> None:
    # Given texts that entries are found by, longer than may be and of no pattern, before an honest sale
    long = secrets.token_hex(3000)
    register.receipt(register.sale() | {"number": long})
    register.receipt(register.sale() | {"member": {"code": long}})
    register.write("signal", {"what": "w"}, key=long)
    register.write("attach", {"target": long, "member": {"code": "C"}}, key="a")
    register.receipt(register.sale())
    # When they come in one batch
    taken = await register.ingest()
    # Then each is set aside alone
    require(
        taken.codes == [*["quarantined"] * 4, "accepted"],
        "limits",
        "Of five entries a number, a member's code, a key and a target have 6,000 characters, the last is a sale; "
        f"the outcomes are {taken.codes}.",
    )


async def test_an_epoch_that_can_be_none_is_gone(register: Register) -> None:
    register.signal()
    batch = json.loads(register.batch()) | {"epoch": "e\0"}
    request = register.request("POST", "/v1/ingest", json.dumps(batch).encode())
    answer = await register.send(request.sign(register.device.id, register.device.key))
    require(answer.status == 410, "up", f"An epoch had a NUL in its name; the centre answered {answer}; 410 is due.")


async def test_a_batch_that_is_unreadable_is_that_whoever_it_is_of(register: Register) -> None:
    register.signal()
    register.signal()
    batch = json.loads(register.batch()) | {"device": "another"}
    batch["entries"].reverse()
    await unreadable(
        register,
        register.request("POST", "/v1/ingest", json.dumps(batch).encode()),
        "out of step and of another device",
    )


async def test_an_entry_as_its_digest_has_its_place(register: Register) -> None:
    # Given an entry whose body does not travel
    register.signal()
    register.signal()
    register.signal()
    await register.ingest(1, 1)
    section: Section = "an-entry-that-is-too-large"
    alone = await register.ingest(2, 2, digests=True)
    require(alone.codes == ["quarantined"], section, f"An entry came as its digest; it is {alone.codes}.")
    # Then those behind it go on, and the whole of it is known
    all_accepted(await register.ingest(3), section, "Behind a digest the next entry came")
    again = await register.ingest(2, 2)
    require(
        again.codes == ["quarantined"],
        section,
        f"An entry that had come as its digest came whole; the first outcome is due, and it is {again.codes}.",
    )
