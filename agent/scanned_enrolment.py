"""A register that belongs to no centre is enrolled by the code that its own scanner reads.

Owns that this is done only while it is not enrolled, once at a time, and what the page says of it. The code itself is
never shown or logged: it opens a way in until it is used.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from agent.view import NoticeKind
from drivers.scanning.driver import ScanEvent
from loyalty.instant import Instant
from sync.enrolment import (
    CodeMalformedError,
    EnrolmentCode,
    EnrolmentError,
    EnrolmentUnreachableError,
    parse_code,
)
from sync.keys import SecretError
from sync.network import NetworkSettingError

log = structlog.get_logger(__name__)


class Page(Protocol):
    """The cashier's page (`agent.desk.Desk`)."""

    def tell(self, kind: NoticeKind, at: Instant) -> None: ...


class ScannedEnrolment:
    """Takes the enrolment codes that the scanners of a register read.

    `enrol` spends a code and keeps what came of it (`sync.enrolling.enrol`); `enrolled` is called once that stands.
    """

    def __init__(
        self,
        *,
        enrol: Callable[[EnrolmentCode], Awaitable[object]],
        is_enrolled: Callable[[], bool],
        enrolled: Callable[[], None],
        page: Page,
        now: Callable[[], Instant],
    ) -> None:
        self._enrol = enrol
        self._is_enrolled = is_enrolled
        self._enrolled = enrolled
        self._page = page
        self._now = now
        self._at_work = False

    async def take(self, event: ScanEvent) -> None:
        if self._at_work:
            return
        if self._is_enrolled():
            self._page.tell("enrolled_already", event.at)
            return
        self._at_work = True
        try:
            self._page.tell("enrolling", event.at)
            self._page.tell(await self._outcome(event.scan.text), self._now())
        finally:
            self._at_work = False

    async def _outcome(self, text: str) -> NoticeKind:
        try:
            await self._enrol(parse_code(text))
        except CodeMalformedError:
            return "enrolment_code_broken"
        except EnrolmentUnreachableError as error:
            log.warning("enrolment_unreachable", problem=str(error))
            return "enrolment_unreachable"
        except (EnrolmentError, NetworkSettingError, SecretError, OSError) as error:
            log.warning("enrolment_refused", problem=str(error))
            return "enrolment_refused"
        self._enrolled()
        return "enrolled"
