"""The tie to the centre before, at and after enrolment; the exchange itself is held by the tests of sync."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from msgspec.structs import replace
from structlog.testing import capture_logs

from agent.centre import CentreLink
from central import configs, devices
from config.settings import CentreSettings
from loyalty.centre_config import CentreConfig
from loyalty.identification import IdentificationRule
from sync.configs import keep_config, kept_config
from sync.delayed_enrolment import CREDENTIAL, DelayedCode, given_code, keep_code, kept_code, note, told_of_code
from sync.enrolling import enrol
from sync.enrolment import FILE_NAME, Enrolment, EnrolmentCode, EnrolmentDamagedError, load_enrolment, parse_code
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, keeper_for
from sync.loop import LookedUp
from sync.purging import nothing_else
from sync.session import HEARTBEAT_S
from sync.store.errors import StoreUnavailableError
from sync.store.rows import EpochState
from sync.store.store import Store
from sync.updates import NoUpdates
from tests.agent.shop import Shop
from tests.browser.till import free_port
from tests.sync.centre import FACTS, QUICK_HEARTBEAT_S, running_centre, utc_now

# A test waits for a state, never for a time.
LOOK_AGAIN_S = 0.005
LOOKS = 2_000


def ca_pem() -> str:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a centre that is away")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, None).public_bytes(Encoding.PEM).decode()


def save_enrolment(shop: Shop, *, with_key: bool = True) -> None:
    state = shop.folder / "state"
    if with_key:
        keeper_for(state).get_or_create(DEVICE_KEY, DEVICE_KEY_BYTES)
    enrolment = Enrolment(
        device="d1",
        store="12",
        register="3",
        url=f"https://127.0.0.1:{free_port()}",
        ca_pem=ca_pem(),
        centre_epoch="c1",
        program_key="A" * 43,
    )
    (state / FILE_NAME).write_bytes(msgspec.json.encode(enrolment))


def link_of(
    shop: Shop,
    changed: asyncio.Event,
    *,
    heartbeat_s: float = HEARTBEAT_S,
    configured: Callable[[CentreConfig | None], None] = lambda _: None,
    given: DelayedCode | None = None,
) -> CentreLink:
    state = shop.folder / "state"
    return CentreLink(
        folder=state,
        keeper=keeper_for(state),
        store=shop.store,
        settings=CentreSettings(lookup_deadline_ms=100),
        changed=changed.set,
        configured=configured,
        mapped=lambda _: None,
        masked=nothing_else,
        updates=NoUpdates(),
        given=given,
        heartbeat_s=heartbeat_s,
    )


def is_tied(link: CentreLink) -> bool:
    return link.badge.enrolled and link.badge.since is not None


def is_online(link: CentreLink) -> bool:
    return link.badge.online


async def test_it_waits_for_an_enrolment_and_goes_on_with_it(shop: Shop) -> None:
    # given a register that is not enrolled
    changed, ready = asyncio.Event(), asyncio.Event()
    link = link_of(shop, changed)
    running = asyncio.create_task(link.run(ready.set))
    await ready.wait()
    assert not is_tied(link)
    assert await link.lookup("TS1") == LookedUp()

    # when it is enrolled while it runs, with a centre that is away
    save_enrolment(shop)
    changed.clear()
    link.take_up_enrolment()
    while not is_tied(link):
        changed.clear()
        await changed.wait()

    # then it is tied to it, and honest about it
    assert link.enrolment is not None
    assert link.enrolment.device == "d1"
    assert not link.badge.online
    assert await link.lookup("TS1") == LookedUp()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_a_damaged_enrolment_is_told_and_stops_nothing_else(shop: Shop) -> None:
    (shop.folder / "state" / FILE_NAME).write_text("{")

    link = link_of(shop, asyncio.Event())

    assert link.enrolment is None
    with pytest.raises(EnrolmentDamagedError, match="--replace"):
        await link.run(lambda: None)


async def test_a_lost_device_key_is_told(shop: Shop) -> None:
    save_enrolment(shop, with_key=False)

    with pytest.raises(EnrolmentDamagedError, match="device's key"):
        await link_of(shop, asyncio.Event()).run(lambda: None)


class BreakingStore:
    """A store whose outbox cannot be read any more once it is `broken`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def epoch(self) -> EpochState | None:
        if self.broken:
            raise StoreUnavailableError("the disk is gone")
        return self._store.epoch()


