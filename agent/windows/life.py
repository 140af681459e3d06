"""The life of a Windows service as its manager sees it: which state is told when, and what a control asks for.

A pure core: controls and moments in, statuses out (winsvc.h, SERVICE_STATUS). Never calls Windows;
`agent.windows.host` does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct

SERVICE_NAME: Final = "Tillside"
# How long the manager shall wait for the next status while the agent opens its store, or ends. A store that was
# damaged is put aside first, and what is open is finished before the agent ends.
START_WAIT_MS: Final = 60_000
STOP_WAIT_MS: Final = 20_000
# ERROR_SERVICE_SPECIFIC_ERROR: the real code stands beside it. The manager takes it for a failure, and recovers.
SPECIFIC_ERROR: Final = 1066
# Answers to a control: NO_ERROR and ERROR_CALL_NOT_IMPLEMENTED.
HEARD: Final = 0
NOT_OURS: Final = 120


class State(IntEnum):
    """SERVICE_STATUS.dwCurrentState."""

    STOPPED = 1
    START_PENDING = 2
    STOP_PENDING = 3
    RUNNING = 4


class Control(IntEnum):
    """What the manager asks for, as far as this service listens."""

    STOP = 1
    INTERROGATE = 4
    SHUTDOWN = 5


# SERVICE_ACCEPT_STOP and SERVICE_ACCEPT_SHUTDOWN.
ACCEPTS: Final = 0x1 | 0x4


class Status(Struct, frozen=True, kw_only=True):
    """What the manager is told; times in milliseconds."""

    state: State
    accepts: int = 0
    error: int = 0
    specific_error: int = 0
    checkpoint: int = 0
    wait_ms: int = 0


class Life:
    """One run of the service, from its start to `ended`."""

    def __init__(self) -> None:
        self.status = Status(state=State.START_PENDING, checkpoint=1, wait_ms=START_WAIT_MS)

    def running(self) -> Status:
        """The agent answers. Where a stop was asked for meanwhile, that stays."""
        if self.status.state is State.START_PENDING:
            self.status = Status(state=State.RUNNING, accepts=ACCEPTS)
        return self.status

    def asked(self, control: int) -> tuple[int, bool]:
        """The answer to a control, and whether the agent shall stop; `status` is what to tell then.

        A stop while starting is taken too: the manager sends it at a shutdown of the machine.
        """
        if control == Control.INTERROGATE:
            return HEARD, False
        if control not in {Control.STOP, Control.SHUTDOWN}:
            return NOT_OURS, False
        if self.status.state in {State.STOP_PENDING, State.STOPPED}:
            return HEARD, False
        self.status = Status(state=State.STOP_PENDING, checkpoint=1, wait_ms=STOP_WAIT_MS)
        return HEARD, True

    def ended(self, code: int) -> Status:
        """It ended with the exit code `code`; anything but 0 is a failure that the manager acts on."""
        error = SPECIFIC_ERROR if code else 0
        self.status = Status(state=State.STOPPED, error=error, specific_error=code)
        return self.status
