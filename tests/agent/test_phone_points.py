"""Points by telephone at the register: when a member is shown how to ask, and which grants are taken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from agent.counter_shapes import CodeTyped, ForTurn
from agent.customer_screen import CustomerScreen
from agent.sale_shapes import SaleRefusedError
from agent.view import PictureView
from drivers.scanning.driver import ScanEvent
from drivers.scanning.scan import parse_scan
from loyalty.addresses import address_code
from loyalty.member import Balance, Identifier
from sync.enrolment import Enrolment
from sync.phone_codes import GRANT_PREFIX, MAX_HAS, Grant, Part, grant_code, whose_points
from sync.signing import public_key_text
from sync.store.reading import CODE_KEY, PHONE_URL
from sync.store.witness import witness_of
from sync.store.writing import Writing
from sync.wire import UNANSWERED, NothingGranted, Wanted
from tests.agent.shop import ANA, BORA, Shop
from tests.agent.test_counter import PROGRAM, Till, refusal
from tests.agent.test_sales import EPOCH, KEY
from tests.sync.store.spending import open_epoch

CENTRE = Ed25519PrivateKey.generate()
DEVICE, ALLOWANCE = "d0123456789abcdef", "f" * 32
# All but 100 of the points lie at other registers.
AWAY = replace(ANA, balance=Balance(confirmed=2000, spendable=100))
PHONE = "+381641234567"
CALLED = replace(
    AWAY, member="m-phone", identifiers=(Identifier(kind="phone", code=address_code("phone", PHONE, KEY) or ""),)
)


@pytest.fixture
async def till(shop: Shop) -> Till:
    """A register that no network reaches, whose centre has a page for telephones."""
    await shop.seed((AWAY, BORA, CALLED), PROGRAM)

    def told(writing: Writing) -> None:
        open_epoch(writing, EPOCH)
        writing.set_meta(CODE_KEY, KEY)
        writing.set_meta(PHONE_URL, "https://join.shop.example/p/")

    await shop.store.write(told)
    till = Till(shop)
    till.tie.enrolment = Enrolment(
        device=DEVICE,
        store="12",
        register="3",
        url="https://centre.example",
        ca_pem="",
        centre_epoch="c-1",
        program_key=public_key_text(CENTRE),
    )
    return till


def picture_of(till: Till) -> PictureView | None:
    return till.customer.phone


async def asks(till: Till, reward: str = "five", times: int = 1) -> None:
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve(reward, times=times)
    assert refusal(error) == "by_phone"


def nonce_of(till: Till) -> bytes:
    """Of the last ask."""
    kept: list[str] = msgspec.json.decode(till.shop.store.meta("phone-asks") or "[]")
    return bytes.fromhex(kept[-1])


def a_grant(till: Till, key: Ed25519PrivateKey = CENTRE, **more: Any) -> str:
    facts: dict[str, Any] = {
        "device": DEVICE,
        "epoch": EPOCH,
        "nonce": nonce_of(till),
        "whose": whose_points("m-ana", KEY),
        "parts": (Part(allowance=ALLOWANCE, points=500),),
    }
    return grant_code(Grant(**facts | more), key)


async def scanned(till: Till, text: str) -> tuple[str, str | None]:
    """What the page says of what the register's own scanner read."""
    till.seconds += 1
    await till.scans.take(ScanEvent(scan=parse_scan(f"]Q1{text}"), at=till.now(), reader="counter"))
    await till.scans.settled()
    notice = till.page.notice
    assert notice is not None
    return notice.kind, notice.reason


async def test_a_reward_whose_points_lie_elsewhere_is_asked_for_by_telephone_and_given(till: Till) -> None:
    # given rewards that are shown though not so many points are free: those that are given by allowance alone
    await till.scan("TS1001")
    assert (till.offered, till.customer.phone) == ({"five": 2, "tenth": 1, "cup": 1}, None)

    await asks(till)

    # then the customer sees the same picture as the cashier, and it stays the same one
    picture = picture_of(till)
    assert picture is not None
    assert msgspec.json.decode(till.desk.screen, type=CustomerScreen).phone == picture
    await asks(till)
    assert till.customer.phone == picture

    # and what the telephone shows then makes the reward safe, once
    grant = a_grant(till)
    assert await scanned(till, grant) == ("granted", None)
    assert picture_of(till) is None
    assert await scanned(till, grant) == ("grant_known", None)
    await till.reserve("five")
    assert till.reserved == ["five"]
    await till.sell(discount_minor=5000)
    await till.scan("TS1001")
    assert await scanned(till, grant) == ("grant_known", None)
    await asks(till)


