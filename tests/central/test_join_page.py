"""The page on which people join: what a code does, who is let ask, and what nobody is told."""

from __future__ import annotations

import asyncio
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse
from msgspec.structs import replace
from sqlalchemy import Connection

from central import cards, configs, erasing, feed, operations, profiles, scopes
from central.db import tables
from central.folder import Address, DataFolder, JoinSettings
from central.join_page.asked import MAX_BODY_BYTES, MAX_JOINING
from central.scopes import ALL_STORES, DEFAULT
from loyalty.consent_texts import ConsentTexts
from loyalty.identification import normal_code
from loyalty.join_codes import made_join_code
from loyalty.made_codes import shown_code
from loyalty.wallet_codes import only_earns
from sync.guesses import MAX_MISSES
from tests.central.conftest import RunningCentre, fill_disk, serving
from tests.central.till import NOON, receipt

PHONE, EMAIL = "+381 64 123 4567", "iva@example.com"
HOST = "join.shop.example"
WRONG, OFTEN = 422, 429


class Telephone:
    """Somebody's browser, behind the house's proxy. `visitor` is their address; `texts` is what asked them."""

    texts = "join-page-2026-11-en"

    def __init__(self, centre: RunningCentre, port: int, visitor: str = "192.0.2.1") -> None:
        self.centre = centre
        self.at = f"http://127.0.0.1:{port}"
        self.headers = {"Host": HOST, "X-Forwarded-For": f"203.0.113.9, {visitor}"}

    async def ask(self, method: str, path: str, data: Any = None, **headers: str) -> tuple[ClientResponse, str]:
        async with self.centre.session.request(
            method, self.at + path, headers=self.headers | headers, data=data
        ) as answer:
            return answer, await answer.text()

    async def join(self, code: str, **fields: str) -> tuple[int, str]:
        """Fills the form in and sends it; the status, and what it then says."""
        written = {
            "code": code,
            "language": "en",
            "short_name": "",
            "phone": "",
            "email": "",
            "texts": self.texts,
        } | fields
        answer, text = await self.ask("POST", "/", written, Origin=f"https://{HOST}")
        return answer.status, text


@pytest.fixture
async def phone(data: Path) -> AsyncIterator[Telephone]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = DataFolder(data)
    join = JoinSettings(listen=Address(host="127.0.0.1", port=port), url=f"https://{HOST}/", privacy="https://s/p")
    folder.save_settings(replace(folder.settings(), join=join))
    async with serving(data) as centre:
        yield Telephone(centre, port)


def a_code(centre: RunningCentre, store: str = "12") -> str:
    """As a register of that store makes one."""
    return made_join_code(secrets.token_bytes, centre.read(cards.code_key), store)


def owner(centre: RunningCentre, code: str) -> str | None:
    found: str | None = centre.read(lambda connection: cards.owner_as_typed(connection, code))
    return found


def wallet_in(page: str) -> str:
    """The code that stands for a card, as the page shows it."""
    (found,) = re.findall(r'<p class="code">(W[2-9A-Z-]+)</p>', page)
    return str(found)


def without_wallet(page: str) -> str:
    return re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL).replace(wallet_in(page), "")


async def test_who_joins_has_the_sale_at_once_and_one_that_comes_later(phone: Telephone) -> None:
    centre = phone.centre
    till, code, later = await centre.till(), a_code(centre), a_code(centre)
    await till.sell(receipt(1, 26828, code=code))
    change = centre.read(feed.feed_position)

    status, text = await phone.join(
        shown_code(code).lower(), short_name="Iva P.", phone=PHONE, email=EMAIL, consent_sms="granted"
    )

    assert (status, "Welcome" in text) == (200, True)
    member = owner(centre, PHONE)
    assert member is not None
    wallet = wallet_in(text)
    assert {owner(centre, one) for one in (code, EMAIL, wallet)} == {member}
    assert not only_earns(normal_code(wallet), centre.read(cards.code_key))
    assert centre.points(member) == 26
    row = centre.read(lambda c: operations.show(c, member, NOON)).member
    assert (row.short_name, row.language, row.balance.confirmed) == ("Iva P.", "en", 26)
    (said,) = centre.read(lambda c: profiles.evidence(c, member))
    assert (said.channel, said.state, said.text_version) == ("sms", "granted", "join-page-2026-11-en")
    assert (said.store, said.register, said.told_at) == ("12", "", "2026-11-22T12:00:00Z")
    # registers hear of it in the feed
    changed = centre.read(lambda c: feed.changes_after(c, change, 10, NOON, scopes.WHOLE)).changes
    assert [one.member for one in changed] == [member]

    # and where the receipt comes after the person
    assert (await phone.join(later, phone="+381 64 999 9999"))[0] == 200
    await till.sell(receipt(2, code=later))
    assert centre.points(owner(centre, later) or "") == 10


