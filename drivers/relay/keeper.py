"""Makes printed jobs and scans durable, in a thread of its own, all that wait at once with one sync.

Owns the grouping, and what happens to a job that the disk refuses: it waits in memory, within a limit,
until the disk takes it. Never raises into the passage of a sale.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.relay.announce import Announcer
from drivers.relay.inbox import Inbox
from drivers.relay.spool import Job, Origin, SpoolWriter, encode_record
from drivers.relay.status import SpoolFigures, StatusFile

# Jobs that are printed and not durable yet, in all: 1,000 receipts of 4 KiB in a relay of under 30 MB.
MAX_WAITING_BYTES: Final = 4 * 1024 * 1024
# A job is an object of 1 to 2 KiB beside its bytes, and a scan has ten of those.
MAX_WAITING_JOBS: Final = 4096
# One group on its way to the disk.
GROUP_BYTES: Final = 512 * 1024
# A disk that refused is tried again this often, and with each new job.
RETRY_EVERY_S: Final = 5.0


Tell = Callable[[bool], object]
"""Hears, from any thread, whether a job is durable."""


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A job on its way to the disk. `late` is set by who prints before it is there."""

    job: Job
    origin: Origin
    tell: Tell | None
    late: bool = False
    is_durable: bool = False

    def settle(self, *, durable: bool) -> None:
        self.is_durable = durable
        tell, self.tell = self.tell, None
        if tell is not None:
            tell(durable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """What the log calls a job, and what goes on while its disk does not."""

    job: str
    goes_on: str


PRINTED: Final = Wording(job="a printed job", goes_on="receipts print")
SCANNED: Final = Wording(job="a scanned code", goes_on="codes reach the POS")


class JobKeeper:
    """Takes jobs from any thread and brings them to the spool in the order they came."""

    def __init__(
        self,
        *,
        writer: SpoolWriter,
        status: StatusFile[SpoolFigures],
        announcer: Announcer,
        wording: Wording = PRINTED,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
        retry_every_s: float = RETRY_EVERY_S,
    ) -> None:
        self._writer = writer
        self._status = status
        self._announcer = announcer
        self._wording = wording
        self._max_waiting_bytes = max_waiting_bytes
        self._retry_every_s = retry_every_s
        self._lock = threading.Lock()
        self._waiting_jobs = 0
        self._waiting_bytes = 0
        self._inbox: Inbox[Ticket] = Inbox()
        self._refuses = False
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        status.when_changed(self.look_at_status)

    def start(self) -> None:
        self._thread.start()

    def keep(self, job: Job, origin: Origin, tell: Tell | None = None) -> Ticket:
        """Bring `job` to the disk. Returns at once.

        `tell` hears once how that went: True when the job is durable, False when the disk refused it for now (it is
        tried again) or no room was left to wait.
        """
        ticket = Ticket(job=job, origin=origin, tell=tell)
        size = len(job.payload)
        with self._lock:
            fits = self._waiting_bytes + size <= self._max_waiting_bytes and self._waiting_jobs < MAX_WAITING_JOBS
            if fits:
                self._waiting_jobs += 1
                self._waiting_bytes += size
        if fits:
            self._inbox.put(ticket)
            return ticket
        ticket.settle(durable=False)
        with self._status.changing() as figures:
            figures.unspooled += 1
        self._announcer.say(
            "error",
            "job_not_kept",
            f"{self._wording.job} is lost to the agent: as many as may wait already for a disk that takes none; free "
            "the disk of the spool",
        )
        return ticket

    def look_at_status(self) -> None:
        """The status has changed outside of this thread."""
        self._inbox.wake()

    def close(self, within_s: float) -> int:
        """Bring what waits to the disk one last time and end. Returns the number of jobs that stay unkept."""
        self._ending = True
        self._inbox.wake()
        self._thread.join(within_s)
        with self._lock:
            return self._waiting_jobs

    def _run(self) -> None:
        waiting: list[Ticket] = []
        status_due_s = self._status.due_in_s()
        while True:
            limits = [status_due_s] if status_due_s is not None else []
            if waiting:
                limits.append(self._retry_every_s)
            waiting += self._inbox.take(min(limits, default=None))
            ending = self._ending and self._inbox.is_empty
            try:
                waiting = self._bring(waiting) if waiting else []
            except Exception as error:  # noqa: BLE001  whoever waits for these jobs must be let go
                waiting = [ticket for ticket in waiting if not ticket.is_durable]
                self._refused(waiting, OSError(f"{type(error).__name__}: {error}"))
            status_due_s = self._status.due_in_s()
            if ending or status_due_s == 0:
                self._status.write()
                status_due_s = self._status.due_in_s()
            if ending:
                self._writer.close()
                return

    def _bring(self, tickets: list[Ticket]) -> list[Ticket]:
        """Bring `tickets` to the disk, group by group; return those that it does not take now."""
        while tickets:
            records = [encode_record(ticket.job, ticket.origin, late=ticket.late) for ticket in _first_group(tickets)]
            kept = self._writer.keep(records)
            self._settle(tickets[: kept.count])
            tickets = tickets[kept.count :]
            if kept.error is not None:
                self._refused(tickets, kept.error)
                return tickets
        if self._refuses:
            self._accepted()
        return []

    def _settle(self, tickets: list[Ticket]) -> None:
        size = sum(len(ticket.job.payload) for ticket in tickets)
        with self._lock:
            self._waiting_jobs -= len(tickets)
            self._waiting_bytes -= size
        for ticket in tickets:
            ticket.settle(durable=True)
        with self._status.changing() as figures:
            figures.jobs += len(tickets)
            figures.bytes += size
            if tickets:
                figures.last_job_at = tickets[-1].job.captured.wall

    def _refused(self, tickets: list[Ticket], error: OSError) -> None:
        self._refuses = True
        for ticket in tickets:
            ticket.settle(durable=False)
            ticket.late = True
        reason = error.strerror or str(error)
        with self._status.changing() as figures:
            figures.waiting = len(tickets)
            figures.spool_trouble = reason
        self._announcer.say(
            "error",
            "spool_refused",
            f"{self._wording.goes_on}, but the spool takes no jobs: {reason}. Free or mend its disk; {len(tickets)} "
            "wait in memory and are brought by themselves",
        )

    def _accepted(self) -> None:
        self._refuses = False
        with self._status.changing() as figures:
            figures.waiting = 0
            figures.spool_trouble = ""
        self._announcer.say("info", "spool_accepts", "the spool takes jobs again; those that waited are in it")


def _first_group(tickets: list[Ticket]) -> list[Ticket]:
    """At least one ticket, and as many more as GROUP_BYTES hold."""
    size = 0
    for count, ticket in enumerate(tickets):
        size += len(ticket.job.payload)
        if count and size > GROUP_BYTES:
            return tickets[:count]
    return tickets
