"""The local API over real HTTP: who gets in, what is answered, and what the document says."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import structlog
from aiohttp import web
from openapi_spec_validator import validate

from agent.access import Access, Role
from agent.api import LocalApi
from agent.booking import checkout_of
from agent.checkout import MemberScan
from agent.counter import SCANS_AT_ONCE, Counter
from agent.desk import Desk
from agent.inspection import (
    EntryReport,
    ExportedItem,
    ExportReport,
    FoundMembers,
    QueueReport,
    StatusReport,
)
from agent.invitations import Invitations
from agent.joining import Joining
from agent.listening import runner_of
from agent.openapi import Route
from agent.pace import ACTS_AT_ONCE, ACTS_PER_S, LOOKS_AT_ONCE, LOOKS_PER_S
from agent.page_routes import FOLDER
from agent.phone_points import PhonePoints
from agent.profiles import Profiles
from agent.sales import Sales
from agent.scans import ScanIntake
from agent.store_inspection import COUNTED_FOR_S, MAX_EXPORTED_BYTES, Live, StoreInspection
from agent.supervisor import Clocks, Supervisor, Worker
from agent.tokens import page_tokens
from agent.view import BadgeView, PlaceView
from agent.watching import MAX_LISTENERS, MAX_PAGES
from drivers.scanning.scan import parse_scan
from loyalty.member import Member
from sync.guesses import MAX_MISSES, REGAINED_EVERY_S, Guesses
from sync.keys import keeper_for
from sync.loop import LookedUp
from sync.store.errors import StoreUnavailableError
from sync.store.reading import MAX_LISTED
from sync.store.rows import DiskFull
from sync.store.store import Store
from sync.store.writing import Writing
from tests.agent.shop import BOOT, Alone, Shop, Tie, at, never, receipt
from tests.browser.till import free_port

TOKEN = "control-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DISMISSED = {"resolved_as": "dismissed", "note": "a kitchen note"}
# What stands in the paths of routes.
PLACES = {"file": "cashier.js", "code": "TS1001", "number": "1", "id": "1", "name": "counter", "redemption": "1"}
# Whatever takes longer never comes; the test that waits for it then says so.
WAIT_S = 20.0


async def _never(_seconds: float) -> None:
    await asyncio.Event().wait()


async def _nobody(_code: str) -> LookedUp:
    return LookedUp()


class LentScanner:
    """A scanner's worker that says whether its port is open."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.worker = Worker(name="counter", kind="scanner", run=self._run)

    async def _run(self, ready: Callable[[], None]) -> None:
        self.opened.set()
        ready()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # a port takes a moment to close
            self.opened.clear()


