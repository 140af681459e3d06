"""The scan test asks for each code, waits for it, and reports what was found."""

from __future__ import annotations

import pytest

from agent.doctor.scan_test import MAX_SILENT, MAX_TRIES, ScanTest, ScanTestReport
from agent.doctor.sheet import CODES, SheetCode
from drivers.transport.port import PortUnpluggedError
from tests.agent.doctor.ears import ScriptedOperator, SpokenEar

QUIET_S = 0.002


async def run(ear: SpokenEar, operator: ScriptedOperator, waited_s: float = 5.0) -> ScanTestReport:
    test = ScanTest("counter", ear, operator, waited_s=waited_s, quiet_s=QUIET_S)
    await test.run()
    return test.report()


def right(ear: SpokenEar, code: SheetCode) -> None:
    ear.say(f"{code.aims[0]}{code.text}\r".encode())


async def test_a_good_scanner_passes() -> None:
    ear = SpokenEar()
    operator = ScriptedOperator(lambda code, _again: right(ear, code))

    report = await run(ear, operator)

    assert [code.result for code in report.codes] == ["right"] * len(CODES)
    assert (report.findings, report.has_problem, report.is_whole) == ((), False, True)
    assert operator.asks == [(code.number, False) for code in CODES]
    assert operator.results == list(report.codes)


async def test_a_code_that_comes_in_pieces_is_one() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, _again: bool) -> None:
        ear.say(*(bytes([byte]) for byte in f"{code.aims[0]}{code.text}\r".encode()))

    assert not (await run(ear, ScriptedOperator(answer))).findings


async def test_a_fault_of_several_codes_is_told_once() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, _again: bool) -> None:
        ear.say(f"{code.text}\r".encode())

    report = await run(ear, ScriptedOperator(answer))

    (found,) = report.findings
    assert (found.kind, found.codes) == ("aim_missing", tuple(code.number for code in CODES))
    assert {code.result for code in report.codes} == {"faulty"}
    assert report.codes[0].faults == ("aim_missing",)
    assert report.has_problem


async def test_a_note_is_no_fault() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, _again: bool) -> None:
        right(ear, code)
        right(ear, code)

    report = await run(ear, ScriptedOperator(answer))

    assert {code.result for code in report.codes} == {"right"}
    assert [found.kind for found in report.findings] == ["read_twice"]
    assert not report.has_problem


async def test_what_the_scanner_cannot_read_passes_by() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, _again: bool) -> None:
        if code.symbol != "qr":
            right(ear, code)

    report = await run(ear, ScriptedOperator(answer), waited_s=QUIET_S)

    assert [code.number for code in report.codes if code.result == "not_read"] == [4, 5]
    assert [(found.kind, found.codes) for found in report.findings] == [("not_read", (4, 5))]


async def test_a_dead_scanner_ends_the_test() -> None:
    ear = SpokenEar()
    operator = ScriptedOperator(lambda _code, _again: None)

    report = await run(ear, operator, waited_s=QUIET_S)

    assert len(operator.asks) == MAX_SILENT
    assert [code.result for code in report.codes[MAX_SILENT:]] == ["untested"] * (len(CODES) - MAX_SILENT)
    assert (report.has_problem, report.is_whole) == (True, False)


async def test_another_code_of_the_sheet_is_asked_for_again() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, again: bool) -> None:
        right(ear, code if again else CODES[code.number % len(CODES)])

    operator = ScriptedOperator(answer)
    report = await run(ear, operator)

    assert not report.findings
    assert operator.asks[:3] == [(1, False), (1, True), (2, False)]


async def test_always_another_code_is_a_finding_at_last() -> None:
    ear = SpokenEar()
    operator = ScriptedOperator(lambda code, _again: right(ear, CODES[code.number % len(CODES)]))

    report = await run(ear, operator)

    assert {found.kind for found in report.findings} == {"other_code"}
    assert operator.asks[: MAX_TRIES + 1] == [(1, False), (1, True), (1, True), (2, False)]


async def test_a_scanner_that_goes_leaves_a_report_of_what_was_tested() -> None:
    ear = SpokenEar()

    def answer(code: SheetCode, _again: bool) -> None:
        if code.number == 3:
            ear.unplug()
        else:
            right(ear, code)

    test = ScanTest("counter", ear, ScriptedOperator(answer), quiet_s=QUIET_S)
    with pytest.raises(PortUnpluggedError):
        await test.run()

    assert [code.result for code in test.report().codes[:3]] == ["right", "right", "untested"]
