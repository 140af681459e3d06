"""Who is told of registers: of what, once, by webhook and mail, as often tried as is bounded."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace
from sqlalchemy import Connection, update
from typer.testing import CliRunner

from central import alerts, releases
from central.alerting import ATTEMPTS, Alerting, send
from central.alerts import CALM, LASTS, MAX_NAMED, MOST_LASTS, Alert, Message, Standing, Watch, message_of
from central.cli import app
from central.db import tables
from central.fleet import SILENT_AFTER, Seen
from central.fleet_rows import Known
from central.folder import Address, AlertSettings, DataFolder, MailSettings
from central.setup import InitOptions, initialise
from sync.wire import GivenUp, HeartbeatRequest, HeartbeatResponse, RegisterState
from tests.central.conftest import RunningCentre, only_sqlite
from tests.central.till import NOON, Till

LOOK = timedelta(seconds=30)
WELL = RegisterState(verdict="healthy")
ILL = RegisterState(verdict="degraded", reasons=("scanner counter: unplugged: plug it in",))
BROKEN = AlertSettings(webhook="http://127.0.0.1:9/secret")
NEWS = Message(text="Shop, registers: 1 silent\n- store 12, register 3: silent", alerts=())


def known(state: RegisterState, heard: datetime | None, device: str = "d1", *, revoked: bool = False) -> Known:
    seen = Seen(
        last_contact=heard,
        queued=0,
        oldest_queued_at=None,
        clock_ahead_ms=0,
        state=state,
        quarantined=0,
        templates_refused=None,
    )
    return Known(
        device=device, store="12", register="3", version="1", revoked=revoked, seen=seen, hours="[]", given_up=()
    )


class Follower:
    """Looks again and again, as a centre does, and keeps what was told."""

    def __init__(self) -> None:
        self.watch = Watch()
        self.told: dict[str, Standing] = {}
        self.now = NOON

    def look(self, *registers: Known) -> list[Standing]:
        news = self.watch.news(registers, self.told, SILENT_AFTER, self.now)
        self.told |= {alert.device: alert.standing for alert in news}
        self.now += LOOK
        return [alert.standing for alert in news]

    def watch_for(self, span: timedelta, state: RegisterState, heard: datetime | None = None) -> list[Standing]:
        found: list[Standing] = []
        for _ in range(span // LOOK + 1):
            found += self.look(known(state, heard or self.now))
        return found


# ---- what is news


def test_each_change_is_told_once_when_it_lasts() -> None:
    follower = Follower()
    assert follower.watch_for(LASTS * 3, WELL) == []
    assert follower.watch_for(LASTS * 3, ILL) == ["problem"]
    silent_since = follower.now
    assert follower.watch_for(SILENT_AFTER * 3, WELL, silent_since) == ["silent"]
    assert follower.watch_for(LASTS * 3, WELL) == ["well"]
    assert follower.watch_for(LASTS * 3, WELL) == []


def test_what_is_over_soon_is_not_told() -> None:
    follower = Follower()
    for _ in range(20):
        assert follower.watch_for(LASTS / 2, ILL) == []
        assert follower.watch_for(LOOK, WELL) == []


@pytest.mark.parametrize("every_s", [100, 150, 240, 600, 1080, 1200])
def test_a_register_that_is_heard_now_and_then_is_told_once(every_s: int) -> None:
    follower, told = Follower(), []
    for _ in range(timedelta(days=1) // LOOK):
        elapsed = follower.now - NOON
        told += follower.look(known(ILL, NOON + elapsed // timedelta(seconds=every_s) * timedelta(seconds=every_s)))
    assert told == ["problem"]


def test_a_problem_of_a_while_ago_is_not_told_of_who_is_well_when_it_is_heard_again() -> None:
    follower = Follower()
    assert follower.watch_for(LASTS / 2, ILL) == []
    heard = follower.now
    assert follower.watch_for(SILENT_AFTER / 2, ILL, heard) == []
    assert follower.watch_for(LASTS * 3, WELL) == []


@pytest.mark.parametrize(("phase_min", "most"), [(6, 3), (15, 5), (30, 7), (60, 9), (180, 9)])
def test_who_goes_back_and_forth_gives_a_few_messages_a_day(phase_min: int, most: int) -> None:
    follower, told = Follower(), []
    phase = timedelta(minutes=phase_min)
    for _ in range(timedelta(days=1) // LOOK):
        is_ill = (follower.now - NOON) // phase % 2 == 0
        told += follower.look(known(ILL if is_ill else WELL, follower.now))
    assert told[:2] == ["problem", "well"]
    assert len(told) <= most

    # and who stays well is told of in the end
    assert (told + follower.watch_for(MOST_LASTS * 1.1, WELL))[-1] == "well"


def test_who_was_calm_for_a_day_is_told_of_as_soon_as_before() -> None:
    follower = Follower()
    for _ in range(5):
        follower.watch_for(LASTS, ILL)
        follower.watch_for(MOST_LASTS, WELL)
    follower.watch_for(CALM, WELL)
    assert follower.watch_for(LASTS, ILL) == ["problem"]
    assert follower.watch_for(LASTS, WELL) == ["well"]


def test_who_falls_ill_again_is_told_of_with_why_the_next_word_may_take_longer() -> None:
    follower = Follower()
    for state in (ILL, WELL):
        follower.watch_for(LASTS, state)
    said: list[str] = []
    for _ in range(LASTS // LOOK + 1):
        for alert in follower.watch.news([known(ILL, follower.now)], {}, SILENT_AFTER, follower.now):
            said += alert.said
        follower.now += LOOK
    assert said[-1].endswith("only once that lasts 10 min")


def test_who_is_switched_off_at_night_is_no_news_and_who_does_not_come_up_is() -> None:
    follower, heard = Follower(), NOON
    opens = NOON + timedelta(hours=12)
    told = []
    while follower.now < opens + timedelta(hours=1):
        shut = follower.now < opens
        news = follower.watch.news(
            [known(WELL, heard)], follower.told, SILENT_AFTER, follower.now, None if shut else opens
        )
        follower.told |= {alert.device: alert.standing for alert in news}
        told += [(follower.now - opens, alert.standing) for alert in news]
        follower.now += LOOK
    assert told == [(SILENT_AFTER + LASTS, "silent")]


@given(st.lists(st.tuples(st.sampled_from(["well", "problem", "gone"]), st.integers(1, 60)), max_size=12))
def test_nobody_is_told_the_same_twice_in_a_row(story: list[tuple[str, int]]) -> None:
    follower, told, heard = Follower(), ["well"], NOON
    for what, looks in story:
        for _ in range(looks):
            heard = heard if what == "gone" else follower.now
            told += follower.look(known(ILL if what == "problem" else WELL, heard))
    assert all(one != other for one, other in pairwise(told))


def test_a_centre_that_was_down_does_not_call_all_registers_silent() -> None:
    follower = Follower()
    for _ in range(4):  # they come back within moments
        assert follower.look(*(known(WELL, NOON - timedelta(hours=1), f"d{n}") for n in range(50))) == []
    for _ in range(60):
        assert follower.look(*(known(WELL, follower.now, f"d{n}") for n in range(50))) == []


def test_who_is_shut_out_or_was_never_heard_of_is_no_news() -> None:
    follower = Follower()
    for _ in range(60):
        revoked, new = known(ILL, NOON, "d1", revoked=True), known(WELL, None, "d2")
        assert follower.look(revoked, new) == []


def test_a_message_says_all_of_it_and_names_no_more_than_fit() -> None:
    many = [
        Alert(standing="silent", device=f"d{n}", store="12", register=str(n), said=("nothing heard: look",))
        for n in range(MAX_NAMED + 7)
    ]
    well = Alert(standing="well", device="x", store="1", register="1")
    message = message_of([well, *many], "Shop")
    assert message.subject == f"Shop, registers: {len(many)} silent, 1 well again"
    assert (len(message.alerts), message.more) == (MAX_NAMED, 8)
    assert "- store 12, register 0: silent\n    nothing heard: look\n" in message.text
    assert message.text.endswith("and 8 more; the fleet page has them all")
    assert message_of([well], "Shop").text.endswith("- store 1, register 1: well again")


# ---- the two ways out


class Hook:
    """A webhook that answers as it is told, and what it got."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.got: list[Message] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        self.got.append(msgspec.json.decode(await request.read(), type=Message))
        return web.Response(
            status=self.answers.pop(0) if self.answers else 204, text="because", headers={"Location": "/x"}
        )


