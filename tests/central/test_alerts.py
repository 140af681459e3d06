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

from central import alert_outbox, alerts, releases
from central.alert_outbox import AFTER_NO, GIVEN_UP_AFTER, MAX_WAITING
from central.alert_ways import WAYS, NotNowError, NotSentError, send, send_by
from central.alerting import Alerting
from central.alerts import CALM, LASTS, MAX_NAMED, MOST_LASTS, Alert, Message, Standing, Told, Watch, message_of
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
        self.told: dict[str, Told] = {}
        self.now = NOON

    def look(self, *registers: Known) -> list[Standing]:
        news = self.watch.news(registers, self.told, SILENT_AFTER, self.now)
        self.told |= {one.alert.device: one.told for one in news}
        self.now += LOOK
        return [one.alert.standing for one in news]

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
        for one in follower.watch.news([known(ILL, follower.now)], follower.told, SILENT_AFTER, follower.now):
            said += one.alert.said
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
        follower.told |= {one.alert.device: one.told for one in news}
        told += [(follower.now - opens, one.alert.standing) for one in news]
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


async def sent(settings: AlertSettings) -> list[NotSentError]:
    return list(await send(settings, NEWS))


@pytest.mark.parametrize(
    ("answer", "said", "kind"),
    [
        (204, None, None),
        (500, "the webhook answered 500", NotNowError),
        (429, "the webhook answered 429", NotNowError),
        (404, "the webhook answered 404; correct its address: tillside-central alerts set --webhook", NotSentError),
        (302, "the webhook answered 302; correct its address: tillside-central alerts set --webhook", NotSentError),
    ],
)
async def test_a_webhook_says_its_status_alone(answer: int, said: str | None, kind: type[Exception] | None) -> None:
    async with listening(Hook(answer)) as hook:
        failed = await sent(AlertSettings(webhook=hook.url))
        assert [(str(one), type(one)) for one in failed] == ([(said, kind)] if said else [])
        assert hook.got == [NEWS]


async def test_a_webhook_that_is_not_there_fails_and_its_address_is_not_told() -> None:
    [failed] = await sent(BROKEN)
    assert isinstance(failed, NotNowError)
    assert str(failed).startswith("the webhook cannot be reached")
    assert "secret" not in str(failed)


async def test_mail_goes_out_beside_a_webhook_that_fails() -> None:
    async with mailing(MailServer()) as mails:
        assert len(await sent(replace(BROKEN, mail=mails.settings()))) == 1
    [mail] = mails.mails
    assert "Subject: Shop, registers: 1 silent\r\n" in mail
    assert "To: it@shop.example\r\n" in mail
    assert "- store 12, register 3: silent" in mail


@pytest.mark.parametrize(
    ("refuses", "code", "more", "is_final"),
    [
        ("RCPT", 550, {}, True),
        ("RCPT", 450, {}, False),
        ("MAIL", 550, {}, True),
        ("MAIL", 451, {}, False),
        ("", 0, {"user": "it", "password": "secret"}, True),
    ],
)
async def test_a_mail_is_refused_for_good_or_for_now(
    refuses: str, code: int, more: dict[str, str], is_final: bool
) -> None:
    async with mailing(MailServer(refuses, code)) as mails:
        [failed] = await sent(AlertSettings(mail=mails.settings(**more)))
        assert isinstance(failed, NotNowError) != is_final
        assert ("correct the account" in str(failed)) == is_final
        assert "secret" not in str(failed)
        assert mails.mails == []


async def test_a_mail_that_was_taken_is_not_sent_again_by_a_bad_goodbye() -> None:
    async with mailing(MailServer("QUIT", 421)) as mails:
        assert await sent(AlertSettings(mail=mails.settings())) == []
        assert len(mails.mails) == 1


async def test_a_mail_server_without_tls_gets_nothing_unless_told_so() -> None:
    async with mailing(MailServer()) as mails:
        [failed] = await sent(AlertSettings(mail=replace(mails.settings(), tls=True)))
        assert "SMTPNotSupportedError" in str(failed)
        assert not any(line.startswith("MAIL") for line in mails.commands)


@pytest.mark.parametrize(
    "settings",
    [
        AlertSettings(webhook="http://a..b/secret"),
        AlertSettings(webhook=f"http://{'a' * 70}.example/secret"),
        AlertSettings(webhook="http://[bad/secret"),
        AlertSettings(webhook="http://shop.example:99999/secret"),
    ],
    ids=["empty label", "long label", "no IPv6", "no port"],
)
async def test_what_a_library_makes_nothing_of_is_a_message_that_was_not_sent(settings: AlertSettings) -> None:
    [failed] = await sent(settings)
    assert "secret" not in str(failed)


