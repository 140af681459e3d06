"""Joins and edits at a till: shown here at once, on the other register by the feed, and no number is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from agent.attaching import claim_held
from agent.booking import Rules, book
from agent.inspection import NotFoundError
from agent.problem import MalformedBodyError
from agent.profiles import EditRequest, GivenCode, GivenConsent, JoinRequest, Profiles
from agent.view import Promise, member_view
from central import operations
from loyalty.member import Consent
from loyalty.pan import first_pan
from loyalty.receipt import MemberReference, Receipt
from sync.hlc import milliseconds
from sync.session import HEARTBEAT_S
from sync.store.reading import CODE_KEY
from sync.store.writing import Writing
from tests.agent.shop import BOOT, Shop, at
from tests.sync.centre import Centre, Register, receipt, register, running_centre, utc_now
from tests.sync.programs import in_force
from tests.sync.store.raw import everything_in
from tests.sync.store.samples import Clock, member, opened, upsert

PHONE, DIGITS = "+381 64 123 4567", b"641234567"
PAYMENT_CARD = "4111 1111 1111 1111"


@asynccontextmanager
async def two_registers(path: Path) -> AsyncIterator[tuple[Centre, Register, Register]]:
    """A centre with two registers that have heard of it."""
    async with AsyncExitStack() as stack:
        centre = await stack.enter_async_context(running_centre(path / "centre"))
        one, other = [
            await stack.enter_async_context(register(path / number, centre, number=number)) for number in ("3", "4")
        ]
        for till in (one, other):
            await till.until(lambda till=till: in_force(till.store) and till.store.count_members() == 5)  # type: ignore[misc]
        yield centre, one, other


def sold(number: int, code: str, till: str) -> Receipt:
    sale = receipt(number, code, 100_00, till)
    return replace(sale, member=MemberReference(code=code, kind="phone" if code == PHONE else "card", entry="typed"))


async def sell(till: Register, number: int, code: str, name: str) -> None:
    """As the agent books a posted receipt."""
    booked = partial(book, receipt=sold(number, code, name), captured=at(number), boot=BOOT, rules=Rules())
    await till.store.write(booked)


def digits_in(folder: Path) -> bool:
    """Whether a telephone number is anywhere in the store's files."""
    everything = everything_in(folder)
    assert b"TS00001" in everything
    return DIGITS in everything.replace(b" ", b"")


async def test_an_edit_is_shown_at_once_and_on_the_other_register_by_the_feed(tmp_path: Path) -> None:
    async with two_registers(tmp_path) as (_, one, other):
        told = EditRequest(
            language="sl",
            note="asks for a blue bag",
            phone=PHONE,
            consents=(GivenConsent(channel="sms", state="granted", text_version="2026-01"),),
            code=GivenCode(code="TS-777"),
        )
        async with asyncio.timeout(HEARTBEAT_S / 2):
            answer = await Profiles(one.store).edit("TS00001", told, None)
            here = one.store.member_by_code("00381641234567")
            await other.until(lambda: (found := other.store.member_by_code(PHONE)) and found.consents)
        there = other.store.member_by_code("TS777")

        assert (answer.member, answer.entries) == ("m1", 3)
        for shown in (here, there):
            assert shown is not None
            view = member_view(shown, Promise(), at(9).wall)
            assert (view.language, view.note, view.consents) == ("sl", "asks for a blue bag", {"sms": True})
            assert shown.member == "m1"
        # And once the feed has it, nothing is laid over the row any more, and no number is here
        await one.until(lambda: one.store.queued() == 0 and not one.store._rows("SELECT 1 FROM edits"))
        assert one.store.member_by_code(PHONE) == replace(there, as_of=one.store.member("m1").as_of)  # type: ignore[union-attr, type-var]
    assert not digits_in(tmp_path / "3")
    assert not digits_in(tmp_path / "4")


async def test_what_is_told_is_later_than_what_is_shown_though_another_registers_clock_is_ahead(tmp_path: Path) -> None:
    # given a member whose language and consent were told at a register whose clock is a minute ahead of this one's
    ahead = f"{milliseconds(at(10).wall):012x}0003-5e1f00a4"
    shown = replace(
        member("m1", "TS00001", 1),
        language="en",
        stamps={"language": ahead},
        consents=(Consent(channel="sms", state="granted", hlc=ahead),),
    )
    clock = Clock()
    clock.now = at(9).wall
    with closing(opened(tmp_path, clock)) as store:
        await store.write(lambda writing: writing.apply_changes([upsert(1, shown)], 1, None))

        # when both are told otherwise here, and again before the feed brings anything
        for language, state in (("sl", "withdrawn"), ("sr-Latn", "granted")):
            told = EditRequest(
                language=language,
                consents=(GivenConsent(channel="sms", state=state, text_version="2026-01"),),  # type: ignore[arg-type]
            )
            await Profiles(store).edit("TS00001", told, None)
        store.submit(lambda writing: writing.open_epoch("e-1", "device-1")).result()
        batch = store.next_batch()
        assert batch is not None
        entries = batch.entries
        bodies = [msgspec.json.decode(entry.body) for entry in entries if entry.body]

        # then each saw what was before it, and is later
        fields = [body["fields"]["language"] for body in bodies if "fields" in body]
        assert [one["seen"] for one in fields] == [ahead, fields[0]["hlc"]]
        assert ahead < fields[0]["hlc"] < fields[1]["hlc"]
        stamps = [entry.hlc for entry in entries if entry.kind == "consent"]
        assert [body["seen"] for body in bodies if "state" in body] == [ahead, stamps[0]]
        assert ahead < stamps[0] < stamps[1]