async def test_an_exchange_that_failed_is_never_shown_as_online(shop: Shop, tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        # given a register that is online
        state, keeper = shop.folder / "state", keeper_for(shop.folder / "state")
        await enrol(parse_code(centre.code()), state, keeper, FACTS, now=datetime.now(UTC))
        store, changed = BreakingStore(shop.store), asyncio.Event()
        link = CentreLink(
            folder=state,
            keeper=keeper,
            store=store,  # type: ignore[arg-type]
            settings=CentreSettings(lookup_deadline_ms=100),
            changed=changed.set,
            configured=lambda _: None,
            mapped=lambda _: None,
            masked=nothing_else,
            updates=NoUpdates(),
        )
        running = asyncio.create_task(link.run(lambda: None))
        while not is_online(link):
            changed.clear()
            await changed.wait()

        # when its store fails and the worker with it
        store.broken = True
        changed.clear()
        link.committed()
        with pytest.raises(StoreUnavailableError):
            await running

        # then the page is told, and for how long
        assert changed.is_set()
        assert not is_online(link)
        assert link.badge.since is not None
        assert link.last_contact is not None


async def test_a_loop_that_cannot_be_made_leaves_no_connection_open(shop: Shop) -> None:
    # an unclosed session is a warning, and warnings are errors here
    save_enrolment(shop)
    link = link_of(shop, asyncio.Event())
    shop.store.close()

    with pytest.raises(Exception, match="closed"):
        await link.run(lambda: None)
    del link
    gc.collect()


async def test_a_register_is_enrolled_by_a_code_while_it_waits(shop: Shop) -> None:
    changed = asyncio.Event()
    async with running_centre(shop.folder / "centre") as centre:
        link = link_of(shop, changed)
        running = asyncio.create_task(link.run(lambda: None))
        try:
            await link.enrol_by(parse_code(centre.code()), None)
            link.take_up_enrolment()
            while not is_online(link):
                changed.clear()
                await changed.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert link.enrolment is not None
    assert (link.enrolment.store, link.enrolment.register) == ("12", "3")


async def test_a_register_that_is_moved_goes_by_its_new_place_and_says_so_at_its_next_start(shop: Shop) -> None:
    changed = asyncio.Event()
    state = shop.folder / "state"
    async with running_centre(shop.folder / "centre") as centre:
        before = (
            await enrol(parse_code(centre.code()), state, keeper_for(state), FACTS, now=datetime.now(UTC))
        ).enrolment
        link = link_of(shop, changed, heartbeat_s=QUICK_HEARTBEAT_S)
        running = asyncio.create_task(link.run(lambda: None))
        try:
            centre.write(lambda connection: devices.move(connection, before.device, "13", "2"))
            while link.enrolment is None or link.enrolment.store != "13":
                changed.clear()
                await changed.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert link.enrolment == replace(before, store="13", register="2")
    assert load_enrolment(state) == link.enrolment


async def test_a_code_that_waits_is_spent_once_the_agent_runs(shop: Shop) -> None:
    changed = asyncio.Event()
    state = shop.folder / "state"
    async with running_centre(shop.folder / "centre") as centre:
        keep_code(state, DelayedCode(code=parse_code(centre.code("*")), register="7"))
        link = link_of(shop, changed)
        running = asyncio.create_task(link.run(lambda: None))
        try:
            while not is_online(link):
                changed.clear()
                await changed.wait()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    assert load_enrolment(state).register == "7"
    assert kept_code(state) is None


async def test_a_code_that_the_centre_refuses_is_forgotten_and_one_that_it_cannot_hear_of_is_not(shop: Shop) -> None:
    state = shop.folder / "state"
    link = link_of(shop, asyncio.Event())
    async with running_centre(shop.folder / "centre") as centre:
        used = parse_code(centre.code())
        await enrol(used, shop.folder / "other", keeper_for(shop.folder / "other"), FACTS, now=datetime.now(UTC))
        away = replace(used, url=f"https://127.0.0.1:{free_port()}")
        for code, kept, said in ((away, True, "no usable answer"), (used, False, "was refused")):
            keep_code(state, DelayedCode(code=code))
            link.take_up_enrolment()
            with capture_logs() as logged:
                running = asyncio.create_task(link.run(lambda: None))
                for _ in range(LOOKS):
                    await asyncio.sleep(0 if delayed(logged) else LOOK_AGAIN_S)
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
            assert (kept_code(state) is not None) == kept
            assert used.token not in str(logged)
            # And both are said, also by who looks later, without the code
            assert said in link.code_given
            assert code.url in told_of_code(state)
            assert used.token not in told_of_code(state)
    assert used.token not in "".join(file.read_text() for file in state.glob("enrolment-code*"))

    assert link.enrolment is None


@pytest.mark.parametrize("text", ["", "TS1:torn", "a POS's own"])
def test_a_credential_that_holds_no_code_is_told_and_nothing_else(tmp_path: Path, text: str) -> None:
    (tmp_path / CREDENTIAL).write_text(text, encoding="utf-8")
    with capture_logs() as logged:
        assert given_code("7", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) is None
    assert [one["credential"] for one in logged] == [CREDENTIAL]
    assert given_code("7", {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")}) is None
    assert given_code("7", {}) is None


async def test_a_code_that_came_as_a_credential_is_spent_and_once_refused_not_again(shop: Shop) -> None:
    state, changed = shop.folder / "state", asyncio.Event()
    async with running_centre(shop.folder / "centre") as centre:
        # Given a code that another machine has used, as in an image, and one that waits here
        code = centre.code()
        await enrol(parse_code(code), shop.folder / "other", keeper_for(shop.folder / "other"), FACTS, now=utc_now())
        keep_code(state, DelayedCode(code=parse_code(centre.code("*")), register="7"))
        (shop.folder / CREDENTIAL).write_text(code + "\n", encoding="ascii")
        given = given_code("9", {"CREDENTIALS_DIRECTORY": str(shop.folder)})
        assert given is not None

        await until_online(link_of(shop, changed, given=given), changed)
        assert load_enrolment(state).register == "7"

        # When nothing else waits
        (state / FILE_NAME).unlink()
        with capture_logs() as logged:
            running = asyncio.create_task(link_of(shop, changed, given=given).run(lambda: None))
            for _ in range(LOOKS):
                await asyncio.sleep(0 if delayed(logged) else LOOK_AGAIN_S)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert delayed(logged) == ["delayed_enrolment_refused"]

        # Then a fresh one, for any register, lets in the one that its settings name
        (shop.folder / CREDENTIAL).write_text(centre.code("*"), encoding="ascii")
        given = given_code("9", {"CREDENTIALS_DIRECTORY": str(shop.folder)})
        await until_online(link_of(shop, changed, given=given), changed)
    assert load_enrolment(state).register == "9"
    assert kept_code(state) is None


def delayed(logged: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the register says of a code that waits; the centre logs here, too."""
    return [one["event"] for one in logged if one["event"].startswith("delayed")]


async def until_online(link: CentreLink, changed: asyncio.Event) -> None:
    running = asyncio.create_task(link.run(lambda: None))
    try:
        while not is_online(link):
            changed.clear()
            await changed.wait()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_code_for_another_register_than_was_said_is_refused_when_it_is_spent(shop: Shop) -> None:
    state = shop.folder / "state"
    link = link_of(shop, asyncio.Event())
    async with running_centre(shop.folder / "centre") as centre:
        keep_code(state, DelayedCode(code=parse_code(centre.code("3")), register="7"))
        running = asyncio.create_task(link.run(lambda: None))
        for _ in range(LOOKS):
            await asyncio.sleep(LOOK_AGAIN_S)
            if "refused" in link.code_given:
                break
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    assert link.enrolment is None
    assert "the code is for register 3" in link.code_given


def test_what_keeps_a_code_is_written_once_and_is_of_no_other_code(tmp_path: Path) -> None:
    waiting = DelayedCode(code=EnrolmentCode(url="https://centre.example", token="t", ca_sha256="a" * 64))
    first, later = datetime(2026, 11, 22, 8, 7, tzinfo=UTC), datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
    keep_code(tmp_path, waiting)
    for at in (first, later):
        note(tmp_path, waiting, "no network", at, refused=False)
    assert "since 2026-11-22 08:07 UTC: no network" in told_of_code(tmp_path)
    # When another code is given
    keep_code(tmp_path, replace(waiting, register="7"))
    # Then nothing is known of that yet
    assert "https://centre.example waits: the agent" in told_of_code(tmp_path)


class Picky:
    """A register that cannot run with rules of a name, and what it goes by."""

    def __init__(self, cannot: str) -> None:
        self.cannot = cannot
        self.in_force: CentreConfig | None = None

    def __call__(self, config: CentreConfig | None) -> None:
        if config is not None and any(rule.name == self.cannot for rule in config.identification):
            raise RuntimeError(self.cannot)
        self.in_force = config


def rules(name: str) -> CentreConfig:
    return CentreConfig(identification=(IdentificationRule(name=name, prefixes=("29",)),))


async def test_a_config_that_a_register_cannot_run_with_is_rolled_back_and_told(shop: Shop) -> None:
    changed, picky, state = asyncio.Event(), Picky("heavy"), shop.folder / "state"
    async with running_centre(shop.folder / "centre") as centre:

        def publish(config: CentreConfig) -> None:
            centre.write(lambda connection: configs.publish(connection, config, centre.folder.program_key(), utc_now()))

        await enrol(parse_code(centre.code()), state, keeper_for(state), FACTS, now=datetime.now(UTC))
        publish(rules("light"))
        link = link_of(shop, changed, heartbeat_s=QUICK_HEARTBEAT_S, configured=picky)
        running = asyncio.create_task(link.run(lambda: None))

        async def until(reached: Callable[[], object]) -> None:
            for _ in range(LOOKS):
                if reached():
                    return
                await asyncio.sleep(LOOK_AGAIN_S)
            pytest.fail("it never came to that")

        try:
            await until(lambda: picky.in_force == rules("light"))
            publish(rules("lighter"))
            await until(lambda: picky.in_force == rules("lighter"))
            # When one comes with which it cannot run
            publish(rules("heavy"))
            await until(lambda: link.problems)
            # Then it goes on with the one before, says so, and does not meet the other at its next start
            assert "publish that again" in link.problems[0]
            assert picky.in_force == rules("lighter")
            again = Picky("heavy")
            link_of(shop, changed, configured=again)
            assert again.in_force == rules("lighter")
            # And all is well once that is published again
            publish(rules("lighter"))
            await until(lambda: not link.problems)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    # And a version that cannot run with what is kept starts with the one before
    before = Picky("lighter")
    assert "update the register" in link_of(shop, changed, configured=before).problems[0]
    assert before.in_force == rules("light")


async def test_a_register_that_runs_with_no_kept_config_starts_without_one(shop: Shop) -> None:
    state, picky = shop.folder / "state", Picky("light")
    async with running_centre(shop.folder / "centre") as centre:
        enrolment = (
            await enrol(parse_code(centre.code()), state, keeper_for(state), FACTS, now=datetime.now(UTC))
        ).enrolment
        centre.write(lambda c: configs.publish(c, rules("light"), centre.folder.program_key(), utc_now()))
        signed = centre.write(configs.signed_config)
    await shop.store.write(lambda writing: keep_config(writing, signed))
    assert kept_config(shop.store, enrolment.program_key) is not None

    link = link_of(shop, asyncio.Event(), configured=picky)

    assert picky.in_force is None
    assert "does without" in link.problems[0]
