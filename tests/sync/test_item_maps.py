"""An item map is used only if it is whole, by this register's centre, and readable; fetched once, kept, and no more."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import Connection, insert

from central import item_maps
from central.db import tables
from loyalty.item_map import MAX_DOCUMENT_BYTES, ItemEntry, ItemMap, item_map_hash, item_map_json
from loyalty.item_matching import MAX_ALIKE, ItemMatcher
from sync import base64url
from sync.errors import CentreRefusedError
from sync.item_maps import ItemMapUnusableError, keep_item_map, kept_item_map, verified_item_map
from sync.keys import keeper_for
from sync.session import REFUSED_RETRY_S
from sync.signing import public_key_text
from sync.steps import FetchItemMap, FetchProgram, PullChanges, SendHeartbeat, Wait
from sync.store.store import Store
from sync.store.writing import Writing
from sync.wire import MAX_BODY_BYTES, HeartbeatResponse, SignedItemMap, compress_always
from tests.sync.centre import QUICK_HEARTBEAT_S, Centre, Register, register, running_centre, utc_now
from tests.sync.test_session import HASH, READY, Talk, changes, heartbeat

KEY, OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
CENTRE = public_key_text(KEY)
BAGS = ItemMap(items=(ItemEntry(name=("*kesa*",), kind="fee"),))
BOTTLES = ItemMap(items=(ItemEntry(name=("*boca*",), kind="deposit"),))


def signed(document: bytes = item_map_json(BAGS), key: Ed25519PrivateKey = KEY) -> SignedItemMap:
    signature = base64url.encoded(key.sign(document))
    return SignedItemMap(hash=item_map_hash(document), item_map=document.decode(), signature=signature)


ALIKE = item_map_json(
    ItemMap(items=tuple(ItemEntry(sku=("1",), name=(f"x {n}",), kind="fee") for n in range(MAX_ALIKE + 1)))
)


def test_what_the_centre_signed_is_used() -> None:
    assert verified_item_map(signed(), signed().hash, CENTRE).hash == signed().hash


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (signed(key=OTHER_KEY), "not signed by the centre"),
        (replace(signed(), signature=""), "not signed by the centre"),
        (replace(signed(), item_map=signed().item_map.replace("kesa", "bes")), "not signed by the centre"),
        (signed(item_map_json(BOTTLES)), "publish it again"),
        (signed(b'{"items":[],"later":1}'), "later.*update the register"),
        (signed(b'{"items":[{"sku":["1"],"kind":"fee","later":1}]}'), "later.*update the register"),
        (signed(b'{"items":[{"sku":["1"],"kind":"coupon"}]}'), "update the register"),
        (signed(ALIKE), "update the register"),
        (signed(b"{"), "update the register"),
        # Other documents that the same key signs
        (signed(b'{"identification":[]}'), "update the register"),
        (signed(b'{"currency":"RSD","earn":[],"program":"p"}'), "update the register"),
    ],
)
def test_anything_else_is_not(wrong: SignedItemMap, words: str) -> None:
    wanted = signed().hash if words == "publish it again" else wrong.hash
    with pytest.raises(ItemMapUnusableError, match=words):
        verified_item_map(wrong, wanted, CENTRE)


def test_the_largest_map_fits_into_an_answer() -> None:
    # Of its one form each byte is at most two in the text of another document
    assert 2 * MAX_DOCUMENT_BYTES + 1024 < MAX_BODY_BYTES


async def test_the_kept_one_comes_back_and_only_for_its_own_centre(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store.db", keeper_for(tmp_path))
    assert kept_item_map(store, CENTRE) is None

    await store.write(lambda writing: keep_item_map(writing, signed()))

    kept = kept_item_map(store, CENTRE)
    assert kept is not None
    assert kept.hash == signed().hash
    assert kept_item_map(store, public_key_text(OTHER_KEY)) is None
    for spoilt in ("", "{}", "null"):
        await store.write(partial(Writing.set_meta, name="item_map", value=spoilt))
        assert kept_item_map(store, CENTRE) is None
    store.close()


# -- when it is fetched


def beat(item_map: str | None = HASH, program: str | None = None) -> HeartbeatResponse:
    return replace(heartbeat(program=program), item_map=item_map or UNSET)


def answer(hash_: str = HASH) -> SignedItemMap:
    return SignedItemMap(hash=hash_, item_map="{}", signature="")


def test_a_map_that_is_not_in_force_is_fetched_before_receipts_go_up() -> None:
    talk = Talk()
    talk.answer(beat(program=HASH))

    assert talk.take(FetchItemMap).hash == HASH
    assert talk.answer(answer())
    talk.hold(item_map=HASH)
    talk.take(FetchProgram)


def test_the_one_in_force_is_not_fetched_again_and_none_is_not_asked_for() -> None:
    held = Talk(replace(READY, item_map=HASH))
    held.answer(beat())
    held.take(PullChanges)

    none = Talk()
    none.answer(beat(None))
    none.take(PullChanges)


def test_one_that_cannot_be_used_is_shown_and_holds_up_nothing() -> None:
    talk = Talk()
    talk.answer(beat(program=HASH))
    talk.fail(CentreRefusedError(404, "gone"))
    [problem] = talk.session.problems
    assert (problem.code, isinstance(talk.next(), FetchProgram)) == ("item_map_unusable", True)

    # when it cannot be read either
    talk = Talk()
    talk.answer(beat())
    talk.answer(answer())
    talk.session.item_map_unusable("update the register", talk.now, 1.0)
    talk.answer(changes(10))

    # then it is asked for seldom
    assert isinstance(talk.next(), Wait)
    assert [problem.detail for problem in talk.session.problems] == ["update the register"]
    talk.now += REFUSED_RETRY_S
    talk.take(SendHeartbeat)
    talk.answer(beat())
    talk.take(FetchItemMap)
    # and one that can be used ends it
    talk.answer(answer())
    assert talk.session.problems == ()


# -- from a real centre


def publish(centre: Centre, item_map: ItemMap) -> str:
    return str(
        centre.write(lambda c: item_maps.publish(c, ItemMatcher(item_map), centre.folder.program_key(), utc_now()))
    )


def publish_document(centre: Centre, document: bytes) -> None:
    """What a centre of a later version might have in force, signed by its real key."""

    made = compress_always(msgspec.json.encode(signed(document, centre.folder.program_key())))

    def work(connection: Connection) -> None:
        hashed = item_map_hash(document)
        connection.execute(insert(tables.item_maps).values(hash=hashed, answer=made))
        connection.execute(insert(tables.item_map_publications).values(item_map=hashed, published_at=utc_now()))

    centre.write(work)


def hashes(till: Register) -> list[str]:
    return [matcher.hash for matcher in till.item_maps]


async def test_maps_come_with_the_next_heartbeat_and_stay_without_a_network(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        first = publish(centre, BAGS)
        async with register(tmp_path / "till", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till:
            await till.until(lambda: hashes(till) == [first])

            second = publish(centre, BOTTLES)
            await till.until(lambda: hashes(till) == [first, second])
            assert till.loop.state.problems == ()

        # when it starts again and reaches nobody
        async with register(tmp_path / "till", centre, exchanging=False) as till:
            assert till.kept_item_map == second

        # nor is what it has fetched again
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.store.feed().as_of and till.loop.state.online)
            assert till.item_maps == []


async def test_a_map_that_cannot_be_read_leaves_the_old_one_and_is_told(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        first = publish(centre, BAGS)
        async with register(tmp_path / "till", centre, heartbeat_s=QUICK_HEARTBEAT_S) as till:
            await till.until(lambda: till.item_maps)

            publish_document(centre, b'{"items":[{"sku":["1"],"kind":"fee","weight":3}]}')
            await till.until(lambda: till.loop.state.problems)

            [problem] = till.loop.state.problems
            assert (problem.code, till.loop.state.online) == ("item_map_unusable", True)
            assert "weight" in problem.detail
            assert "update the register" in problem.detail
            assert (hashes(till), till.kept_item_map) == ([first], first)


async def test_a_large_map_comes_whole(tmp_path: Path) -> None:
    large = ItemMap(items=tuple(ItemEntry(sku=(f"{n:08}",), category=f"c{n}") for n in range(5_000)))
    async with running_centre(tmp_path / "centre") as centre:
        hashed = publish(centre, large)
        async with register(tmp_path / "till", centre) as till:
            await till.until(lambda: till.item_maps)

            assert hashes(till) == [hashed]
            travelled = centre.database.read_now(lambda c: item_maps.answer_of(c, hashed))
            assert travelled is not None
            assert len(travelled) < len(item_map_json(large)) / 5