async def test_who_joins_offline_earns_at_once_and_keeps_it_when_they_are_linked(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "3", centre) as till:
            await till.until(lambda: in_force(till.store) and till.store.code_key())
        # Given a register without its network
        async with register(tmp_path / "3", centre, exchanging=False) as till:
            joined = await Profiles(till.store).join(JoinRequest(short_name="Iva", phone=PHONE), None)
            await sell(till, 1, PHONE, "3")
            member = till.store.member_by_code(PHONE)
            assert member is not None
            assert (member.member, member.short_name, member.balance.pending) == (joined.member, "Iva", 100)
        # When it has it again
        async with register(tmp_path / "3", centre) as till:
            await till.until(lambda: till.confirmed(PHONE) == 100)

            assert sum(centre.counted(joined.member).values()) == 100
            assert till.store.member_by_code(PHONE).member == joined.member  # type: ignore[union-attr]
    assert not digits_in(tmp_path / "3")


async def test_what_was_held_for_a_card_is_its_members_at_once_and_once(tmp_path: Path) -> None:
    def claim(writing: Writing, entry: str, codes: Sequence[str]) -> Callable[[], None]:
        claim_held(writing, entry, codes, rules=Rules())
        return lambda: None

    async with running_centre(tmp_path / "centre") as centre:
        # given a register that has sold to a new card, of which the centre knows already
        async with register(tmp_path / "3", centre) as till:
            await till.until(lambda: in_force(till.store) and till.store.code_key())
            await sell(till, 1, "TS900", "3")
            await till.until(lambda: till.store.queued() == 0)
        # when somebody joins with it without a network
        async with register(tmp_path / "3", centre, exchanging=False) as till:
            await sell(till, 2, "TS900", "3")
            joined = await Profiles(till.store, claim).join(JoinRequest(code=GivenCode(code="TS900")), None)
            member = till.store.member_by_code("TS900")
            assert member is not None
            assert (member.member, member.balance.pending) == (joined.member, 200)
        # then the centre counts them with it, and nothing is counted twice
        async with register(tmp_path / "3", centre) as till:
            await till.until(lambda: till.confirmed("TS900") == 200)
            await till.until(lambda: till.store.queued() == 0)
            member = till.store.member_by_code("TS900")
            assert member is not None
            assert (member.balance.pending, sum(centre.counted(joined.member).values())) == (0, 200)