async def test_the_registers_of_the_store_hold_who_joined_before_the_sale_is_paid(phone: Telephone) -> None:
    centre = phone.centre
    await centre.till()
    await centre.till("1", store="14")
    centre.write(lambda c: scopes.set_policy(c, ALL_STORES, DEFAULT, NOON))
    code = a_code(centre, "14")

    await phone.join(code, phone=PHONE)

    member = owner(centre, code)
    assert member is not None
    held = centre.read(lambda c: [scopes.held_at(c, store, member) for store in ("12", "14")])
    assert held == [False, True]


async def test_a_code_joins_one_person(phone: Telephone) -> None:
    await phone.centre.till()
    code = a_code(phone.centre)
    assert (await phone.join(code, short_name="Iva", phone=PHONE))[0] == 200

    status, text = await phone.join(code, short_name="Vuk", phone="+381 64 999 9999")

    assert (status, "This code was used before" in text) == (WRONG, True)
    assert "Iva" not in text
    assert owner(phone.centre, "+381 64 999 9999") is None


async def test_a_code_of_somebody_who_was_erased_joins_nobody(phone: Telephone) -> None:
    await phone.centre.till()
    code = a_code(phone.centre)
    await phone.join(code, phone=PHONE)
    member = owner(phone.centre, code)
    assert member is not None
    phone.centre.write(lambda c: operations.erase_member(c, member, NOON))
    assert phone.centre.read(erasing.newest) == 1

    assert (await phone.join(code, phone=PHONE))[0] == WRONG
    assert owner(phone.centre, code) is None


async def test_whoever_knows_a_members_number_changes_and_learns_nothing(phone: Telephone) -> None:
    centre = phone.centre
    await centre.till()
    first, second = a_code(centre), a_code(centre)
    _, welcomed = await phone.join(first, short_name="Iva", phone=PHONE)
    member = owner(centre, PHONE)
    assert member is not None
    before = centre.read(lambda c: operations.show(c, member, NOON)).member

    status, text = await phone.join(
        second, short_name="Vuk", phone="00381641234567", email="vuk@example.com", consent_sms="granted"
    )

    # what is shown to who was a member before can be told from nothing but the key
    first_wallet, second_wallet = wallet_in(welcomed), wallet_in(text)
    assert (status, without_wallet(text)) == (200, without_wallet(welcomed))
    assert first_wallet != second_wallet
    key = centre.read(cards.code_key)
    assert [only_earns(normal_code(one), key) for one in (first_wallet, second_wallet)] == [False, True]
    assert {owner(centre, one) for one in (second, second_wallet)} == {member}
    assert owner(centre, "vuk@example.com") is None
    after = centre.read(lambda c: operations.show(c, member, NOON))
    assert (after.member.short_name, after.consents) == (before.short_name, ())


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "Give a telephone number or an e-mail address."),
        ({"consent_email": "granted"}, "Give a telephone number or an e-mail address."),
        ({"phone": "12"}, "This is no telephone number"),
        ({"phone": "4111 1111 1111 1111"}, "This is no telephone number"),
        ({"email": "iva"}, "This is no e-mail address."),
        ({"email": EMAIL, "consent_sms": "granted"}, "For SMS we need your telephone number."),
        ({"phone": PHONE, "consent_email": "granted"}, "For e-mail we need your address."),
        ({"phone": PHONE, "short_name": "4111 1111 1111 1111"}, "This cannot be a name"),
        ({"phone": PHONE, "short_name": "x" * 81}, "This cannot be a name"),
        ({"phone": PHONE, "code": ""}, "This is no code of ours"),
    ],
)
async def test_what_is_wrong_is_said_and_what_was_written_stays(
    phone: Telephone, fields: dict[str, str], problem: str
) -> None:
    await phone.centre.till()
    before = phone.centre.count(tables.members)

    status, text = await phone.join(**{"code": a_code(phone.centre)} | fields)

    assert status == WRONG
    assert problem in text
    for name, value in fields.items():
        kept = f'name="{name}" value="granted" checked' if value == "granted" else f'value="{value}"'
        assert kept in text
    assert phone.centre.count(tables.members) == before


