"""The tie to the centre before, at and after enrolment; the exchange itself is held by the tests of sync."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from agent.centre import CentreLink
from sync.enrolment import FILE_NAME, Enrolment, EnrolmentDamagedError
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, keeper_for
from tests.agent.shop import Shop
from tests.browser.till import free_port


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


def link_of(shop: Shop, changed: asyncio.Event) -> CentreLink:
    state = shop.folder / "state"
    return CentreLink(
        folder=state, keeper=keeper_for(state), store=shop.store, lookup_deadline_ms=100, changed=changed.set
    )


def is_tied(link: CentreLink) -> bool:
    return link.badge.enrolled and link.badge.since is not None


async def test_it_waits_for_an_enrolment_and_goes_on_with_it(shop: Shop) -> None:
    # given a register that is not enrolled
    changed, ready = asyncio.Event(), asyncio.Event()
    link = link_of(shop, changed)
    running = asyncio.create_task(link.run(ready.set))
    await ready.wait()
    assert not is_tied(link)
    assert await link.lookup("TS1") is None

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
    assert await link.lookup("TS1") is None
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