async def test_who_was_known_by_phone_is_one_member_on_every_register(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        async with register(tmp_path / "3", centre) as till:
            await till.until(lambda: in_force(till.store) and till.store.code_key())
        async with register(tmp_path / "3", centre, exchanging=False) as till:
            joined = await Profiles(till.store).join(
                JoinRequest(short_name="Iva", phone=PHONE, code=GivenCode(code="TS900")), None
            )
            await sell(till, 1, "TS900", "3")
        async with register(tmp_path / "4", centre, number="4") as other:
            await other.until(lambda: other.store.count_members() == 5 and other.store.code_key())
            await Profiles(other.store).edit("TS00002", EditRequest(phone=PHONE), None)
            await other.until(lambda: other.store.queued() == 0)

            async with register(tmp_path / "3", centre) as till:
                await till.until(lambda: till.confirmed("TS900") == 100)
                await other.until(lambda: other.confirmed("TS900") == 100)

                # Both mean her as who she was, and the id that the register made means her, too
                for each in (till, other):
                    member = each.store.member_by_code(PHONE)
                    assert member is not None
                    assert (member.member, member.aliases) == ("m2", (joined.member,))
                assert till.store.member(joined.member) is None
                assert till.store._rows("SELECT member FROM receipts") == [("m2",)]
                assert sum(centre.counted("m2").values()) == 100


async def test_two_members_whom_an_operator_merges_are_one_here(tmp_path: Path) -> None:
    async with two_registers(tmp_path) as (centre, one, other):
        await sell(one, 1, "TS00001", "3")
        await sell(other, 2, "TS00002", "4")
        await one.until(lambda: one.confirmed("TS00001") == 100)
        await other.until(lambda: other.confirmed("TS00002") == 100)

        centre.write(lambda c: operations.merge_members(c, "m1", "m2", "same person", utc_now()))
        for till in (one, other):
            await till.until(lambda till=till: till.confirmed("TS00001") == 200)  # type: ignore[misc]
            assert till.store.member_by_code("TS00001") == till.store.member_by_code("TS00002")
            assert till.store.member("m1") is None
            assert till.store.count_members() == 4


async def test_a_call_counts_once_under_its_key_and_another_body_is_refused(tmp_path: Path) -> None:
    async with two_registers(tmp_path) as (_, one, _other):
        profiles = Profiles(one.store)
        asked = JoinRequest(short_name="Iva", phone=PHONE)

        first, again = await profiles.join(asked, "k1"), await profiles.join(asked, "k1")
        with pytest.raises(MalformedBodyError, match="another body"):
            await profiles.join(JoinRequest(short_name="Ema", phone=PHONE), "k1")
        # Under another key they are known already, and what is told is told of who they are
        known = await profiles.join(JoinRequest(short_name="Ema", phone=PHONE), "k2")

        assert first == again
        assert known.member == first.member
        assert one.store.member_by_code(PHONE).short_name == "Ema"  # type: ignore[union-attr]


async def test_a_call_is_known_again_after_the_centre_was_first_heard_of(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        # Given a join before the first word of the centre
        profiles, asked = Profiles(shop.store), JoinRequest(short_name="Iva", phone=PHONE)
        first = await profiles.join(asked, "k1")

        # When the centre gives its key, and the POS asks again
        await shop.store.write(lambda writing: writing.set_meta(CODE_KEY, "ab" * 32))

        assert await profiles.join(asked, "k1") == first
        assert shop.store.queued() == 1
    finally:
        shop.close()


def consent(text_version: str) -> GivenConsent:
    return GivenConsent(channel="sms", state="granted", text_version=text_version)


def by_mail(text_version: str) -> GivenConsent:
    return GivenConsent(channel="email", state="granted", text_version=text_version)


async def test_who_refuses_a_channel_needs_no_address_for_it(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        no = GivenConsent(channel="sms", state="withdrawn", text_version="2026-01")
        await Profiles(shop.store).join(JoinRequest(code=GivenCode(code="TS9"), consents=(no,)), None)
        assert shop.store.queued() == 1
    finally:
        shop.close()


@pytest.mark.parametrize("told", [{"note": PAYMENT_CARD}, {"code": GivenCode(code="TS9", of=PAYMENT_CARD)}])
async def test_no_edit_brings_a_payment_card(tmp_path: Path, told: dict[str, Any]) -> None:
    shop = Shop(tmp_path)
    try:
        await Profiles(shop.store).join(JoinRequest(code=GivenCode(code="TS1")), None)
        with pytest.raises(MalformedBodyError, match="payment card"):
            await Profiles(shop.store).edit("TS1", EditRequest(**told), None)
        assert shop.store.queued() == 1
    finally:
        shop.close()


async def test_a_telephone_number_with_its_country_is_no_payment_card(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    try:
        # Given a German mobile number whose digits pass for a card of 13 digits
        german = "+49 1511 2345678"
        assert first_pan(german) is not None

        await Profiles(shop.store).join(JoinRequest(phone=german), None)

        assert shop.store.queued() == 1
    finally:
        shop.close()


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (JoinRequest(short_name="Iva"), "nothing else finds"),
        (JoinRequest(phone="12"), "no telephone number"),
        (JoinRequest(email="iva"), "no e-mail address"),
        (JoinRequest(code=GivenCode(code="<b>")), "characters"),
        (JoinRequest(code=GivenCode(code="4111 1111 1111 1111")), "payment card"),
        (JoinRequest(code=GivenCode(code=PHONE, kind="phone")), "goes into `phone`"),
        (JoinRequest(code=GivenCode(code="TS9", of="- -")), "`of` has characters"),
        (JoinRequest(code=GivenCode(code="TS9", of=PAYMENT_CARD)), "`of` is a payment card"),
        (JoinRequest(phone="378282246310005"), "phone is a payment card"),
        (JoinRequest(phone=PHONE, short_name=PAYMENT_CARD), "in `short_name`"),
        (JoinRequest(phone=PHONE, note=f"pays with {PAYMENT_CARD}"), "in `note`"),
        (JoinRequest(phone=PHONE, address=f"Main Street 1\n{PAYMENT_CARD}"), "in `address`"),
        (JoinRequest(phone=PHONE, email="4111111111111111@example.com"), "in `email`"),
        (JoinRequest(phone=PHONE, operator=PAYMENT_CARD), "in `operator`"),
        (JoinRequest(phone=PHONE, consents=(consent(PAYMENT_CARD),)), "in `text_version`"),
        (JoinRequest(code=GivenCode(code="TS9"), consents=(consent("2026-01"),)), "'sms' needs the `phone`"),
        (JoinRequest(phone=PHONE, consents=(by_mail("2026-01"),)), "'email' needs the `email`"),
    ],
)
async def test_what_could_not_be_found_again_or_may_not_be_kept_is_refused(
    tmp_path: Path, request_: JoinRequest, why: str
) -> None:
    shop = Shop(tmp_path)
    try:
        with pytest.raises(MalformedBodyError, match=why):
            await Profiles(shop.store).join(request_, None)
        with pytest.raises(NotFoundError):
            await Profiles(shop.store).edit("nobody", EditRequest(note="x"), None)
        assert shop.store.queued() == 0
    finally:
        shop.close()