async def test_a_scanner_that_types_into_the_page_brings_it_whatever_the_layout(till: Till) -> None:
    await till.scan("TS1001")
    await asks(till)
    grant = a_grant(till)

    # on a German keyboard, with the hyphen, the colon, Y and Z elsewhere
    german = grant.translate(str.maketrans("-:YZ", "ßÖZY"))
    assert await till.scan(german, grant) == "grant"

    assert till.page.notice is not None
    assert till.page.notice.kind == "granted"


async def test_what_is_not_for_here_changes_nothing(till: Till) -> None:
    await till.scan("TS1001")
    await asks(till)
    whole = a_grant(till)
    refused = {
        whole[:-4]: "grant_broken",
        a_grant(till, Ed25519PrivateKey.generate()): "grant_broken",
        GRANT_PREFIX: "grant_broken",
        a_grant(till, device="d-other"): "grant_foreign",
        a_grant(till, epoch="e-0"): "grant_over",
        a_grant(till, nonce=bytes(16)): "grant_over",
        a_grant(till, whose=whose_points("m-bora", KEY)): "grant_anothers",
    }

    for text, kind in refused.items():
        assert await scanned(till, text) == (kind, None)
    till.seconds += 1
    await till.scan("TS1002")
    assert await scanned(till, whole) == ("grant_anothers", None)
    await till.sell()
    assert await scanned(till, whole) == ("grant_nobody", None)

    assert till.shop.store.held_allowances() == ()
    # the ask still stands
    await till.scan("TS1001")
    assert await scanned(till, whole) == ("granted", None)


async def test_it_is_shown_to_whose_turn_it_is_until_it_is_taken_away(till: Till) -> None:
    await till.scan("TS1001")
    await asks(till)
    turn = till.turn
    await till.scan("TS1002")
    assert picture_of(till) is None
    with pytest.raises(SaleRefusedError):
        till.counter.end_by_phone(ForTurn(turn=turn))

    await till.scan("TS1001")
    await asks(till)
    till.counter.end_by_phone(ForTurn(turn=till.turn))

    assert picture_of(till) is None
    # a telephone that was quicker is heard all the same
    assert await scanned(till, a_grant(till)) == ("granted", None)


async def test_a_centre_that_is_online_and_silent_leads_to_the_telephone_one_that_refuses_does_not(till: Till) -> None:
    await till.shop.seed((replace(AWAY, balance=Balance(confirmed=2000, spendable=600)),), PROGRAM)
    await till.scan("TS1001")
    till.centre.is_online = True

    async def silent(_wanted: Wanted) -> object:
        return None

    till.centre.grants = silent
    till.centre.refuses = UNANSWERED
    await asks(till)
    till.centre.refuses = NothingGranted(detail="register 12/1 holds the rest", reason="elsewhere")
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "elsewhere"


@pytest.mark.parametrize("without", ["page", "key", "enrolment", "epoch", "witness", "network gone"])
async def test_it_is_offered_only_where_it_can_be_had(till: Till, without: str) -> None:
    def forget(writing: Writing) -> None:
        if without == "page":
            writing.set_meta(PHONE_URL, "")
        elif without == "key":
            writing._execute("DELETE FROM meta WHERE name = ?", (CODE_KEY,))
        elif without == "epoch":
            writing.doubt_spending("a copy", 1)

    await till.shop.store.write(forget)
    if without == "enrolment":
        till.tie.enrolment = None
    elif without == "network gone":
        till.tie.is_online = True
    elif without == "witness":
        witness_of(till.shop.store.path).unlink(missing_ok=True)
        witness_of(till.shop.store.path).mkdir()
        await till.shop.store.write(lambda writing: writing._count())
    await till.scan("TS1001")

    assert till.offered == {"cup": 1}  # which the 100 points that are free buy
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "not_for_basket"


async def test_what_needs_the_centres_word_or_a_card_is_not_had_by_telephone(till: Till) -> None:
    await till.scan("TS1001")
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("nine")  # `refuse`
    assert refusal(error) == "not_for_basket"
    till.seconds += 1
    await till.counter.find(CodeTyped(typed=PHONE))
    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "needs_card"
    assert till.shop.store.meta("phone-asks") is None


async def test_a_copy_that_doubts_itself_takes_no_grant(till: Till) -> None:
    await till.scan("TS1001")
    await asks(till)
    grant = a_grant(till)
    await till.shop.store.write(lambda writing: writing.doubt_spending("a copy", 1))

    assert await scanned(till, grant) == ("granted", "register_unsure")

    assert till.shop.store.held_allowances() == ()


async def test_so_many_grants_of_one_member_can_wait_to_be_told_of(till: Till) -> None:
    await till.scan("TS1001")
    for number in range(MAX_HAS + 1):
        await asks(till)
        text = a_grant(till, parts=(Part(allowance=f"{number:032x}", points=1),))
        assert await scanned(till, text) == ("granted", None)

    with pytest.raises(SaleRefusedError) as error:
        await till.reserve("five")
    assert refusal(error) == "not_enough"
