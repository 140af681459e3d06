"""The scan test: asks for the codes of the sheet one by one, and says of each what is wrong.

Owns the order of questions and the report. What is wrong with a code, `diagnose` knows. Never keeps what was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from msgspec import Struct

from agent.doctor.diagnose import diagnose, diagnose_silence
from agent.doctor.findings import Finding, FindingKind, joined
from agent.doctor.listening import QUIET_S, Ear, next_code
from agent.doctor.sheet import CODES, SheetCode

# Long enough to find a code on the sheet and aim at it.
WAITED_S = 20.0
# A scanner from which nothing came for the first codes is not connected, or off.
MAX_SILENT = 3
# Another code than the one asked for is asked for again.
MAX_TRIES = 3

Result = Literal["right", "faulty", "not_read", "untested"]


class CodeResult(Struct, frozen=True, kw_only=True):
    """How one code of the sheet was read; `faults` are the kinds of what is wrong with it."""

    number: int
    title: str
    result: Result
    faults: tuple[FindingKind, ...] = ()


class ScanTestReport(Struct, frozen=True, kw_only=True):
    """The test of one scanner: each code, and everything found, the problems first."""

    scanner: str
    driver: str
    codes: tuple[CodeResult, ...]
    findings: tuple[Finding, ...]

    @property
    def has_problem(self) -> bool:
        return any(found.severity == "problem" for found in self.findings)

    @property
    def is_whole(self) -> bool:
        return all(code.result != "untested" for code in self.codes)


class Operator(Protocol):
    """Who holds the scanner."""

    def asked(self, code: SheetCode, *, again: bool) -> None:
        """Scan this one now; `again` where another one was read."""

    def told(self, result: CodeResult, findings: Sequence[Finding]) -> None:
        """What came of it."""


class ScanTest:
    """One run. `report` may be asked at any time, so that a test that was broken off has one, too."""

    def __init__(
        self,
        scanner: str,
        ear: Ear,
        operator: Operator,
        *,
        codes: Sequence[SheetCode] = CODES,
        waited_s: float = WAITED_S,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._scanner = scanner
        self._ear = ear
        self._operator = operator
        self._codes = codes
        self._waited_s = waited_s
        self._quiet_s = quiet_s
        self._results: dict[int, CodeResult] = {}
        self._findings: list[Finding] = []

    async def run(self) -> None:
        """Asks for every code; ends early where nothing comes at all. Raises TransportError."""
        for code in self._codes:
            findings = await self._heard(code)
            self._keep(code, findings)
            results = list(self._results.values())
            if len(results) == MAX_SILENT and all(each.result == "not_read" for each in results):
                return

    def report(self) -> ScanTestReport:
        untested = {
            code.number: CodeResult(number=code.number, title=code.title, result="untested") for code in self._codes
        }
        return ScanTestReport(
            scanner=self._scanner,
            driver=self._ear.driver,
            codes=tuple((untested | self._results).values()),
            findings=joined(self._findings),
        )

    async def _heard(self, code: SheetCode) -> tuple[Finding, ...]:
        findings: tuple[Finding, ...] = ()
        for attempt in range(MAX_TRIES):
            self._operator.asked(code, again=attempt > 0)
            chunks = await next_code(self._ear, within_s=self._waited_s, quiet_s=self._quiet_s)
            findings = diagnose(code, self._ear.code(chunks)) if chunks else diagnose_silence(code)
            if not any(found.kind == "other_code" for found in findings):
                break
        return findings

    def _keep(self, code: SheetCode, findings: tuple[Finding, ...]) -> None:
        faults = tuple(found.kind for found in findings)
        wrong = any(found.severity == "problem" for found in findings)
        result: Result = "not_read" if "not_read" in faults else "faulty" if wrong else "right"
        self._results[code.number] = CodeResult(number=code.number, title=code.title, result=result, faults=faults)
        self._findings += findings
        self._operator.told(self._results[code.number], findings)
