"""The admin pages: who gets in, what they show, and that nothing in them runs."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import zxingcpp
from aiohttp import ClientResponse
from msgspec.structs import replace
from PIL import Image, ImageDraw

from central import devices, item_maps, limits, operations, programs, review
from central.clock import utc_now
from central.db import tables
from central.devices import MAX_REASONS
from central.journal import Journal, Revoked
from loyalty.item_map import ItemMap
from loyalty.item_matching import ItemMatcher
from loyalty.limits import Limits
from loyalty.program import program_hash
from loyalty.receipt import Line
from sync.enrolment import code_text, parse_code
from sync.records import CorrectBody, ReceiptBody, RedeemBody
from sync.wire import HeldProgram
from tests.central.conftest import PROGRAM, RunningCentre, refuse_rows
from tests.central.till import NOON, Till, claims_of, receipt

PAGES = ("/", "/fleet", "/members", "/members/m1", "/cards", "/allowances", "/held", "/quarantine", "/variances")


class Browser:
    """A person's browser on the centre's machine."""

    def __init__(self, centre: RunningCentre) -> None:
        self.centre = centre
        self.at = centre.ready.admin
        self.cookie = ""

    async def ask(self, method: str, path: str, headers: dict[str, str] | None = None, data: Any = None) -> Any:
        sent = {"Cookie": f"tillside_admin={self.cookie}"} | (headers or {})
        async with self.centre.session.request(
            method, self.at + path, headers=sent, data=data, allow_redirects=False
        ) as answer:
            await answer.read()
            return answer

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        answer: ClientResponse = await self.ask("GET", path, headers)
        return answer.status, await answer.text()

    async def post(self, path: str, fields: dict[str, str], **headers: str) -> ClientResponse:
        answer: ClientResponse = await self.ask("POST", path, {"Origin": self.at} | headers, fields)
        return answer

    async def open(self, link: str) -> ClientResponse:
        answer: ClientResponse = await self.ask("GET", link.removeprefix(self.at))
        if "tillside_admin" in answer.cookies:
            self.cookie = answer.cookies["tillside_admin"].value
        return answer

    async def token(self, path: str) -> str:
        _, text = await self.get(path)
        found = re.search(r'name="token" value="([0-9a-f]+)"', text)
        assert found
        return found[1]


@pytest.fixture
async def browser(centre: RunningCentre) -> Browser:
    """A browser that opened the link `serve` printed."""
    browser = Browser(centre)
    assert (await browser.open(centre.ready.open)).status == 303
    return browser


async def test_a_link_opens_once_and_its_cookie_is_for_this_site_only(centre: RunningCentre) -> None:
    browser = Browser(centre)
    answer = await browser.open(centre.ready.open)
    assert answer.status == 303
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    again = await browser.open(centre.ready.open)
    assert again.status == 403
    assert "tillside-central open" in await again.text()


async def test_a_link_ends(centre: RunningCentre) -> None:
    centre.clock.now = NOON + operations.ADMIN_LINK_LIFE
    assert (await Browser(centre).open(centre.ready.open)).status == 403


async def test_a_session_ends(browser: Browser) -> None:
    assert (await browser.get("/"))[0] == 200
    browser.centre.clock.now = NOON + timedelta(hours=12)
    assert (await browser.get("/"))[0] == 403


@pytest.mark.parametrize("path", PAGES)
async def test_without_a_session_there_is_nothing(centre: RunningCentre, path: str) -> None:
    browser = Browser(centre)
    for cookie in ("", "x", "1.2.3", "99999999999.00." + "0" * 64, "é"):
        browser.cookie = cookie
        status, text = await browser.get(path)
        assert status == 403
        assert "Ana" not in text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1"},
        {"Host": "127.0.0.1:1"},
        {"Host": "localhost.evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
    ids=str,
)
async def test_a_foreign_host_or_origin_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    # Given a form that would be taken from the right place
    till = await browser.centre.till()
    fields = {"token": await browser.token("/fleet"), "device": till.device}
    # When a page of another site, or a name bound to this address, asks
    for path in (*PAGES, "/style.css"):
        assert (await browser.ask("GET", path, headers)).status == 403
    assert (await browser.post("/registers/revoke", fields, **headers)).status == 403
    # Then it gets nothing and changes nothing
    assert browser.centre.read(devices.revoked_devices) == frozenset()


async def test_a_form_needs_origin_session_and_token(browser: Browser) -> None:
    # Given a register that could be revoked
    centre = browser.centre
    till = await centre.till()
    token = await browser.token("/fleet")
    fields = {"token": token, "device": till.device}
    # When a form comes without one of them, or with another session's
    other = Browser(centre)
    link = centre.write(
        lambda connection: operations.admin_link(
            connection, centre.folder.serving()["admin"], NOON, lambda length: b"x" * length
        )
    )
    await other.open(link.open)
    refused = [
        await browser.ask("POST", "/registers/revoke", {}, fields),
        await browser.post("/registers/revoke", {"device": till.device}),
        await browser.post("/registers/revoke", fields | {"token": "0" * 64}),
        await browser.post("/registers/revoke", fields | {"token": await other.token("/fleet")}),
        await browser.post("/registers/revoke", fields, **{"Content-Type": "text/plain"}),
        await Browser(centre).post("/registers/revoke", fields),
    ]
    # Then it is refused without effect
    assert [answer.status for answer in refused] == [403] * len(refused)
    assert centre.read(devices.revoked_devices) == frozenset()
    # And the honest one works, for a register that there is
    assert (await browser.post("/registers/revoke", fields | {"device": "d0"})).status == 409
    assert (await browser.post("/registers/revoke", fields)).status == 303
    assert [fact.device for fact in Journal(centre.folder.journal).facts() if isinstance(fact, Revoked)] == [
        till.device
    ]
    assert centre.read(devices.revoked_devices) == {till.device}


async def test_every_answer_forbids_what_a_page_does_not_need(browser: Browser) -> None:
    for path in (*PAGES, "/style.css", "/nowhere"):
        answer = await browser.ask("GET", path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert ("script-src" in policy) == (path == "/fleet")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        text = await answer.text()
        assert ("<script" in text) == (path == "/fleet")
        assert "style=" not in text
        assert not re.search(r'(src|href)="(?!/)', text)


async def test_the_pages_show_what_happened(browser: Browser) -> None:
    # Given a register with sales of a known and an unknown card, a wrong claim, and something unreadable
    centre = browser.centre
    till = await centre.till()
    sold = receipt(1, 100_00, code="TS0002")
    till.sale(sold, member="m2", claims=claims_of(sold, _program(centre)))
    till.sale(receipt(2, 70_00, code="TS-999"))
    till.entry("levitate", "k", b'{"<script>":"alert(1)"}')
    await till.send(1)
    await till.heartbeat(queued=7)
    # Then each page says so
    _, registers = await browser.get("/fleet")
    assert "12 / 3" in registers
    assert "online" in registers
    assert ">7" in registers
    _, member = await browser.get("/members/m2")
    assert "floor(10000 × 1 × 3/2 (gold) ÷ 1000) = 15" in member
    assert "100.00 RSD" in member
    _, cards = await browser.get("/cards")
    assert "TS999" in cards
    _, aside = await browser.get("/quarantine")
    assert "levitate" in aside
    assert "&lt;script&gt;" in aside
    _, variances = await browser.get("/variances")
    assert "claimed 10, given 15" in variances
    # And a name with markup in it is only text
    assert "Vuk &lt;b&gt;" in member
    # And after a while the register is offline
    centre.clock.now = NOON + timedelta(minutes=12)
    _, registers = await browser.get("/fleet")
    assert "offline" in registers
    assert "12 min ago" in registers


async def test_an_unknown_card_is_linked_from_its_page(browser: Browser) -> None:
    centre = browser.centre
    till = await centre.till()
    await till.sell(receipt(1, 70_00, code="TS999"))
    fields = {"token": await browser.token("/cards"), "code": "TS999", "member": "ts-0001"}
    answer = await browser.post("/cards/link", fields)
    assert (answer.status, answer.headers["Location"]) == (303, "/members/m1")
    assert centre.points("m1") == 7
    # And what cannot be linked says why
    answer = await browser.post("/cards/link", fields | {"member": "nobody"})
    assert answer.status == 409
    answer = await browser.post("/cards/link", fields | {"member": "m2"})
    assert "already names another member" in await answer.text()


async def test_a_card_is_found_blocked_and_unblocked(browser: Browser) -> None:
    # Given a member's card with two numbers, one of stock, and a receipt for each
    centre = browser.centre
    stock = b"TS0001,900 1\nTS-101\n"
    centre.write(lambda connection: operations.import_stock(connection, stock, NOON))
    till = await centre.till()
    await till.sell(receipt(1, 70_00, code="TS101"))
    # When it is blocked by its printed number, for a reason with markup in it
    fields = {"token": await browser.token("/members/m1"), "code": "9001", "reason": "<b>lost</b>"}
    answer = await browser.post("/cards/block", fields)
    assert (answer.status, answer.headers["Location"]) == (303, "/cards?q=9001")
    await till.sell(receipt(2, 80_00, code="TS0001"))
    # Then pages say so
    for path in ("/members/m1", "/cards", "/cards?q=ts-0001"):
        _, text = await browser.get(path)
        assert ">TS0001<" in text, path
        assert ">9001<" in text, path
        assert "blocked 2026-11-22 13:00:00: &lt;b&gt;lost&lt;/b&gt;" in text, path
        assert "receipts kept: 1" in text, path
    _, unknown = await browser.get("/cards")
    assert 'class="badge unissued"' in unknown
    assert "No card has this number." in (await browser.get("/cards?q=nobody"))[1]
    assert '<div class="tile"><b>1</b><span>unknown cards</span>' in (await browser.get("/"))[1]
    # And unblocking books what was held
    answer = await browser.post("/cards/unblock", fields)
    assert answer.status == 303
    assert centre.points("m1") == 8
    # And a number that nobody has is refused
    answer = await browser.post("/cards/block", fields | {"code": "NOBODY"})
    assert answer.status == 409
    assert "no card has this number" in await answer.text()


@pytest.mark.parametrize(
    ("text", "found"),
    [("", {"m1", "m2", "m3"}), ("ana", {"m1"}), ("ts 0002", {"m2"}), ("m3", {"m3"}), ("%", set()), ("'--", set())],
)
async def test_members_are_searched(browser: Browser, text: str, found: set[str]) -> None:
    _, page = await browser.get(f"/members?q={quote(text)}")
    assert set(re.findall(r'href="/members/(\w+)"', page)) == found


async def test_a_page_that_is_not_there(browser: Browser) -> None:
    assert (await browser.get("/nowhere"))[0] == 404
    assert (await browser.get("/members/nobody"))[0] == 404


async def test_a_page_that_fails_says_so_and_names_nobody(browser: Browser, capsys: pytest.CaptureFixture[str]) -> None:
    # Given a database that refuses what a form writes, for a reason that no code here expects
    await browser.centre.till()
    browser.centre.write(lambda connection: refuse_rows(connection, "identifiers"))
    # When a card is linked
    fields = {"token": await browser.token("/fleet"), "code": "TS-PRIVATE", "member": "m1"}
    answer = await browser.post("/cards/link", fields)
    # Then the person sees that it failed, with the headers of every page, and neither page nor log has the code
    text = await answer.text()
    assert answer.status == 500
    assert "IntegrityError" in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    logged = "".join(capsys.readouterr())
    assert "page_failed" in logged
    assert "PRIVATE" not in text + logged


def _program(centre: RunningCentre) -> Any:
    return centre.read(lambda connection: programs.program_in_force(connection, NOON)).program


async def test_what_is_set_aside_stands_with_its_receipt_and_what_to_do(browser: Browser) -> None:
    till = await browser.centre.till()
    await till.sell(
        receipt(1, 100_00), receipt(1, 900_00, lines=(Line(position=1, description="<b>", amount_minor=900_00),))
    )
    _, page = await browser.get("/quarantine")
    for part in ("identity", "900.00 RSD", "&lt;b&gt;", "number 1", "Compare the two", "Re-evaluate all of them"):
        assert part in page


async def test_what_came_too_early_is_applied_once_when_it_can_be(browser: Browser) -> None:
    # Given a correction that came before its receipt, which does not add up
    centre = browser.centre
    till = await centre.till()
    wrong = receipt(1, 100_00, code="TS0001", lines=(Line(position=1, amount_minor=70_00),))
    body = CorrectBody(target=wrong.key, reading=ReceiptBody(receipt=receipt(1, 100_00, code="TS0001")))
    till.entry("correct", wrong.key, msgspec.json.encode(body))
    await till.send(1)
    token = {"token": await browser.token("/quarantine")}
    await till.sell(wrong)
    _, page = await browser.get("/quarantine")
    assert "total_mismatch" in page
    assert centre.points("m1") == 0
    # When a person has all applied again
    assert (await browser.post("/quarantine/again", token)).status == 200
    # Then it counts, once however often that is asked, and nothing waits
    assert centre.points("m1") == 10
    await browser.post("/quarantine/again", token)
    assert centre.points("m1") == 10
    _, page = await browser.get("/quarantine")
    assert "total_mismatch" not in page
    assert "Re-evaluate all" not in page


async def test_what_still_has_no_effect_waits_until_somebody_says_why_not(browser: Browser) -> None:
    till = await browser.centre.till()
    till.entry("levitate", "k", b"{}")
    await till.send(1)
    token = {"token": await browser.token("/quarantine")}
    answer = await browser.post("/quarantine/again", token)
    assert "1 still wait" in await answer.text()

    assert (await browser.post("/quarantine/dismiss", token | {"item": "1"})).status == 409
    assert (await browser.post("/quarantine/dismiss", token | {"item": "1", "note": "a test"})).status == 303
    assert (await browser.post("/quarantine/dismiss", token | {"item": "1", "note": "a test"})).status == 409

    assert browser.centre.count(tables.quarantine) == 1
    _, page = await browser.get("/quarantine")
    assert "levitate" not in page


async def test_the_quarantine_is_changed_by_its_own_forms_only(browser: Browser) -> None:
    for path in ("/quarantine/again", "/quarantine/dismiss"):
        assert (await browser.post(path, {"token": "f" * 64, "item": "1", "note": "x"})).status == 403


async def test_the_page_says_why_registers_set_things_aside(browser: Browser) -> None:
    till = await browser.centre.till()
    many = {f"<reason>{number}": 1 for number in range(100)}
    await till.heartbeat(reasons={"unknown_layout": 12, "torn": 3} | many)

    _, page = await browser.get("/quarantine")

    assert "unknown_layout: 12" in page
    assert "torn: 3" in page
    assert "choose its template, format or code page" in page
    assert "&lt;reason&gt;0: 1" in page
    assert page.count("&lt;reason&gt;") == MAX_REASONS - 2
    # And once a person has dealt with them, the next heartbeat says so
    await till.heartbeat()
    _, page = await browser.get("/quarantine")
    assert "unknown_layout" not in page


async def test_the_front_page_says_which_register_has_which_program(browser: Browser) -> None:
    # Given a program that begins later, one register that has both, one that refused the one in force, and one silent
    centre = browser.centre
    richer = replace(PROGRAM, program="richer <b>")
    begins = NOON + timedelta(hours=2)
    key = centre.folder.program_key()
    later = centre.write(lambda c: operations.publish(c, richer, key, NOON, begins))
    now = program_hash(PROGRAM)
    tills = [await centre.till(number) for number in "123"]
    await tills[0].heartbeat(programs=(HeldProgram(program=now), HeldProgram(program=later)))
    await tills[1].heartbeat(programs=(HeldProgram(program=now, refused="<i>unknown</i> key: update the register"),))
    # When the page is looked at
    page = "".join([(await browser.get(path))[1] for path in ("/", "/fleet")])
    rows = re.sub(r"\s+", " ", page)
    # Then each version says from when and where it is
    assert f'richer &lt;b&gt;<br><small class="soft code">{later[:12]}</small>' in rows
    assert "2026-11-22 15:00:00" in rows
    assert rows.count("1 of 3") == 2
    # And each register what it goes by
    assert rows.count("not the one in force") == rows.count("not told yet") == 1
    assert f"refused program {now[:12]}: &lt;i&gt;unknown&lt;/i&gt; key: update the register" in rows
    # And when the time has come, who is behind
    centre.clock.now = begins
    _, page = await browser.get("/fleet")
    assert page.count("not the one in force") == 1
    assert f'<small class="code">{later[:12]}</small>' in page


async def test_an_item_map_that_cannot_be_read_is_told_on_the_pages(browser: Browser) -> None:
    centre = browser.centre
    matcher = ItemMatcher(ItemMap(items=()))
    centre.write(lambda c: item_maps.publish(c, matcher, centre.folder.program_key(), NOON))
    assert "cannot be read" not in (await browser.get("/"))[1]

    centre.write(lambda c: c.execute(tables.item_maps.update().values(answer=b"")))
    item_maps._ready.clear()

    for path in ("/", "/goods"):
        status, page = await browser.get(path)
        assert status == 200
        assert f"{matcher.hash[:12]}…, cannot be read" in page
        assert "Publish the map&#39;s file again" in page


async def test_the_fleet_says_which_register_refused_the_templates(browser: Browser) -> None:
    centre = browser.centre
    till = await centre.till()
    why = "receipt <4711> in the capture captures/paper/monday.txt reads operator otherwise; " + "x" * 10_000
    await till.heartbeat(templates_refused=why)

    _, page = await browser.get("/fleet")
    assert "templates refused: receipt &lt;4711&gt; in the capture" in page
    (refusal,) = centre.read(operations.template_refusals)
    assert (refusal.store, refusal.register, len(refusal.why)) == ("12", "3", devices.MAX_REFUSAL_CHARS)

    # and no more, once they are in force there, or the register is out of service
    await till.heartbeat()
    assert "templates refused" not in (await browser.get("/fleet"))[1]
    await till.heartbeat(templates_refused=why)
    centre.write(lambda c: devices.revoke(c, till.device, NOON))
    assert centre.read(operations.template_refusals) == ()


async def test_a_reward_with_which_something_is_wrong_is_shown(centre: RunningCentre, browser: Browser) -> None:
    till = await centre.till()
    body = RedeemBody(member="m1", reward="coffee", times=1, points=100, discount_minor=0, at=utc_now())
    till.entry("redeem", "r" * 32, msgspec.json.encode(body))
    await till.send(1)

    _, text = await browser.get("/held")

    assert "coffee" in text
    assert "beyond_balance" in text


async def test_a_held_receipt_is_shown_and_counts_by_a_form(centre: RunningCentre, browser: Browser) -> None:
    # Given a cashier's second sale with one card, where one counts
    centre.write(lambda connection: limits.set_limits(connection, Limits(cashier=1), "one is enough", NOON))
    till = await centre.till()
    await till.sell(*(receipt(number, code="TS0001", operator="Savka") for number in (1, 2)))
    status, text = await browser.get("/held")
    assert status == 200
    assert "sale 2 for one member by one cashier within 24 hours, where 1 count without a look" in text
    [key] = re.findall(r'name="key" value="([^"]+)"', text)
    assert "receipts to look at" in (await browser.get("/"))[1]
    # When somebody says that it is right
    before, token = centre.points("m1"), await browser.token("/held")
    answer = await browser.post("/held/accept", {"token": token, "key": key})
    # Then it counts, once
    assert (answer.status, answer.headers["Location"]) == (303, "/held")
    assert centre.points("m1") > before
    again = await browser.post("/held/accept", {"token": token, "key": key})
    assert (again.status, "is held" in await again.text()) == (409, True)


async def test_the_manager_of_a_store_sees_what_was_flagged_and_held_there(
    centre: RunningCentre, browser: Browser
) -> None:
    # given two stores, in each of which a sale is one too many and a reward beyond the balance
    centre.write(lambda connection: limits.set_limits(connection, Limits(cashier=1), "one is enough", NOON))
    for store, cashier, number in (("12", "Savka", 1), ("13", "Mira", 11)):
        till = await centre.till(register="3", store=store)
        await till.sell(
            *(receipt(at, code="TS0001", operator=cashier, store=store) for at in (number, number + 1)),
        )
        body = RedeemBody(member="m1", reward=f"coffee-{cashier}", times=1, points=100, discount_minor=0, at=utc_now())
        till.entry("redeem", cashier.ljust(32, "r"), msgspec.json.encode(body))
        await till.send(3)
    # when the manager of one looks
    _, text = await browser.get("/held?store=12")
    # then that store is there alone
    assert ("Savka" in text, "coffee-Savka" in text, "Mira" in text) == (True, True, False)
    [key] = re.findall(r'name="key" value="([^"]+)"', text)
    assert [one.key for one in centre.read(lambda connection: review.held(connection, "12")).receipts] == [key]
    # and stays there once something was said to be right
    fields = {"token": await browser.token("/held?store=12"), "key": key, "store": "12"}
    answer = await browser.post("/held/accept", fields)
    assert answer.headers["Location"] == "/held?store=12"
    # who looks at all has both
    _, text = await browser.get("/held")
    assert ("Savka" in text, "Mira" in text) == (True, True)


async def test_a_register_is_let_in_by_a_picture(browser: Browser) -> None:
    fields = {"store": "12", "register": "7", "token": await browser.token("/enrolment")}

    answer = await browser.post("/enrolment", fields)

    page = await answer.text()
    assert answer.status == 200
    assert "tillside-enrol" not in page
    code = parse_code(read_code(page))
    till = await Till.enrolled(code.url, code_text(code), browser.centre.session)
    device = browser.centre.read(lambda connection: devices.find_device(connection, till.device))
    assert (device.store, device.register) == ("12", "7")


async def test_a_code_says_who_is_there_and_with_the_tick_who_is_shut_out(browser: Browser) -> None:
    # Given a register at the place
    there = await browser.centre.till("7")
    fields = {"store": "12", "register": "7", "token": await browser.token("/enrolment")}

    plain = await (await browser.post("/enrolment", fields)).text()
    replacing = await (await browser.post("/enrolment", fields | {"replace": "yes"})).text()
    nobody = await browser.post("/enrolment", fields | {"register": "8", "replace": "yes"})

    assert f"This register is {there.device}. Only that machine" in plain
    assert f"Once it is used, {there.device} is refused" in replacing
    assert nobody.status == 409
    await Till.enrolled(browser.centre.ready.device_api, read_code(replacing), browser.centre.session)
    assert browser.centre.read(lambda connection: devices.find_device(connection, there.device)).revoked


@pytest.mark.parametrize("missing", ["store", "register"])
async def test_no_code_is_made_for_nowhere(browser: Browser, missing: str) -> None:
    fields = {"store": "12", "register": "7", "token": await browser.token("/enrolment")} | {missing: " "}

    assert (await browser.post("/enrolment", fields)).status == 409


def read_code(page: str) -> str:
    """The QR code of a page as a scanner reads it: each dark run of the path is a module high."""
    size = int(re.search(r'viewBox="-4 -4 (\d+) ', page)[1])  # type: ignore[index]
    picture = Image.new("L", (size, size), 255)
    draw = ImageDraw.Draw(picture)
    for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1", page):
        draw.line([(int(x) + 4, int(y) + 4), (int(x) + 3 + int(length), int(y) + 4)], fill=0)
    large = picture.resize((4 * size, 4 * size), Image.Resampling.NEAREST)
    (found,) = (one for one in zxingcpp.read_barcodes(large) if one.format == zxingcpp.BarcodeFormat.QRCode)
    return str(found.text)