async def test_codes_that_are_made_up_are_refused_and_who_tries_them_is_slowed_down(phone: Telephone) -> None:
    centre = phone.centre
    await centre.till()
    made_up = made_join_code(secrets.token_bytes, "00" * 32, "12")
    elsewhere = a_code(centre, "no such store")
    for code in (made_up, elsewhere):
        status, text = await phone.join(code, phone=PHONE)
        assert (status, "This is no code of ours" in text) == (WRONG, True)

    for _ in range(MAX_MISSES - 2):
        await phone.join(made_up, phone=PHONE)
    answer, text = await phone.ask("POST", "/", {"code": made_up})

    assert (answer.status, "Too many attempts" in text, int(answer.headers["Retry-After"]) > 0) == (OFTEN, True, True)
    assert (await phone.join(a_code(centre), phone=PHONE))[0] == OFTEN
    # another visitor joins meanwhile
    assert (await Telephone(centre, int(phone.at.rpartition(":")[2]), "192.0.2.2").join(a_code(centre), phone=PHONE))[
        0
    ] == 200


async def test_what_somebody_writes_is_text_and_nothing_runs(phone: Telephone) -> None:
    _, text = await phone.join('"><script>alert(1)</script>', short_name="{{7*7}}<b>", phone=PHONE)
    assert "<script>alert" not in text
    assert "<b>" not in text
    assert "{{7*7}}&lt;b&gt;" in text

    answer, page = await phone.ask("GET", "/")
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'")
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert re.findall(r'(?:src|href|action)="((?!/)[^"]*)"', page) == ["https://s/p"]