class Served:
    """A local API that runs, and what it did."""

    def __init__(
        self,
        shop: Shop,
        inspection: Callable[[Callable[[], Live]], StoreInspection] | None = None,
        *,
        pos_token: Callable[[], str | None] = lambda: None,
        origins: Sequence[str] = (),
        role_of: Callable[[str, str], Role | None] = lambda _origin, _token: None,
        body_within_s: float = WAIT_S,
    ) -> None:
        self.port = free_port()
        self.monotonic_s = 0.0
        numbers = count(1)
        self.pages = page_tokens(shop.folder / "state")
        self.access = Access(
            host="127.0.0.1",
            port=self.port,
            control_token=TOKEN,
            monotonic_s=lambda: 0.0,
            token=lambda: f"token-{next(numbers)}",
            own_role_of=self.pages.role_of,
            admit=lambda origin, role: self.pages.make(origin, role, at(0).wall)[1],
            pos_token=pos_token,
            origins=origins,
            role_of=role_of,
        )
        place = PlaceView(store="12", register="3")
        self.desk = Desk(
            language="en",
            place=place,
            clock=lambda: at(10),
            find_member=shop.store.member_by_code,
            checkout=checkout_of(shop.store, BOOT),
            schedule=never,
        )
        self.enrolments = 0
        badge = BadgeView(enrolled=False, online=False, since=None, queued=0)
        live = Live(running=True, place=place, badge=badge, page=f"{self.access.origin}/")
        asked = inspection(lambda: live) if inspection is not None else StoreInspection(shop.store, lambda: live)
        self.scanner = LentScanner()
        clocks = Clocks(monotonic_s=lambda: 0.0, now=lambda: at(10).wall, sleep=_never, chance=lambda: 0.0)
        self.supervisor = Supervisor([self.scanner.worker], clocks, lambda: None)
        self.guessing_s = 0.0
        self.guesses = Guesses(lambda: self.guessing_s)
        self.sales = Sales(
            shop.store,
            shop.rules,
            Alone(),
            parse=parse_scan,
            identification=tuple,
            now=lambda: at(10),
            sleep=_never,
            guesses=self.guesses,
        )
        self.api = LocalApi(
            self.access,
            self.desk,
            asked,
            self.supervisor,
            self._enrolled,
            profiles=Profiles(shop.store),
            guesses=self.guesses,
            sales=self.sales,
            body_within_s=body_within_s,
            counter=Counter(
                shop.store,
                self.desk,
                ScanIntake(store=shop.store, desk=self.desk, lookup=_nobody, guesses=lambda: True),
                shop.rules,
                Alone(),
                parse=parse_scan,
                now=lambda: at(10),
                monotonic_s=lambda: 0.0,
                guesses=self.guesses,
                invitations=Invitations(shop.store, lambda: "12"),
                phone=PhonePoints(shop.store, Tie()),
            ),
            joining=Joining(shop.store, self.desk, Profiles(shop.store), self.guesses),
            monotonic_s=lambda: self.monotonic_s,
        )
        self.url = self.access.origin

    def badge(self, *, online: bool) -> BadgeView:
        return BadgeView(enrolled=True, online=online, since=None, queued=0)

    def _enrolled(self) -> None:
        self.enrolments += 1

    def cookie(self) -> dict[str, str]:
        return {"Cookie": f"{self.access.cookie_name}={self.access.admit('cashier')}"}

    def customer_cookie(self) -> dict[str, str]:
        return {"Cookie": f"{self.access.display_cookie_name}={self.access.admit('customer')}"}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[aiohttp.ClientSession]:
        runner = runner_of(self.api.application(), stop_within_s=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            timeout = aiohttp.ClientTimeout(total=WAIT_S)
            async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout) as session:
                yield session
        finally:
            await runner.cleanup()


