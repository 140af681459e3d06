"""Refusals of the device API as RFC 9457 problem documents.

Owns one named error for each way a request can be refused, its status and what the other side should
do. Errors are raised anywhere below the API and translated once, at its edge.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET

from loyalty.member import CardState
from sync.wire import NobodysCode, Refusal, SequenceGap


class RefusedError(Exception):
    """A request is refused. The message says what to do; it holds nothing personal."""

    status: ClassVar[int]
    name: ClassVar[str]
    title: ClassVar[str]
    retry_after_s: int | None = None

    def refusal(self) -> Refusal:
        return Refusal(type=self.type(), title=self.title, status=self.status, detail=str(self))

    @classmethod
    def type(cls) -> str:
        return f"urn:tillside:problem:{cls.name}"


class TokenRefusedError(RefusedError):
    """`reason` is one word of a few, for the log and the numbers."""

    status, name, title = 403, "enrolment-token", "This enrolment code cannot be used"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class NotSignedError(RefusedError):
    status, name, title = 401, "signature", "The request is not signed by a device of this centre"


class DeviceRevokedError(RefusedError):
    status, name, title = 403, "device-revoked", "This device was revoked"


class RequestIdReusedError(RefusedError):
    status, name, title = 400, "request-id-reused", "This request id belongs to another request"


class WrongDeviceError(RefusedError):
    status, name, title = 403, "wrong-device", "The body names another device than the one that signed"


class UnreadableError(RefusedError):
    status, name, title = 422, "unreadable", "The request cannot be read"


class TooLargeError(RefusedError):
    status, name, title = 413, "too-large", "The request is too large"


class SequenceGapError(RefusedError):
    status, name, title = 409, "sequence-gap", "Entries before these have not arrived"

    def __init__(self, expected_seq: int) -> None:
        super().__init__(f"send again from seq {expected_seq}")
        self.expected_seq = expected_seq

    def refusal(self) -> SequenceGap:
        return SequenceGap(
            type=self.type(),
            title=self.title,
            status=self.status,
            detail=str(self),
            expected_seq=self.expected_seq,
        )


class EpochFencedError(RefusedError):
    status, name, title = 410, "epoch-fenced", "This epoch takes no more entries"


class SnapshotNeededError(RefusedError):
    status, name, title = 410, "snapshot-needed", "The feed cannot be continued from there"


class NotFoundError(RefusedError):
    status, name, title = 404, "not-found", "There is nothing under this address"


class NobodysCodeError(RefusedError):
    status, name, title = 404, "nobodys-code", "No member has this code"

    def __init__(self, card: CardState | None) -> None:
        super().__init__("the card is ours and nobody has it" if card else "no member has this code")
        self.card = card

    def refusal(self) -> NobodysCode:
        return NobodysCode(
            type=self.type(), title=self.title, status=self.status, detail=str(self), card=self.card or UNSET
        )


class GuessingError(RefusedError):
    status, name, title = 429, "guessing", "Too many codes that nobody has"

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"ask again in {wait_s} s; a sale keeps its code and does not need the answer")
        self.retry_after_s = wait_s


class MethodError(RefusedError):
    status, name, title = 405, "method", "This address does not take this method"


class TooManyRefusedError(RefusedError):
    status, name, title = 429, "too-many-codes", "Too many enrolment codes that cannot be used came from there"

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"give the same code again in {wait_s} s")
        self.retry_after_s = wait_s


class BusyError(RefusedError):
    status, name, title, retry_after_s = 503, "busy", "The centre cannot store this now", 5


class SnapshotInTheMakingError(RefusedError):
    status, name, title, retry_after_s = 503, "snapshot-in-the-making", "The snapshot is not ready yet", 2


class BrokenError(RefusedError):
    status, name, title, retry_after_s = 500, "broken", "The centre failed", 30
