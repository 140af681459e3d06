"""The way in: codes, the pinned CA, the file that stays, and every way it can fail."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from socket import create_server

import msgspec
import pytest
from aiohttp import web
from msgspec.structs import replace

from central.certificates import ensure_certificates, server_context
from central.enrolling import standing_at
from central.folder import DataFolder
from sync import base64url
from sync.enrolling import enrol
from sync.enrolment import (
    CODE_PREFIX,
    FILE_NAME,
    AddressRefusedError,
    AlreadyEnrolledError,
    CentreMismatchError,
    CodeMalformedError,
    Enrolment,
    EnrolmentAnswerError,
    EnrolmentCode,
    EnrolmentDamagedError,
    EnrolmentError,
    EnrolmentUnreachableError,
    NotEnrolledError,
    RegisterUnsaidError,
    TokenRefusedError,
    code_text,
    device_key,
    load_enrolment,
    parse_code,
)
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, KeyKeeper, keeper_for
from sync.network import Way
from tests.faults.http_proxy import HttpFaultProxy
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import FACTS, Centre, running_centre, utc_now
from tests.sync.listener import listening
from tests.sync.test_network import proxying

CODE = EnrolmentCode(url="https://centre.example:8443", token="t-1", ca_sha256="a" * 64)
NO_ADDRESSES = (
    "http://centre.example",
    "https://centre.example/path",
    "https://centre.example?x=1",
    "https://centre.example#x",
    "https://me@centre.example",
    "https://centre.example:99999",
    "https://[",
    "https://",
    "centre.example:8443",
)


async def enrolled(
    centre: Centre,
    folder: Path,
    code: str | None = None,
    *,
    replace: bool = False,
    now: datetime | None = None,
    way: Way | None = None,
) -> tuple[Enrolment, KeyKeeper]:
    keeper = keeper_for(folder)
    parsed = parse_code(code or centre.code())
    return (
        await enrol(parsed, folder, keeper, FACTS, now=now or utc_now(), replace=replace, way=way)
    ).enrolment, keeper


# -- codes -----------------------------------------------------------------------------------------


def test_a_code_is_read_as_it_was_made() -> None:
    assert parse_code(code_text(CODE)) == CODE


def test_a_code_that_was_wrapped_by_a_mail_or_a_terminal_is_read() -> None:
    text = code_text(CODE)

    assert parse_code(f"  {text[:40]}\r\n {text[40:]}\n") == CODE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        CODE_PREFIX,
        CODE_PREFIX + "!!!",
        CODE_PREFIX + "e30",
        code_text(CODE)[:-3],
        code_text(CODE).removeprefix(CODE_PREFIX),
        *(CODE_PREFIX + base64url.encoded(msgspec.json.encode(replace(CODE, url=url))) for url in NO_ADDRESSES),
        code_text(replace(CODE, ca_sha256="short")),
        CODE_PREFIX + "A" * 3000,
    ],
)
def test_what_is_no_code_is_refused_before_anything_is_sent(text: str) -> None:
    with pytest.raises(CodeMalformedError):
        parse_code(text)


@pytest.mark.parametrize("url", NO_ADDRESSES)
def test_no_code_is_made_for_an_address_that_no_register_takes(url: str) -> None:
    with pytest.raises(AddressRefusedError, match="https://HOST:PORT"):
        code_text(replace(CODE, url=url))


async def test_the_centres_own_codes_are_read(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        text = centre.code()
        document = json.loads(base64url.decoded(text.removeprefix(CODE_PREFIX)))

        assert sorted(document) == ["ca_sha256", "token", "url"]
        assert parse_code(text).url == centre.url


# -- the way in ------------------------------------------------------------------------------------


async def test_a_register_knows_where_it_belongs_ever_after(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        enrolment, keeper = await enrolled(centre, tmp_path / "till")

    assert (enrolment.store, enrolment.register, enrolment.url) == ("12", "3", centre.url)
    assert load_enrolment(tmp_path / "till") == enrolment
    file = tmp_path / "till" / FILE_NAME
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    # Neither token nor private key is in it
    assert device_key(enrolment, keeper).private_bytes_raw().hex() not in file.read_text()
    assert "token" not in file.read_text()


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_clock_that_cannot_be_right_does_not_lock_a_register_out(tmp_path: Path, years: int) -> None:
    now = utc_now()
    async with running_centre(tmp_path / "centre") as centre:
        enrolment, _ = await enrolled(centre, tmp_path / "till", now=now.replace(year=now.year + years, day=1))

    assert enrolment.register == "3"


async def test_an_answer_that_was_lost_is_had_with_the_same_code(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        code = centre.code()
        first, _ = await enrolled(centre, tmp_path / "till", code)
        # Given a power cut before the file was written; the key was made durable before anything was sent
        (tmp_path / "till" / FILE_NAME).unlink()

        again, _ = await enrolled(centre, tmp_path / "till", code)

    assert again == first


async def test_a_register_is_not_enrolled_twice_by_mistake(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        first, _ = await enrolled(centre, tmp_path / "till")

        with pytest.raises(AlreadyEnrolledError, match="register 3 of store 12"):
            await enrolled(centre, tmp_path / "till")

    assert load_enrolment(tmp_path / "till") == first


async def test_a_replaced_enrolment_has_a_key_of_its_own(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        first, keeper = await enrolled(centre, tmp_path / "till")
        second, _ = await enrolled(centre, tmp_path / "till", centre.code("4"), replace=True)

    assert second.register == "4"
    assert load_enrolment(tmp_path / "till") == second
    # And the first one's is gone
    assert second.key != first.key
    assert keeper.find(first.key, DEVICE_KEY_BYTES) is None
    assert keeper.find(second.key, DEVICE_KEY_BYTES) is not None


async def test_a_register_that_is_enrolled_anew_proves_what_it_was_and_that_is_refused(tmp_path: Path) -> None:
    folder, keeper = tmp_path / "till", keeper_for(tmp_path / "till")
    async with running_centre(tmp_path / "centre") as centre:
        first, _ = await enrolled(centre, folder)
        # Given a code for the place that it has
        code = parse_code(centre.code())
        # When it is enrolled anew
        came_in = await enrol(code, folder, keeper, FACTS, now=utc_now(), replace=True)
        # Then one device is there, and that is said
        here = centre.write(lambda connection: standing_at(connection, "12", "3"))
    assert [one.device for one in here] == [came_in.enrolment.device]
    assert (came_in.left, came_in.left_refused) == (first.device, True)


async def test_a_register_that_lost_its_key_or_its_file_proves_nothing(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        for number, lost in (("5", DEVICE_KEY), ("6", FILE_NAME)):
            folder = tmp_path / lost
            first, keeper = await enrolled(centre, folder, centre.code(number))
            if lost == DEVICE_KEY:
                (folder / lost).unlink()
            else:
                (folder / lost).write_bytes(b"{")
            # Its old place is given away by the centre alone
            with pytest.raises(TokenRefusedError, match="enrolment create --replace"):
                await enrolled(centre, folder, centre.code(number), replace=True)
            code = parse_code(centre.code(number, replace=True))
            came_in = await enrol(code, folder, keeper, FACTS, now=utc_now(), replace=True)
            here = centre.write(lambda connection, number=number: standing_at(connection, "12", number))  # type: ignore[misc]
            assert [one.device for one in here] == [came_in.enrolment.device] != [first.device]
            assert keeper.find(DEVICE_KEY, DEVICE_KEY_BYTES) is None


async def test_a_register_that_goes_to_another_centre_is_told_of_the_device_that_it_leaves(tmp_path: Path) -> None:
    folder, keeper = tmp_path / "till", keeper_for(tmp_path / "till")
    async with running_centre(tmp_path / "one") as one, running_centre(tmp_path / "other") as other:
        first, _ = await enrolled(one, folder)
        came_in = await enrol(parse_code(other.code()), folder, keeper, FACTS, now=utc_now(), replace=True)
    assert (came_in.left, came_in.left_refused) == (first.device, False)


async def test_a_register_is_enrolled_through_a_proxy(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre, proxying() as proxy:
        way = Way(proxy=f"http://127.0.0.1:{proxy.port}")

        found, _ = await enrolled(centre, tmp_path / "till", way=way)

    assert load_enrolment(tmp_path / "till") == found
    assert set(proxy.asked) == {f"127.0.0.1:{centre.port}"}


async def test_a_register_is_enrolled_where_the_shops_network_inspects_only_with_its_ca(tmp_path: Path) -> None:
    inspector = DataFolder(tmp_path / "inspector")
    inspector.create()
    ensure_certificates(inspector, (), utc_now())
    async with (
        running_centre(tmp_path / "centre") as centre,
        HttpFaultProxy(centre.url, server_context(inspector), lambda _: "fine") as network,
    ):
        code = centre.code(url=network.url)
        with pytest.raises(CentreMismatchError, match=r"centre\.ca_file"):
            await enrolled(centre, tmp_path / "till", code)

        found, _ = await enrolled(centre, tmp_path / "till", code, way=Way(ca_pem=inspector.ca_certificate.read_text()))

    assert load_enrolment(tmp_path / "till") == found
    assert found.ca_pem == centre.folder.ca_certificate.read_text()


# -- every way it can fail -------------------------------------------------------------------------


async def test_a_used_code_is_refused(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        code = centre.code()
        await enrolled(centre, tmp_path / "till", code)

        with pytest.raises(TokenRefusedError, match="used before"):
            await enrolled(centre, tmp_path / "other", code)

    assert not (tmp_path / "other" / FILE_NAME).exists()


async def test_an_expired_code_is_refused(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        with pytest.raises(TokenRefusedError, match="expired"):
            await enrolled(centre, tmp_path / "till", centre.code(valid_for=timedelta(seconds=-1)))


async def test_an_unknown_code_is_refused(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        known = parse_code(centre.code())

        with pytest.raises(TokenRefusedError, match="not known"):
            await enrolled(centre, tmp_path / "till", code_text(msgspec.structs.replace(known, token="guessed")))


async def test_another_centre_at_the_address_gets_no_token(tmp_path: Path) -> None:
    # Given someone who answers everything with friendly words
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=listener.ca_pem)

    async with listening(tmp_path / "them", answer, made_at=utc_now()) as listener:
        code = msgspec.structs.replace(CODE, url=listener.url)

        with pytest.raises(CentreMismatchError, match="not the centre that made this code"):
            await enrol(code, tmp_path / "till", keeper_for(tmp_path / "till"), FACTS, now=utc_now())

    assert [asked.target for asked in listener.asked] == ["/v1/ca"]


async def test_a_certificate_that_does_not_name_the_address_is_told(tmp_path: Path) -> None:
    # Given a centre that is reached under an address it was not set up for
    async with (
        running_centre(tmp_path / "centre") as centre,
        FaultyProxy("127.0.0.1", centre.port, host="127.0.0.2") as network,
    ):
        with pytest.raises(CentreMismatchError, match="does not name"):
            await enrolled(centre, tmp_path / "till", centre.code(url=f"https://127.0.0.2:{network.port}"))


async def test_a_proxy_that_is_away_is_told(tmp_path: Path) -> None:
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]

    with pytest.raises(EnrolmentUnreachableError, match=rf"the proxy 127\.0\.0\.1:{port} cannot be reached.*same code"):
        await enrol(
            CODE,
            tmp_path / "till",
            keeper_for(tmp_path / "till"),
            FACTS,
            now=utc_now(),
            way=Way(proxy=f"http://127.0.0.1:{port}"),
        )


async def test_a_server_before_the_centre_that_has_none_is_not_taken_for_another_centre(tmp_path: Path) -> None:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=502, text="Bad Gateway")

    async with listening(tmp_path / "front", answer, made_at=utc_now()) as listener:
        code = msgspec.structs.replace(CODE, url=listener.url)

        with pytest.raises(EnrolmentUnreachableError, match="answers 502"):
            await enrol(code, tmp_path / "till", keeper_for(tmp_path / "till"), FACTS, now=utc_now())


async def test_nobody_at_the_address(tmp_path: Path) -> None:
    with closing(create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    code = msgspec.structs.replace(CODE, url=f"https://127.0.0.1:{port}")

    with pytest.raises(EnrolmentUnreachableError, match="same code again"):
        await enrol(code, tmp_path / "till", keeper_for(tmp_path / "till"), FACTS, now=utc_now())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"{}", EnrolmentAnswerError),
        (200, b"<html>", EnrolmentAnswerError),
        (404, b"<html>", EnrolmentAnswerError),
        (422, b'{"title":"Unreadable","status":422}', EnrolmentAnswerError),
        (503, b'{"title":"Busy","status":503}', EnrolmentUnreachableError),
        (200, b" " * 70_000, EnrolmentAnswerError),
    ],
)
async def test_an_answer_that_is_none_is_named(
    tmp_path: Path, status: int, body: bytes, error: type[EnrolmentError]
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/ca":
            return web.Response(text=listener.ca_pem)
        return web.Response(status=status, body=body)

    async with listening(tmp_path / "them", answer, made_at=utc_now()) as listener:
        code = EnrolmentCode(url=listener.url, token="t", ca_sha256=listener.ca_sha256)
        with pytest.raises(error):
            await enrol(code, tmp_path / "till", keeper_for(tmp_path / "till"), FACTS, now=utc_now())

    assert not (tmp_path / "till" / FILE_NAME).exists()


def test_a_register_that_was_never_enrolled_says_how(tmp_path: Path) -> None:
    with pytest.raises(NotEnrolledError, match="tillside enroll"):
        load_enrolment(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"device":1}', b'{"device":"\xff"}'])
def test_a_damaged_file_says_what_is_kept(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)

    with pytest.raises(EnrolmentDamagedError, match="queue is kept"):
        load_enrolment(tmp_path)


def test_a_lost_key_is_named(tmp_path: Path) -> None:
    enrolment = Enrolment(
        device="d",
        store="12",
        register="3",
        url="https://centre.example",
        ca_pem="",
        centre_epoch="c",
        program_key="A" * 43,
    )
    with pytest.raises(EnrolmentDamagedError, match="device's key"):
        device_key(enrolment, keeper_for(tmp_path))


async def test_a_code_that_leaves_the_register_open_goes_nowhere_until_it_is_said(tmp_path: Path) -> None:
    async with running_centre(tmp_path / "centre") as centre:
        code = parse_code(centre.code("*"))
        keeper = keeper_for(tmp_path / "till")

        with pytest.raises(RegisterUnsaidError, match="enroll --register"):
            await enrol(code, tmp_path / "till", keeper, FACTS, now=utc_now())
        enrolment = (await enrol(code, tmp_path / "till", keeper, FACTS, now=utc_now(), register="7")).enrolment

    assert (enrolment.store, enrolment.register) == ("12", "7")