async def test_texts_that_no_mail_takes_are_a_message_that_was_not_sent() -> None:
    class WithAccounts(MailServer):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 here\r\n")
            while line := await reader.readline():
                writer.write(b"250-here\r\n250 AUTH PLAIN\r\n" if line.startswith(b"ehlo") else b"250 fine\r\n")
            writer.close()

    async with mailing(WithAccounts()) as mails:
        password = AlertSettings(mail=mails.settings(user="it", password="straße"))
        host = AlertSettings(mail=replace(mails.settings(), server=Address(host="a" * 70 + ".example", port=25)))
        for settings in (password, host):
            [failed] = await sent(settings)
            assert "straße" not in str(failed)
        [failed] = await send(AlertSettings(mail=mails.settings()), Message(text="Shop\rBcc: x@y\n- a", alerts=()))
        assert "correct it" in str(failed)


async def test_a_mail_server_that_goes_on_saying_little_is_cut_off() -> None:
    # Given one that greets for ever, a line at a time, which no timeout of a socket minds
    ended, goes_on = asyncio.Event(), asyncio.Event()

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220-hold\r\n")
        goes_on.set()
        while await reader.read(100):
            pass
        ended.set()
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        at = Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        mail = MailSettings(server=at, sender="a@b.example", to=("c@d.example",), tls=False)
        # When it is waited for, Then it ends by its deadline
        with pytest.raises(NotNowError, match="the mail was not through within"):
            await send_by("mail", AlertSettings(mail=mail), NEWS, deadline_s=0.2)
        await ended.wait()
        # and at once where the centre ends
        goes_on.clear()
        ended.clear()
        task = asyncio.create_task(send_by("mail", AlertSettings(mail=mail), NEWS))
        await goes_on.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()


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
                await alerting.send("webhook")
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
        assert centre.read(alerts.told) == {till.device: Told(standing="silent")}

        alerting = Alerting(centre.folder, centre.database, centre.clock)
        for _ in range(LASTS // LOOK + 2):
            await beat(till, WELL)
            await alerting.look()
            await alerting.send("webhook")
            centre.clock.now += LOOK
        assert [one.alerts[0].standing for one in hook.got] == ["silent", "well"]
        [told] = centre.read(alerts.told).values()
        assert (told.standing, told.turns) == ("well", 1)


async def test_who_goes_back_and_forth_is_told_of_no_more_often_by_a_centre_that_starts_again(
    centre: RunningCentre,
) -> None:
    till = await centre.till()
    centre.folder.save_settings(replace(centre.folder.settings(), alerts=BROKEN))
    news = 0
    for state in (ILL, WELL) * 6:  # each for as long as a change has to last, and by a new process
        alerting = Alerting(centre.folder, centre.database, centre.clock)
        before = centre.read(alerts.told)
        for _ in range(LASTS // LOOK + 2):
            await beat(till, state)
            await alerting.look()
            centre.clock.now += LOOK
        news += centre.read(alerts.told) != before
    assert news == 3  # ill, well, ill; then it would have to last longer


async def test_what_cannot_be_sent_waits_by_its_way_alone_and_goes_out_hours_later_by_another_process(
    centre: RunningCentre,
) -> None:
    # Given a register that became silent while the webhook's server is down, and mail that works
    await centre.till()
    async with listening(Hook(*[503] * 1000)) as hook, mailing(MailServer()) as mails:
        both = AlertSettings(webhook=hook.url, mail=mails.settings())
        centre.folder.save_settings(replace(centre.folder.settings(), alerts=both))
        centre.clock.now = NOON + SILENT_AFTER
        alerting = Alerting(centre.folder, centre.database, centre.clock, chance=lambda: 0.999)
        for _ in range(LASTS // LOOK + 2):
            await alerting.look()
            for way in WAYS:
                await alerting.send(way)
            centre.clock.now += LOOK
        assert len(mails.mails) == 1
        # When it is down for hours: it is asked now and then
        for _ in range(timedelta(hours=3) // LOOK):
            await alerting.send("webhook")
            centre.clock.now += LOOK
        assert 10 < len(hook.got) < 25
        # Then a centre that starts again sends it once that server is back
        hook.answers, hook.got = [], []
        alerting = Alerting(centre.folder, centre.database, centre.clock)
        for _ in range(timedelta(hours=1) // LOOK):
            for way in WAYS:
                await alerting.send(way)
            centre.clock.now += LOOK
        [message] = hook.got
        assert message.subject == "Test & Co, registers: 1 silent"
        assert len(mails.mails) == 1
        assert centre.count(tables.alerts_waiting) == 0


async def keeps(centre: RunningCentre, text: str, *ways: Any) -> None:
    message = Message(text=text, alerts=())
    await centre.database.write(lambda connection: alert_outbox.put(connection, ways, message, centre.clock.now))


async def test_a_message_that_is_refused_for_good_holds_no_other_and_is_given_up_after_a_day(
    centre: RunningCentre,
) -> None:
    async with listening(Hook(400)) as hook:
        centre.folder.save_settings(replace(centre.folder.settings(), alerts=AlertSettings(webhook=hook.url)))
        alerting = Alerting(centre.folder, centre.database, centre.clock)
        await keeps(centre, "first", "webhook")
        await keeps(centre, "second", "webhook")
        await alerting.send("webhook")
        assert [one.text for one in hook.got] == ["first", "second"]
        # it is tried in case somebody corrects that
        hook.answers, hook.got = [400] * 1000, []
        for _ in range(GIVEN_UP_AFTER // AFTER_NO * 2 + 4):
            await alerting.send("webhook")
            centre.clock.now += AFTER_NO / 2
        assert len(hook.got) == GIVEN_UP_AFTER // AFTER_NO
        assert centre.count(tables.alerts_waiting) == 0


async def test_what_waits_is_tried_at_once_by_other_settings_and_dropped_with_its_way(centre: RunningCentre) -> None:
    def told_by(webhook: str | None) -> None:
        alert = AlertSettings(webhook=webhook, mail=MailServer().settings())
        centre.folder.save_settings(replace(centre.folder.settings(), alerts=alert))

    async with listening(Hook(404)) as hook:
        told_by(hook.url)
        alerting = Alerting(centre.folder, centre.database, centre.clock)
        await keeps(centre, "first", "webhook", "mail")
        for _ in range(2):
            await alerting.send("webhook")
        assert len(hook.got) == 1
        told_by(f"{hook.url}?corrected")
        await alerting.send("webhook")
        assert len(hook.got) == 2
        await keeps(centre, "second", "webhook")
        told_by(None)
        centre.clock.now += timedelta(seconds=1)
        await alerting.send("webhook")
        told_by(hook.url)
        await alerting.send("webhook")
        assert len(hook.got) == 2
        assert centre.count(tables.alerts_waiting) == 1  # the mail's


async def test_so_many_wait_and_the_oldest_go_first(centre: RunningCentre) -> None:
    for number in range(MAX_WAITING + 3):
        await keeps(centre, f"{number}", "webhook")
    await keeps(centre, "a mail", "mail")
    waiting = centre.read(lambda connection: alert_outbox.due(connection, "webhook", centre.clock.now))
    assert (len(waiting), waiting[0].message.text) == (MAX_WAITING, "3")


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
            alerting = Alerting(centre.folder, centre.database, centre.clock)
            await alerting.look()
            await alerting.send("webhook")

        [message] = hook.got
        assert message.text.startswith(
            "Test & Co, releases: 0.2.0 stopped\n- 0.2.0, ring canary: 1 of 1 registers gave"
        )
        assert till.device in message.text


@only_sqlite
async def test_what_becomes_of_an_alert_does_not_end_the_watch(
    centre: RunningCentre, capsys: pytest.CaptureFixture[str]
) -> None:
    thrice, looks = asyncio.Event(), 0

    async def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks >= 3 * (1 + len(WAYS)):
            thrice.set()
        await asyncio.sleep(0)

    (centre.folder.path / "centre.json").write_text("{")
    running = asyncio.create_task(Alerting(centre.folder, centre.database, centre.clock, sleep).run())
    await thrice.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert capsys.readouterr().out.count("registers_not_looked_at") >= 3


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
            (*MAIL[:2], "--smtp", "a" * 70 + ".example:25", *MAIL[4:]),
            (*MAIL, "--user", "straße"),
            (*MAIL, "--user", "a\nb"),
            ("--webhook", "http://a..b/x"),
            ("--webhook", f"http://{'a' * 70}.example/x"),
            ("--webhook", "http://[bad"),
            ("--webhook", "http://hooks.example:99999/x"),
            ("--webhook", "https://hooks.example/x\nHost: y"),
        ],
    )
    def test_what_cannot_be_used_is_refused(self, fresh: Path, arguments: Sequence[str]) -> None:
        code, refused = run(fresh, "set", *arguments)
        assert (code, list(refused)) == (2, ["error"])
        assert DataFolder(fresh).settings().alerts is None

    def test_a_password_that_nobody_can_sign_in_with_is_refused_and_not_repeated(self, fresh: Path) -> None:
        code, refused = run(fresh, "set", *MAIL, "--user", "it", TILLSIDE_SMTP_PASSWORD="straße")
        assert (code, "beyond ASCII" in refused["error"], "straße" in refused["error"]) == (2, True, False)

    async def test_a_test_says_what_came_of_it(self, fresh: Path) -> None:
        async with listening(Hook(204, 410)) as hook:
            await asyncio.to_thread(run, fresh, "set", "--webhook", hook.url)
            assert await asyncio.to_thread(run, fresh, "test") == (0, {"sent": True})
            code, refused = await asyncio.to_thread(run, fresh, "test")
            assert (code, "the webhook answered 410" in refused["error"]) == (1, True)
            assert "this is a test" in hook.got[0].text