async def test_the_page_is_paired_once_and_then_known_by_its_cookie(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        async with http.post(f"{served.url}/v1/pairings", headers=BEARER) as answer:
            assert answer.status == 201
            pairing = await answer.json()

        async with http.get(pairing["url"], allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
        async with http.get(pairing["url"], allow_redirects=False) as answer:
            assert answer.status == 403

        async with http.get(f"{served.url}/", headers={"Cookie": cookie.partition(";")[0]}) as answer:
            assert answer.status == 200
            assert "cashier.js" in await answer.text()


async def test_the_files_of_the_page_come_compressed_to_who_reads_that(shop: Shop) -> None:
    served = Served(shop)
    asset = f"{served.url}/page/cashier.js"
    whole = (FOLDER / "cashier.js").read_bytes()
    async with served.running() as http:
        async with http.get(asset, headers=served.cookie() | {"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert int(answer.headers["Content-Length"]) < len(whole) / 2
            assert await answer.read() == whole
        async with http.get(asset, headers=served.cookie() | {"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            assert await answer.read() == whole


async def test_a_sale_is_opened_without_a_body_and_not_with_a_wrong_one(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for told, status in ((None, 201), ([None], 422), ({"basket": {"kind": "nothing"}}, 422), ({}, 201)):
            async with http.post(f"{served.url}/v1/sales", json=told, headers=BEARER) as answer:
                assert answer.status == status, told


async def test_a_body_that_trickles_in_is_not_waited_for(shop: Shop) -> None:
    served = Served(shop, body_within_s=0.1)
    async with served.running(), asyncio.timeout(WAIT_S):
        reading, writing = await asyncio.open_connection("127.0.0.1", served.port)
        head = (
            f"POST /v1/sales HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
        )
        writing.write(head.encode())

        async def trickle() -> None:
            while True:
                writing.write(b" ")
                await asyncio.sleep(0.02)

        trickling = asyncio.create_task(trickle())
        with closing(writing):
            answer = await reading.readuntil(b"}")
            trickling.cancel()

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"Connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"] == (
        "The body was not whole within 0.1 s: send it in one go."
    )


async def test_every_answer_forbids_foreign_code_frames_and_copies(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for path, headers in (("/", served.cookie()), ("/", {}), ("/openapi.json", {}), ("/nowhere", BEARER)):
            async with http.get(f"{served.url}{path}", headers=headers) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                assert "frame-ancestors 'none'" in policy
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cache-Control"] == "no-store"


def foreign(served: Served) -> list[dict[str, str]]:
    """Headers of requests that come from elsewhere or from nobody we know; each must be refused."""
    cookie = served.cookie()
    own = {"Host": f"127.0.0.1:{served.port}"}
    return [
        {},
        own,
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic Y29udHJvbC10b2tlbjo="},
        {"Cookie": f"{served.access.cookie_name}=made-up.0"},
        {**cookie, "Authorization": "Bearer wrong"},
        {**BEARER, "Host": "attacker.example"},
        {**BEARER, "Host": f"localhost:{served.port}"},
        {**BEARER, "Host": "127.0.0.1"},
        {**BEARER, "Origin": "https://attacker.example"},
        {**BEARER, "Origin": "null"},
        {**cookie, "Origin": f"http://127.0.0.1:{served.port + 1}"},
        {**cookie, "Host": f"rebound.example:{served.port}"},
        {**cookie, "Sec-Fetch-Site": "same-site"},
        {**cookie, "Sec-Fetch-Site": "cross-site"},
        {**served.customer_cookie(), "Sec-Fetch-Site": "same-site"},
    ]


async def test_strangers_get_403_everywhere_and_change_nothing(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    async with served.running() as http:
        routes = [route for route in served.api.routes if not route.open]
        for headers in foreign(served):
            for route in routes:
                path = route.path.format(
                    file="cashier.js", code="TS1001", number="1", id="1", name="counter", redemption="1", key="k"
                )
                async with http.request(route.method, f"{served.url}{path}", headers=headers) as answer:
                    assert answer.status == 403, (route.path, headers)
                    assert b"Ana" not in await answer.read()

    assert served.enrolments == 0
    assert [worker.condition for worker in served.supervisor.health] == ["starting"]
    assert served.access.redeem("token-100") is None


async def test_only_who_is_known_keeps_a_connection_that_others_need(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {**served.cookie(), "Sec-Fetch-Site": "same-site"}):
            for path in ("/openapi.json", "/v1/ping", "/nowhere"):
                async with http.get(f"{served.url}{path}", headers=headers) as answer:
                    assert answer.status in (200, 403)
        assert len(served.api.known) == 0
        async with http.get(f"{served.url}/v1/ping", headers=served.cookie()) as answer:
            assert answer.status == 204
            assert len(served.api.known) == 1


async def test_a_token_of_an_earlier_start_is_refused_with_where_the_new_one_is(shop: Shop) -> None:
    served = Served(shop)
    async with (
        served.running() as http,
        http.get(f"{served.url}/v1/status", headers={"Authorization": "Bearer of-yesterday"}) as answer,
    ):
        assert answer.status == 403
        assert "control.json" in (await answer.json(content_type=None))["detail"]


async def test_our_own_page_and_what_a_person_opened_may_say_so(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for site in ("same-origin", "none"):
            async with http.get(f"{served.url}/v1/ping", headers={**served.cookie(), "Sec-Fetch-Site": site}) as answer:
                assert answer.status == 204


async def test_open_routes_still_need_our_own_host_and_origin(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        code = served.access.open_pairing().code
        for headers in ({"Host": "attacker.example"}, {"Origin": "https://attacker.example"}):
            for path in ("/openapi.json", f"/pair?code={code}"):
                async with http.get(f"{served.url}{path}", headers=headers, allow_redirects=False) as answer:
                    assert answer.status == 403
        assert served.access.redeem(code) is not None


async def test_the_page_may_look_and_not_command(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    async with served.running() as http:
        for route in served.api.routes:
            if route.path in ("/v1/page", "/v1/display", "/pair"):
                continue
            path = route.path.format(
                file="cashier.js", code="TS1001", number="1", id="1", name="counter", redemption="1", key="k"
            )
            async with http.request(route.method, f"{served.url}{path}", headers=served.cookie()) as answer:
                assert (answer.status != 403) == (route.page or route.open), route.path
            async with http.request(route.method, f"{served.url}{path}", headers=served.customer_cookie()) as answer:
                assert (answer.status != 403) == (route.display or route.open), route.path


async def test_the_customer_view_is_paired_for_itself_and_told_of_the_customer_alone(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    async with served.running() as http:
        async with http.post(f"{served.url}/v1/pairings?view=customer", headers=BEARER) as answer:
            url = (await answer.json())["url"]
        async with http.get(url, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "/customer")
            name, value = answer.headers["Set-Cookie"].split(";")[0].split("=", 1)
        cookie = {"Cookie": f"{name}={value}"}
        async with http.get(f"{served.url}/customer", headers=cookie) as answer:
            assert (answer.status, "customer.js" in await answer.text()) == (200, True)
        async with http.ws_connect(f"{served.url}/v1/display", headers=cookie) as socket:
            assert (await socket.receive_json())["standing"] is None
            served.desk.scanned(MemberScan(id=1, code="TS1001", at=at(9)))
            told = await socket.receive_json()
    assert (told["type"], told["member"]["name"]) == ("screen", "Ana P.")
    assert "1001" not in str(told)


@pytest.mark.parametrize(
    "given",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/xml", "", None],
)
async def test_a_body_that_does_not_say_it_is_json_is_refused_unread(shop: Shop, given: str | None) -> None:
    served = Served(shop)
    await shop.seed()
    body = b'{"texts":["TS1001"]}'
    async with served.running() as http:
        headers = {**served.cookie(), **({"Content-Type": given} if given is not None else {})}
        url = f"{served.url}/v1/scans"
        async with http.post(url, headers=headers, data=body, skip_auto_headers=["Content-Type"]) as answer:
            told = await answer.json(content_type="application/problem+json")
            assert (answer.status, "application/json" in told["detail"]) == (415, True)
        assert served.desk.serving() is None
        json_too = {**served.cookie(), "Content-Type": "Application/JSON; charset=utf-8"}
        async with http.post(url, headers=json_too, data=body) as answer:
            assert answer.status == 200
        assert served.desk.serving() is not None


@pytest.mark.parametrize(
    "given",
    [
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Encoding": "gzip"},
        {"Content-Encoding": "foo"},
    ],
)
async def test_a_body_that_is_packed_or_in_other_letters_is_refused_unread(shop: Shop, given: dict[str, str]) -> None:
    # given bytes that are no gzip either
    served = Served(shop)
    await shop.seed()
    asked = {**served.cookie(), "Content-Type": "application/json", **given}
    async with served.running() as http:
        async with http.post(f"{served.url}/v1/scans", headers=asked, data=b'{"texts":["TS1001"]}') as answer:
            assert answer.status == 415
            assert "Send" in (await answer.json(content_type="application/problem+json"))["detail"]
        assert served.desk.serving() is None


async def test_an_expectation_that_nobody_knows_is_refused_in_our_words(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for path in ("/v1/ping", "/nowhere"):
            async with http.get(f"{served.url}{path}", headers={**BEARER, "Expect": "x"}) as answer:
                told = await answer.json(content_type="application/problem+json")
                assert (answer.status, told["status"]) == (417, 417)
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        # one that is known is met
        async with http.post(f"{served.url}/v1/sales", headers=BEARER, json={}, expect100=True) as answer:
            assert answer.status == 201


async def test_what_cannot_be_asked_so_is_answered_with_what_can(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        async with http.delete(f"{served.url}/v1/queue", headers=BEARER) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET")
        async with http.get(f"{served.url}/v1/members", headers=BEARER) as answer:
            assert (answer.status, "starts" in (await answer.json())["detail"]) == (422, True)


async def test_a_page_that_scans_without_end_is_slowed(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    async with served.running() as http:
        statuses = []
        for _ in range(SCANS_AT_ONCE + 1):
            body = {"texts": ["TS1001"]}
            async with http.post(f"{served.url}/v1/scans", headers=served.cookie(), json=body) as answer:
                statuses.append(answer.status)

    assert statuses == [200] * SCANS_AT_ONCE + [429]


async def test_a_token_that_acts_without_end_is_slowed_and_no_other(shop: Shop) -> None:
    served = Served(shop, pos_token=lambda: "pos-token")
    page, other = served.cookie(), served.cookie()
    async with served.running() as http:

        async def removed(headers: dict[str, str], times: int = 1) -> list[int]:
            async def once() -> int:
                async with http.delete(f"{served.url}/v1/customer", json={"turn": None}, headers=headers) as answer:
                    if answer.status == 429:
                        assert answer.headers["Retry-After"] == "1"
                    return answer.status

            return sorted([await once() for _ in range(times)])

        assert await removed(page, ACTS_AT_ONCE + 5) == [204] * ACTS_AT_ONCE + [429] * 5
        assert (await removed(other), await removed(BEARER)) == ([204], [204])
        pos = {"Authorization": "Bearer pos-token"}
        async with http.post(f"{served.url}/v1/sales", headers=pos) as answer:
            assert answer.status == 201
        # it may look
        async with http.get(f"{served.url}/v1/status", headers=page) as answer:
            assert answer.status == 200
        served.monotonic_s += 1.0
        assert await removed(page, int(ACTS_PER_S) + 1) == [204] * int(ACTS_PER_S) + [429]


async def test_a_token_that_looks_without_end_is_slowed_and_no_other(shop: Shop) -> None:
    served = Served(shop, pos_token=lambda: "pos-token")
    pos = {"Authorization": "Bearer pos-token"}
    async with served.running() as http:

        async def looked(headers: dict[str, str], times: int = 1) -> list[int]:
            statuses = []
            for _ in range(times):
                async with http.get(f"{served.url}/v1/sales/s-x", headers=headers) as answer:
                    statuses.append(answer.status)
            return sorted(statuses)

        assert await looked(pos, LOOKS_AT_ONCE + 5) == [404] * LOOKS_AT_ONCE + [429] * 5
        assert (await looked(BEARER), await looked(served.cookie())) == ([404], [404])
        # it may act
        async with http.post(f"{served.url}/v1/sales", headers=pos) as answer:
            assert answer.status == 201
        served.monotonic_s += 1.0
        assert await looked(pos, int(LOOKS_PER_S) + 1) == [404] * int(LOOKS_PER_S) + [429]


async def test_a_customer_view_that_looks_without_end_slows_no_other(shop: Shop) -> None:
    served = Served(shop)
    one, other = served.customer_cookie(), served.customer_cookie()
    async with served.running() as http:

        async def pinged(headers: dict[str, str]) -> int:
            async with http.get(f"{served.url}/v1/ping", headers=headers) as answer:
                return answer.status

        assert [await pinged(one) for _ in range(LOOKS_AT_ONCE + 1)][-2:] == [204, 429]
        assert await pinged(other) == 204


@pytest.mark.parametrize(
    "twice",
    [
        ("Host: {host}", "Host: {host}"),
        ("Host: {host}", "Host: attacker.example"),
        ("Origin: http://{host}", "Origin: http://{host}"),
        ("Origin: http://{host}", "Origin: https://attacker.example"),
        ("Authorization: Bearer control-token", "Authorization: Bearer control-token"),
        ("Authorization: Bearer control-token", "Authorization: Bearer another"),
        ("Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
    ],
)
async def test_a_header_that_would_let_one_be_checked_and_another_be_meant_is_refused(
    shop: Shop, twice: tuple[str, str]
) -> None:
    served = Served(shop)
    own = f"127.0.0.1:{served.port}"
    once = {"Host": f"Host: {own}", "Authorization": f"Authorization: Bearer {TOKEN}"}

    async def asked(lines: Sequence[str]) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write("\r\n".join(("POST /v1/enrolment HTTP/1.1", *lines, "Connection: close", "", "")).encode())
        answer = await reader.read()
        writer.close()
        return answer

    async with served.running():
        sent = [line.format(host=own) for line in twice]
        once.pop(twice[0].partition(":")[0], None)
        refused = await asked([*sent, *once.values()])
        if sent[0].startswith("Host"):
            assert refused.split()[1] in (b"400", b"403")  # aiohttp refuses a second one before it asks us
        else:
            assert refused.startswith(b"HTTP/1.1 403 ")
            assert b"Send each header once." in refused
        assert served.enrolments == 0
        # and one of each goes through
        assert (await asked([sent[0], *once.values()])).startswith(b"HTTP/1.1 204 ")


async def test_a_foreign_websocket_is_refused(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for headers in foreign(served):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(f"{served.url}/v1/page", headers=headers)
            assert refused.value.status == 403


async def test_events_tell_the_state_at_once_and_after_every_change(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    async with served.running() as http:
        headers = {**served.cookie(), "Origin": served.url}
        async with http.ws_connect(f"{served.url}/v1/page", headers=headers) as socket:
            first = await socket.receive_json(timeout=5)
            assert (first["type"], first["customer"]) == ("state", None)

            served.desk.scanned(MemberScan(id=1, code="TS1001", at=at(9)), checking=False)

            second = await socket.receive_json(timeout=5)
            assert second["customer"]["member"]["name"] == "Ana P."


@pytest.mark.parametrize(
    ("watched", "most", "other"), [("/v1/page", MAX_PAGES, "/v1/events"), ("/v1/events", MAX_LISTENERS, "/v1/display")]
)
async def test_open_sockets_are_bounded_and_take_nobody_elses_place(
    shop: Shop, watched: str, most: int, other: str
) -> None:
    served = Served(shop)
    async with served.running() as http:
        sockets = [await http.ws_connect(f"{served.url}{watched}", headers=BEARER) for _ in range(most)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{served.url}{watched}", headers=BEARER)
        assert refused.value.status == 503
        sockets.append(await http.ws_connect(f"{served.url}{other}", headers=BEARER))
        for socket in sockets:
            await socket.close()


async def test_questions_are_answered_in_the_documented_shapes(shop: Shop) -> None:
    served = Served(shop)
    await shop.seed()
    await shop.scan("TS1001", 5)
    shop.print(receipt(1), 30)
    shop.print(b"\x1b@MYSTERY\n\x1dV\x00", 40)
    await shop.take_all()
    async with served.running() as http:

        async def ask(path: str, kind: Any) -> Any:
            async with http.get(f"{served.url}{path}", headers=BEARER) as answer:
                assert answer.status == 200, path
                return msgspec.json.decode(await answer.read(), type=kind)

        status = await ask("/v1/status", StatusReport)
        assert (status.verdict, status.queued, status.quarantined, status.members) == ("not_enrolled", 1, 1, 2)
        assert status.keys == "files, mode 0600"
        queue = await ask("/v1/queue", QueueReport)
        assert [entry.kind for entry in queue.entries] == ["receipt"]
        assert [item.reason for item in queue.quarantined] == ["unknown_layout"]
        entry = await ask("/v1/queue/1", EntryReport)
        assert entry.kind == "receipt"
        export = await ask("/v1/quarantine", ExportReport)
        assert len(export.items) == 1
        found = await ask("/v1/members?starts=ts10", FoundMembers)
        assert {member.member for member in found.members} == {"m-ana", "m-bora"}
        member = await ask("/v1/members/ts%201001", Member)
        assert member.balance.pending == 40


@pytest.mark.parametrize(
    "path",
    ["/v1/members/NOBODY", "/v1/queue/99", "/v1/queue/x", "/v1/quarantine?after=x", "/page/../api.py", "/nowhere"],
)
async def test_what_is_not_there_is_a_problem_document(shop: Shop, path: str) -> None:
    served = Served(shop)
    async with served.running() as http, http.get(f"{served.url}{path}", headers=BEARER) as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
        assert (await answer.json())["detail"]


async def test_who_guesses_codes_is_slowed_down(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for number in range(MAX_MISSES):
            async with http.get(f"{served.url}/v1/members/GUESS{number}", headers=BEARER) as answer:
                assert answer.status == 404
        async with http.get(f"{served.url}/v1/members/TS1001", headers=BEARER) as answer:
            assert (answer.status, int(answer.headers["Retry-After"])) == (429, REGAINED_EVERY_S)
            assert "Scans and sales go on" in (await answer.json())["detail"]


async def test_calls_about_members_and_the_page_count_together(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:

        async def told(path: str, body: object) -> int:
            async with http.post(f"{served.url}{path}", json=body, headers=BEARER) as answer:
                return answer.status

        statuses = await asyncio.gather(
            *(told(f"/v1/members/GUESS{number}", {"note": "n"}) for number in range(MAX_MISSES + 5))
        )
        assert sorted(statuses) == [404] * MAX_MISSES + [429] * 5
        assert await told("/v1/members/TS1001", {"note": "n"}) == 429
        assert await told("/v1/customer", {"typed": "TS1001"}) == 429


async def test_who_tells_of_members_is_not_slowed(shop: Shop) -> None:
    await shop.seed()
    served = Served(shop)
    async with served.running() as http:
        for note in ({"note": "n"}, {"phone": "none"}) * MAX_MISSES:
            async with http.post(f"{served.url}/v1/members/TS1001", json=note, headers=BEARER) as answer:
                assert answer.status in (200, 422)


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (StoreUnavailableError("the disk is full; free some space"), 503, "the disk is full; free some space"),
        (ValueError("about TS1001"), 500, "Something went wrong here; the agent's log names it."),
    ],
)
async def test_what_fails_here_is_a_problem_document_without_details(
    shop: Shop, error: Exception, status: int, detail: str
) -> None:
    class Failing(StoreInspection):
        def status_with(self, members: int) -> StatusReport:
            raise error

    served = Served(shop, lambda live: Failing(shop.store, live))
    with structlog.testing.capture_logs() as logged:
        async with served.running() as http, http.get(f"{served.url}/v1/status", headers=BEARER) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            assert (await answer.json())["detail"] == detail
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert "TS1001" not in str(logged)
    assert [line["error"] for line in logged] == (["ValueError"] if status == 500 else [])


@pytest.mark.parametrize("header", [b"Authorization: Bearer \xff", b"Cookie: tillside-%d=\xff.\xfe"])
async def test_headers_that_are_no_text_are_a_strangers(shop: Shop, header: bytes) -> None:
    served = Served(shop)
    line = header % served.port if b"%d" in header else header
    async with served.running():
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        host = f"127.0.0.1:{served.port}".encode()
        writer.write(b"GET /v1/status HTTP/1.1\r\nHost: " + host + b"\r\n" + line + b"\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()

    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_an_entry_that_was_not_refused_cannot_be_retried(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http, http.post(f"{served.url}/v1/queue/1/retry", headers=BEARER) as answer:
        assert answer.status == 404
        assert "not quarantined" in (await answer.json())["detail"]


async def test_members_are_counted_off_the_event_loop_and_once_in_a_while(shop: Shop) -> None:
    # given
    class Counting(Store):
        counted_in: list[int] = []  # noqa: RUF012

        def count_members_apart(self) -> int:
            self.counted_in.append(threading.get_ident())
            return super().count_members_apart()

        def count_members(self) -> int:
            raise AssertionError("this reads every row")

    shop.store.close()
    state = shop.folder / "state"
    shop.store = store = Counting.open(state / "store.db", keeper_for(state))
    assert isinstance(store, Counting)
    clock = [0.0]
    served = Served(shop, lambda live: StoreInspection(store, live, lambda: clock[0]))

    # when it is asked twice at once, and once later
    async with served.running() as http:
        for now in (0.0, 1.0, COUNTED_FOR_S):
            clock[0] = now
            async with http.get(f"{served.url}/v1/status", headers=BEARER) as answer:
                assert answer.status == 200
        async with http.get(f"{served.url}/v1/ping", headers=served.cookie()) as answer:
            assert answer.status == 204

    # then
    assert len(store.counted_in) == 2
    assert threading.get_ident() not in store.counted_in


def test_a_full_disk_is_what_is_wrong_with_a_register_that_is_well_otherwise(shop: Shop) -> None:
    class Full(Store):
        @property
        def disk_full(self) -> DiskFull:
            return DiskFull(refuses_sales=True, said="the disk is full: free some space")

    shop.store.close()
    state = shop.folder / "state"
    shop.store = store = Full.open(state / "store.db", keeper_for(state))
    badge = BadgeView(enrolled=True, online=True, since=None, queued=0)
    live = Live(running=True, place=PlaceView(store="12", register="3"), badge=badge, page="")

    status = StoreInspection(store, lambda: live).status()

    assert (status.verdict, status.reasons) == ("degraded", ("the disk is full: free some space",))


async def test_what_a_person_dealt_with_is_out_of_quarantine_once(shop: Shop) -> None:
    served = Served(shop)
    shop.print(b"\x1b@MYSTERY\n\x1dV\x00", 40)
    await shop.take_all()
    async with served.running() as http:
        for status in (204, 404):
            async with http.post(f"{served.url}/v1/quarantine/1/resolve", json=DISMISSED, headers=BEARER) as answer:
                assert answer.status == status
        async with http.get(f"{served.url}/v1/status", headers=BEARER) as answer:
            assert (await answer.json())["quarantined"] == 0


async def test_the_quarantine_comes_in_pages_of_bounded_size(shop: Shop) -> None:
    # given more items than are listed at once, then some that are large, and one that is more than a page
    large = MAX_EXPORTED_BYTES // 2
    sizes = [1] * (MAX_LISTED + 1) + [large, large, large, MAX_EXPORTED_BYTES + 1, 1]

    def fill(writing: Writing) -> None:
        for size in sizes:
            writing.quarantine("printer", "unknown_layout", "", b"x" * size)

    await shop.store.write(fill)
    served = Served(shop)
    seen: list[ExportedItem] = []
    pages = 0
    async with served.running() as http:
        after: int | None = 0
        while after is not None:
            async with http.get(f"{served.url}/v1/quarantine?after={after}", headers=BEARER) as answer:
                page = msgspec.json.decode(await answer.read(), type=ExportReport)
            raw = [len(b64decode(item.raw_base64)) for item in page.items]
            assert sum(raw) <= MAX_EXPORTED_BYTES or len(raw) == 1
            seen += page.items
            after = page.next
            pages += 1

    assert [len(b64decode(item.raw_base64)) for item in seen] == sizes
    assert pages == 5


async def test_an_enrolment_is_taken_up(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http, http.post(f"{served.url}/v1/enrolment", headers=BEARER) as answer:
        assert answer.status == 204
    assert served.enrolments == 1


async def test_the_openapi_document_is_valid_and_lists_every_route(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http, http.get(f"{served.url}/openapi.json") as answer:
        document = json.loads(await answer.read())

    validate(document)
    assert document["openapi"].startswith("3.1")
    operations = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert operations == {(route.method, route.path) for route in served.api.routes}


def test_the_documentation_lists_every_route_with_its_party(shop: Shop) -> None:
    text = (Path(__file__).parents[2] / "docs" / "local-api.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([A-Z]+) (/\S*)` \| ([a-z]+)", text, re.MULTILINE)

    def party(route: Route) -> str:
        return "anyone" if route.open else "page" if route.page else "pos" if route.pos else "control"

    routes = Served(shop).api.routes
    assert sorted(rows) == sorted((route.method, route.path, party(route)) for route in routes)


async def test_a_scanner_is_lent_with_its_port_closed_and_taken_back(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        working = asyncio.create_task(served.supervisor.run())
        await asyncio.wait_for(served.scanner.opened.wait(), WAIT_S)
        url = f"{served.url}/v1/scanners/counter/lend"

        async with http.post(url, headers=BEARER, json={"seconds": 90}) as answer:
            assert answer.status == 200
            assert await answer.json() == {"name": "counter", "until": "2026-11-22T09:01:40Z"}
            assert not served.scanner.opened.is_set()
        assert [worker.condition for worker in served.supervisor.health] == ["lent"]

        for _ in range(2):  # what is not lent is given back, too
            async with http.delete(url, headers=BEARER) as answer:
                assert answer.status == 204
        await asyncio.wait_for(served.scanner.opened.wait(), WAIT_S)
        assert [worker.condition for worker in served.supervisor.health] == ["ready"]
        working.cancel()
        await asyncio.wait([working], timeout=WAIT_S)
        assert working.done()


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff", b'{"seconds":0}', b'{"seconds":601}', b'{"seconds":1.5}', b'{"seconds":1,"a":1}'],
)
async def test_lending_for_no_sensible_time_is_refused(shop: Shop, body: bytes) -> None:
    served = Served(shop)
    async with served.running() as http:
        headers = {**BEARER, "Content-Type": "application/json"}
        async with http.post(f"{served.url}/v1/scanners/counter/lend", headers=headers, data=body) as answer:
            assert answer.status == 422
            assert "openapi.json" in (await answer.json())["detail"]
        assert [worker.condition for worker in served.supervisor.health] == ["starting"]


async def test_a_scanner_that_is_not_there_cannot_be_lent(shop: Shop) -> None:
    served = Served(shop)
    async with served.running() as http:
        for method in ("POST", "DELETE"):
            url = f"{served.url}/v1/scanners/other/lend"
            async with http.request(method, url, headers=BEARER, json={"seconds": 1}) as answer:
                assert answer.status == 404
                assert "'counter'" in (await answer.json())["detail"]
