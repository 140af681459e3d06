"""A register that is enrolled by what its own scanner reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.scanned_enrolment import ScannedEnrolment
from agent.scans import ScanIntake
from agent.view import NoticeKind
from drivers.scanning.enrolment_codes import PREFIX, is_enrolment_code
from drivers.scanning.scan import parse_scan
from loyalty.identification import IdentificationRule
from loyalty.instant import Instant
from sync.enrolment import (
    CODE_PREFIX,
    EnrolmentCode,
    EnrolmentUnreachableError,
    TokenRefusedError,
    code_text,
    parse_code,
)
from sync.loop import LookedUp
from tests.agent.shop import Shop, at
from tests.agent.test_rules_in_force import Scanner, configured, running, scanner
from tests.agent.test_scans import desk_of, event, intake_of
from tests.sync.centre import running_centre

__all__ = ["scanner"]

CODE = EnrolmentCode(url="https://centre.example:8443", token="a-Token_of-43-characters", ca_sha256="a" * 64)


class Page:
    def __init__(self) -> None:
        self.told: list[NoticeKind] = []

    def tell(self, kind: NoticeKind, _at: Instant) -> None:
        self.told.append(kind)


class Register:
    """Enrolled by `take`, unless `fails`."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.page = Page()
        self.spent: list[EnrolmentCode] = []
        self.is_enrolled = False
        self.go = asyncio.Event()
        self.go.set()
        self.enrolment = ScannedEnrolment(
            enrol=self._enrol,
            is_enrolled=lambda: self.is_enrolled,
            enrolled=self._enrolled,
            page=self.page,
            now=lambda: at(11),
        )

    async def _enrol(self, code: EnrolmentCode) -> None:
        await self.go.wait()
        self.spent.append(code)
        if self.fails is not None:
            raise self.fails

    def _enrolled(self) -> None:
        self.is_enrolled = True


def test_scanner_and_register_mean_the_same_code() -> None:
    assert PREFIX == CODE_PREFIX


@pytest.mark.parametrize("aim", ["", "]Q1", "]Q3"])
def test_a_scanned_code_comes_whole(aim: str) -> None:
    rules = (IdentificationRule(name="everything", lengths=()),)

    scan = parse_scan(aim + code_text(CODE) + "\r\n", rules)

    assert is_enrolment_code(scan)
    assert parse_code(scan.text) == CODE


async def test_a_code_enrols_a_register_once() -> None:
    register = Register()

    await register.enrolment.take(event(code_text(CODE)))
    await register.enrolment.take(event(code_text(CODE)))

    assert register.spent == [CODE]
    assert register.page.told == ["enrolling", "enrolled", "enrolled_already"]


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        (TokenRefusedError("used"), "enrolment_refused"),
        (EnrolmentUnreachableError("away"), "enrolment_unreachable"),
        (PermissionError("state"), "enrolment_refused"),
    ],
)
async def test_what_does_not_work_is_told_and_can_be_tried_again(fails: Exception, told: NoticeKind) -> None:
    register = Register(fails)

    with capture_logs() as logged:
        await register.enrolment.take(event(code_text(CODE)))
    register.fails = None
    await register.enrolment.take(event(code_text(CODE)))

    assert register.page.told == ["enrolling", told, "enrolling", "enrolled"]
    assert logged
    assert CODE.token not in str(logged)


async def test_half_a_code_is_spent_nowhere() -> None:
    register = Register()

    await register.enrolment.take(event(code_text(CODE)[:-20]))

    assert register.spent == []
    assert register.page.told == ["enrolling", "enrolment_code_broken"]


async def test_a_scan_while_one_is_at_work_is_left_alone() -> None:
    register = Register()
    register.go.clear()
    first = asyncio.create_task(register.enrolment.take(event(code_text(CODE))))
    await asyncio.sleep(0)

    await register.enrolment.take(event(code_text(CODE)))
    register.go.set()
    await first

    assert register.spent == [CODE]
    assert register.page.told == ["enrolling", "enrolled"]


async def test_the_code_is_nowhere_kept_shown_or_asked_about(shop: Shop) -> None:
    asked: list[str] = []

    async def centre(code: str) -> LookedUp:
        asked.append(code)
        return LookedUp()

    desk, register = desk_of(shop), Register()
    for intake in (intake_of(shop, desk, centre, enrol_by=register.enrolment.take), intake_of(shop, desk, centre)):
        await settled(intake, code_text(CODE))

    assert register.spent == [CODE]
    assert asked == []
    assert shop.store.unused_scans() == ()
    assert desk.state().customer is None
    assert CODE.token not in desk.told.decode()
    assert all(CODE.token.encode() not in file.read_bytes() for file in files_of(shop.folder))


async def settled(intake: ScanIntake, text: str) -> None:
    await intake.take(event(text))
    await intake.settled()


def files_of(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_a_register_that_runs_is_enrolled_by_its_scanner_and_tells_the_code_to_nobody(
    tmp_path: Path, scanner: Scanner, capfd: pytest.CaptureFixture[str]
) -> None:
    # Given a register that belongs to no centre
    config = configured(tmp_path, scanner, '[register]\nregister = "7"\n')
    async with running_centre(tmp_path / "centre") as centre, running(config, scanner) as till:
        assert not till.status.badge.enrolled
        # When its scanner reads the code of its store
        code = centre.code("*")
        await scanner.scan(code, "]Q1")
        # Then it is the register that its settings name, and goes on without a restart
        await till.until(lambda: till.status.badge.online)
        assert (till.status.place.store, till.status.place.register) == ("12", "7")
        # And the same code read again changes nothing
        await scanner.scan(code, "]Q1")
        await scanner.scan("2912345678900", "]C0")
        await till.until(till.kept)
        assert till.kept() == ["2912345678900"]

    output = capfd.readouterr()
    for secret in (parse_code(code).token, code):
        assert secret not in output.out + output.err
        assert all(secret.encode() not in file.read_bytes() for file in files_of(tmp_path / "state"))
