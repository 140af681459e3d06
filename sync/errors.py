"""What can go wrong between a register and its centre, translated once, in words for the operator.

Owns the errors that `sync.client` raises and that `sync.session` decides on. Never raised for what the
store or a program does.
"""

from __future__ import annotations


class CentreError(Exception):
    """An exchange with the centre gave no usable answer. Selling goes on; the queue keeps everything."""


class CentreUnavailableError(CentreError):
    """No answer: no network, no listener, a deadline passed, or the centre itself failed."""


class CentreProxyError(CentreUnavailableError):
    """The proxy on the way to the centre is not there, or does not let this register through."""


class CentreUntrustedError(CentreUnavailableError):
    """Whoever answered is not the centre this register was enrolled with."""


class CentreAnswerError(CentreUnavailableError):
    """What answered does not speak the protocol: a captive portal, a proxy's page, a cut-off answer."""


class CentreBusyError(CentreError):
    """429 or 503: ask again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the centre is busy and asks for {retry_after_s:.0f} s; nothing needs to be done")
        self.retry_after_s = retry_after_s


class CentreRefusedError(CentreError):
    """The centre answered with another 4xx. `expected_seq` comes with a 409 of ingest."""

    def __init__(self, status: int, detail: str, expected_seq: int | None = None) -> None:
        super().__init__(f"the centre refused ({status}): {detail}")
        self.status = status
        self.detail = detail
        self.expected_seq = expected_seq