async def test_only_the_pages_own_name_and_form_are_answered(phone: Telephone) -> None:
    await phone.centre.till()
    code = a_code(phone.centre)
    form = {"code": code, "phone": PHONE}
    asked: list[tuple[str, str, Any, dict[str, str], int]] = [
        ("GET", "/", None, {"Host": "127.0.0.1"}, 421),
        ("POST", "/", form, {"Origin": "https://elsewhere.example"}, 403),
        ("POST", "/", {"form": "x" * MAX_BODY_BYTES}, {}, 400),
        ("POST", "/", b'{"code":1}', {"Content-Type": "application/json"}, 400),
        ("POST", "/", b"phone=%FF", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        ("POST", "/", {"phone": "1" * 201}, {}, 400),
        ("POST", "/", {f"f{n}": "1" for n in range(17)}, {}, 400),
        ("GET", "/members", None, {}, 404),
        ("PUT", "/", form, {}, 405),
    ]
    for method, path, data, headers, status in asked:
        answer, text = await phone.ask(method, path, data, **headers)
        assert (answer.status, "<form" in text) == (status, False), (method, path, status)
    assert owner(phone.centre, code) is None


async def test_the_page_is_in_the_visitors_language(phone: Telephone) -> None:
    for accepted, locale in (
        ("de-AT,de;q=0.9,en;q=0.8", "de-DE"),
        ("fr, sr-Cyrl-RS;q=0.5", "sr-Cyrl-RS"),
        ("bs", "hr-HR"),
        ("en;q=0.1, sl", "sl-SI"),
        ("fr;q=x, *", "en-GB"),
        ("", "en-GB"),
    ):
        _, text = await phone.ask("GET", "/", **{"Accept-Language": accepted})
        assert f'<html lang="{locale}">' in text
    _, text = await phone.ask("GET", "/?language=sr", **{"Accept-Language": "de"})
    assert '<html lang="sr-Latn-RS">' in text


async def test_people_are_asked_by_the_chains_own_texts_where_it_has_some(phone: Telephone) -> None:
    centre = phone.centre
    await centre.till()
    own = ConsentTexts(version="2026-12", texts={"sms": {"en": "Jutro <b>may</b> write to me."}})
    key = centre.folder.program_key()
    centre.write(lambda c: configs.publish_consents(c, own, key, NOON))

    _, page = await phone.ask("GET", "/?language=en")
    assert "Jutro &lt;b&gt;may&lt;/b&gt; write to me." in page
    assert "sends me offers by e-mail" in page
    _, german = await phone.ask("GET", "/?language=de")
    assert "Jutro" not in german

    # Whoever read the texts of before is shown the new ones, and agrees to nothing by the old
    code, agreed = a_code(centre), {"consent_sms": "granted", "consent_email": "granted"}
    status, again = await phone.join(code, phone=PHONE, email=EMAIL, **agreed)
    assert (status, "worded anew" in again, "checked" in again, PHONE in again) == (WRONG, True, False, True)
    assert owner(centre, code) is None
    (asked_by,) = re.findall(r'name="texts" value="([^"]*)"', again)
    assert (await phone.join(code, phone=PHONE, email=EMAIL, texts=asked_by, **agreed))[0] == 200

    member = owner(centre, code)
    assert member is not None
    said = centre.read(lambda c: profiles.evidence(c, member))
    assert [(one.channel, one.text_version) for one in said] == [
        ("email", "join-page-2026-11-en"),
        ("sms", "2026-12-en"),
    ]
    # Whoever agrees to nothing joins by any
    assert (await phone.join(a_code(centre), phone="+381 64 999 9999", texts=""))[0] == 200


async def test_a_full_disk_is_said_and_keeps_nothing(phone: Telephone, capsys: pytest.CaptureFixture[str]) -> None:
    await phone.centre.till()
    code = a_code(phone.centre)
    phone.centre.write(lambda c: fill_disk(c, "consents"))

    status, text = await phone.join(code, phone=PHONE, email=EMAIL, consent_sms="granted")

    assert (status >= 500, "Nothing was kept" in text) == (True, True)
    assert owner(phone.centre, code) is None
    said = "".join(capsys.readouterr())
    assert not any(secret in said for secret in (code, PHONE, EMAIL, "641234567"))


async def test_registers_are_told_of_the_page(phone: Telephone) -> None:
    till = await phone.centre.till()
    assert (await till.heartbeat()).join_url == f"https://{HOST}/"
    assert phone.centre.ready.join == f"https://{HOST}/"


async def test_more_joins_at_once_than_the_database_is_for_are_asked_to_come_again(phone: Telephone) -> None:
    centre = phone.centre
    await centre.till()
    codes = [a_code(centre) for _ in range(MAX_JOINING + 1)]
    held, let_go = threading.Event(), threading.Event()

    def hold(_connection: Connection) -> None:
        held.set()
        let_go.wait()

    # Given a database that somebody else writes to
    holding = asyncio.create_task(asyncio.to_thread(centre.write, hold))
    await asyncio.to_thread(held.wait)
    # When one more comes than are carried out at a time
    joining = [asyncio.create_task(phone.join(code, phone=PHONE)) for code in codes]
    done, waiting = await asyncio.wait(joining, return_when=asyncio.FIRST_COMPLETED)
    let_go.set()
    await holding

    # Then that one is told so, and the others join
    assert [task.result()[0] for task in done] == [503]
    assert {(await task)[0] for task in waiting} == {200}