@asynccontextmanager
async def listening(hook: Hook) -> AsyncIterator[Hook]:
    application = web.Application()
    application.router.add_post("/secret", hook.take)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = f"http://127.0.0.1:{runner.addresses[0][1]}/secret"
    try:
        yield hook
    finally:
        await runner.cleanup()


class MailServer:
    """As much of SMTP as a mail needs. `refuses` is the verb that gets `code`."""

    def __init__(self, refuses: str = "", code: int = 550) -> None:
        self.refuses = refuses
        self.code = code
        self.mails: list[str] = []
        self.commands: list[str] = []
        self.at = Address(host="127.0.0.1", port=0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == self.refuses:
                writer.write(f"{self.code} no\r\n".encode())
            elif verb == "DATA":
                writer.write(b"354 go on\r\n")
                self.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
                writer.write(b"250 taken\r\n")
            else:
                writer.write(b"221 bye\r\n" if verb == "QUIT" else b"250 fine\r\n")
            if verb == "QUIT":
                break
        writer.close()

    def settings(self, **more: Any) -> MailSettings:
        return MailSettings(server=self.at, sender="centre@shop.example", to=("it@shop.example",), tls=False, **more)


@asynccontextmanager
async def mailing(mails: MailServer) -> AsyncIterator[MailServer]:
    async with await asyncio.start_server(mails.serve, "127.0.0.1", 0) as server:
        mails.at = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        yield mails


async def sent(settings: AlertSettings) -> tuple[list[str], int]:
    """Why it was not sent by a way, and how often it was waited for another attempt."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    return [str(failed) for failed in await send(settings, NEWS, sleep)], len(waited)


@pytest.mark.parametrize(
    ("answers", "posts", "said"),
    [
        ((), 1, None),
        ((500, 429), 3, None),
        ((503,) * 99, ATTEMPTS, "the webhook answered 503: because"),
        ((404,), 1, "the webhook answered 404: because; correct its address: tillside-central alerts set --webhook"),
        ((302,), 1, "the webhook answered 302: because; correct its address: tillside-central alerts set --webhook"),
    ],
)
async def test_a_webhook_is_tried_again_where_that_may_help(
    answers: Sequence[int], posts: int, said: str | None
) -> None:
    async with listening(Hook(*answers)) as hook:
        assert await sent(AlertSettings(webhook=hook.url)) == ([said] if said else [], posts - 1)
        assert hook.got == [NEWS] * posts


async def test_a_webhook_that_is_not_there_is_given_up_and_its_address_not_told() -> None:
    [said], waits = await sent(BROKEN)
    assert waits == ATTEMPTS - 1
    assert said.startswith("the webhook cannot be reached")
    assert "secret" not in said


async def test_mail_goes_out_beside_a_webhook_that_fails() -> None:
    async with mailing(MailServer()) as mails:
        failed, _ = await sent(replace(BROKEN, mail=mails.settings()))
    assert len(failed) == 1
    [mail] = mails.mails
    assert "Subject: Shop, registers: 1 silent\r\n" in mail
    assert "To: it@shop.example\r\n" in mail
    assert "- store 12, register 3: silent" in mail


@pytest.mark.parametrize(
    ("refuses", "code", "more", "waits"),
    [
        ("RCPT", 550, {}, 0),
        ("RCPT", 450, {}, ATTEMPTS - 1),
        ("MAIL", 550, {}, 0),
        ("MAIL", 451, {}, ATTEMPTS - 1),
        ("", 0, {"user": "it", "password": "secret"}, 0),
    ],
)
async def test_a_mail_is_sent_again_where_that_may_help(
    refuses: str, code: int, more: dict[str, str], waits: int
) -> None:
    async with mailing(MailServer(refuses, code)) as mails:
        [said], waited = await sent(AlertSettings(mail=mails.settings(**more)))
        assert waited == waits
        assert ("correct the account" in said) == (waits == 0)
        assert "secret" not in said
        assert mails.mails == []


async def test_a_mail_that_was_taken_is_not_sent_again_by_a_bad_goodbye() -> None:
    async with mailing(MailServer("QUIT", 421)) as mails:
        assert await sent(AlertSettings(mail=mails.settings())) == ([], 0)
        assert len(mails.mails) == 1


async def test_a_mail_server_without_tls_gets_nothing_unless_told_so() -> None:
    async with mailing(MailServer()) as mails:
        [said], _ = await sent(AlertSettings(mail=replace(mails.settings(), tls=True)))
        assert "SMTPNotSupportedError" in said
        assert not any(line.startswith("MAIL") for line in mails.commands)


# ---- from the rows of either database


async def beat(till: Till, state: RegisterState) -> None:
    request = HeartbeatRequest(version="0.1.0", queued=0, quarantined=0, state=state, sent_at=UNSET)
    await till.post("/v1/heartbeat", request, HeartbeatResponse)


async def test_a_centre_tells_of_its_registers_once_even_if_it_starts_again(centre: RunningCentre) -> None:
    till = await centre.till()
    async with listening(Hook()) as hook:
        settings = centre.folder.settings()

        async def looks() -> None:
            """As long as a change has to last, by a centre that has just started."""
            alerting = Alerting(centre.folder, centre.database, centre.clock)
            for _ in range(LASTS // LOOK + 2):
                await alerting.look()
                centre.clock.now += LOOK

        def opened(hours: str) -> None:
            centre.folder.save_settings(replace(settings, alerts=AlertSettings(webhook=hook.url, open=hours)))

        await beat(till, WELL)
        opened("mo-su 03:00-03:01")
        centre.clock.now = NOON + SILENT_AFTER
        await looks()
        assert hook.got == []
        opened("mo-su 00:00-24:00")
        await looks()
        await looks()
        [message] = hook.got
        assert message.text.startswith("Test & Co, registers: 1 silent\n- store 12, register 3: silent\n")
        assert message.alerts[0].device == till.device
        assert centre.read(alerts.told) == {till.device: "silent"}

        alerting = Alerting(centre.folder, centre.database, centre.clock)
        for _ in range(LASTS // LOOK + 2):
            await beat(till, WELL)
            await alerting.look()
            centre.clock.now += LOOK
        assert [one.alerts[0].standing for one in hook.got] == ["silent", "well"]
        assert centre.read(alerts.told) == {}


async def test_a_release_that_stopped_by_itself_is_told_once(centre: RunningCentre) -> None:
    till = await centre.till()
    async with listening(Hook()) as hook:
        settings = replace(centre.folder.settings(), alerts=AlertSettings(webhook=hook.url))
        centre.folder.save_settings(settings)
        given_up = releases.given_up([GivenUp(version="0.2.0", reason="no answer")])

        def stops(connection: Connection) -> None:
            releases.offer(connection, "0.2.0", ["12"], timedelta(0), NOON)
            connection.execute(update(tables.devices).values(given_up=given_up))
            releases.move(connection, NOON)

        await centre.database.write(stops)
        for _ in range(2):
            await Alerting(centre.folder, centre.database, centre.clock).look()

        [message] = hook.got
        assert message.text.startswith(
            "Test & Co, releases: 0.2.0 stopped\n- 0.2.0, ring canary: 1 of 1 registers gave"
        )
        assert till.device in message.text


@only_sqlite
async def test_what_becomes_of_an_alert_does_not_end_the_watch(
    centre: RunningCentre, capsys: pytest.CaptureFixture[str]
) -> None:
    looks = 0

    async def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    (centre.folder.path / "centre.json").write_text("{")
    with pytest.raises(asyncio.CancelledError):
        await Alerting(centre.folder, centre.database, centre.clock, sleep).run()
    assert capsys.readouterr().out.count("registers_not_looked_at") == 3


# ---- the commands


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    initialise(tmp_path / "centre", InitOptions(listen="127.0.0.1:0", admin="127.0.0.1:0"), NOON)
    return tmp_path / "centre"


def run(data: Path, *arguments: str, **environment: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["alerts", *arguments, "--data", str(data), "--json"], env=environment)
    return result.exit_code, json.loads(result.output)


MAIL = ("--mail", "it@shop.example", "--smtp", "mail.shop.example:587", "--from", "centre@shop.example")


class TestCommands:
    def test_who_is_told_is_set_shown_and_kept(self, fresh: Path) -> None:
        code, shown = run(fresh, "set", "--webhook", "https://hooks.example/T1/secret", "--silent-after", "60")
        assert (code, shown["webhook"], shown["silent_after_min"]) == (0, "hooks.example", 60)
        assert run(fresh, "set", "--open", "mo-su 07:00-21:00")[1]["open"] == "mo-su 07:00-21:00"
        assert "write mo-fr" in run(fresh, "set", "--open", "always")[1]["error"]
        code, shown = run(fresh, "set", *MAIL, "--user", "it", TILLSIDE_SMTP_PASSWORD="secret")
        assert (code, shown["mail"], shown["smtp"]) == (0, ["it@shop.example"], "mail.shop.example:587")
        initialise(fresh, InitOptions(brand="Other"), NOON)
        kept = DataFolder(fresh).settings().alerts
        assert kept == AlertSettings(
            webhook="https://hooks.example/T1/secret",
            mail=MailSettings(
                server=Address(host="mail.shop.example", port=587),
                sender="centre@shop.example",
                to=("it@shop.example",),
                user="it",
                password="secret",
            ),
            silent_after_min=60,
            open="mo-su 07:00-21:00",
        )
        assert stat.S_IMODE((fresh / "centre.json").stat().st_mode) == 0o600
        assert run(fresh, "set", "--open", "off")[1]["open"] == ""
        shown_text = CliRunner().invoke(app, ["alerts", "show", "--data", str(fresh)]).output
        assert "by mail.shop.example:587 (STARTTLS) as it" in shown_text
        assert "secret" not in shown_text

        run(fresh, "set", "--plain", "--mail", "a@b", "--mail", "c@d")
        run(fresh, "set", "--webhook", "off")
        mail = DataFolder(fresh).settings().alerts
        assert mail is not None
        assert mail.mail is not None
        assert (mail.webhook, mail.mail.to, mail.mail.tls, mail.mail.password) == (
            None,
            ("a@b", "c@d"),
            False,
            "secret",
        )
        assert run(fresh, "set", "--mail", "off")[1]["silent_after_min"] is None
        assert DataFolder(fresh).settings().alerts is None
        assert run(fresh, "test")[0] == 1
        assert run(fresh, "show")[0] == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ("--webhook", "hooks.example"),
            ("--webhook", "file:///etc/passwd"),
            MAIL[:4],
            ("--smtp", "mail.shop.example:587"),
            (*MAIL[2:], "--mail", "a@b\nBcc: c@d"),
            (*MAIL[:2], "--smtp", "mail", *MAIL[4:]),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, fresh: Path, arguments: Sequence[str]) -> None:
        code, refused = run(fresh, "set", *arguments)
        assert (code, list(refused)) == (2, ["error"])
        assert DataFolder(fresh).settings().alerts is None

    async def test_a_test_says_what_came_of_it(self, fresh: Path) -> None:
        async with listening(Hook(204, 410)) as hook:
            await asyncio.to_thread(run, fresh, "set", "--webhook", hook.url)
            assert await asyncio.to_thread(run, fresh, "test") == (0, {"sent": True})
            code, refused = await asyncio.to_thread(run, fresh, "test")
            assert (code, "the webhook answered 410" in refused["error"]) == (1, True)
            assert "this is a test" in hook.got[0].text
