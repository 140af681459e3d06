"""Jobs reach the disk in the order they came; a disk that refuses costs no one a wait and no job."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from drivers.relay.announce import Announcer
from drivers.relay.clock import Moment, system_clock
from drivers.relay.keeper import JobKeeper
from drivers.relay.spool import STATUS_NAME, Job, Origin, SpoolWriter
from drivers.relay.status import Facts, Status

ORIGIN = Origin(register="3", connection="1-1", boot="boot")
WAIT_S = 20.0


def job(text: bytes) -> Job:
    captured = Moment(wall=datetime(2026, 11, 22, 9, 0, tzinfo=UTC), monotonic_ns=7)
    return Job(payload=text, length=len(text), ended_by="cut", captured=captured)


class Disk:
    """Makes files durable, or fails, or hangs, as told."""

    def __init__(self) -> None:
        self.syncs = 0
        self.is_broken = False
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.is_asked = threading.Event()

    def sync(self, handle: int) -> None:
        self.syncs += 1
        self.is_asked.set()
        self.may_answer.wait(WAIT_S)
        if self.is_broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(handle)


@contextmanager
def keeping(
    folder: Path,
    disk: Disk,
    *,
    retry_every_s: float = WAIT_S,
    max_waiting_bytes: int = 1_000_000,
    cap_bytes: int = 1_000_000,
) -> Iterator[JobKeeper]:
    facts = Facts(pid=1, listen="127.0.0.1:1", printer="127.0.0.1:2", register="3", started_at=system_clock().wall)
    keeper = JobKeeper(
        writer=SpoolWriter(folder, cap_bytes=cap_bytes, sync=disk.sync),
        status=Status(folder, facts),
        announcer=Announcer(as_json=True),
        retry_every_s=retry_every_s,
        max_waiting_bytes=max_waiting_bytes,
    )
    keeper.start()
    try:
        yield keeper
    finally:
        disk.may_answer.set()
        keeper.close(WAIT_S)


def kept(keeper: JobKeeper, text: bytes) -> Future[bool]:
    """Brings a job to the disk; whether it is durable, which is told once."""
    durable: Future[bool] = Future()
    keeper.keep(job(text), ORIGIN, durable.set_result)
    return durable


def spooled(folder: Path) -> list[SpooledJob]:
    return SpoolReader(folder).read_after(SpoolPosition())


def texts(folder: Path) -> list[bytes]:
    return [found.payload for found in spooled(folder)]


def status(folder: Path) -> dict[str, object]:
    figures: dict[str, object] = json.loads((folder / STATUS_NAME).read_bytes())
    return figures


def test_the_status_follows_figures_that_no_job_changes(tmp_path: Path) -> None:
    facts = Facts(pid=1, listen="", printer="", register="3", started_at=system_clock().wall)
    shown = Status(tmp_path, facts)
    keeper = JobKeeper(
        writer=SpoolWriter(tmp_path, cap_bytes=1_000_000), status=shown, announcer=Announcer(as_json=True)
    )
    keeper.start()
    try:
        until((tmp_path / STATUS_NAME).exists)

        with shown.changing() as figures:
            figures.printer_trouble = "off"

        until(lambda: status(tmp_path)["printer_trouble"] == "off")
    finally:
        keeper.close(WAIT_S)


def until(so: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not so():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_kept_job_is_durable_when_it_says_so(tmp_path: Path) -> None:
    disk = Disk()
    with keeping(tmp_path, disk) as keeper:
        assert kept(keeper, b"one").result(WAIT_S) is True
        assert disk.syncs == 1
        assert texts(tmp_path) == [b"one"]


def test_jobs_that_wait_together_share_a_sync(tmp_path: Path) -> None:
    disk = Disk()
    with keeping(tmp_path, disk) as keeper:
        disk.may_answer.clear()
        first = kept(keeper, b"first")
        assert disk.is_asked.wait(WAIT_S)
        others = [kept(keeper, b"other %d" % number) for number in range(20)]
        disk.may_answer.set()

        assert all(durable.result(WAIT_S) for durable in [first, *others])

    assert disk.syncs == 2
    assert texts(tmp_path) == [b"first", *(b"other %d" % number for number in range(20))]


def test_a_refusing_disk_lets_go_at_once_and_gets_the_jobs_when_it_is_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = Disk()
    disk.is_broken = True
    with keeping(tmp_path, disk) as keeper:
        refused = [kept(keeper, text).result(WAIT_S) for text in (b"one", b"two")]
        disk.is_broken = False
        accepted = kept(keeper, b"three").result(WAIT_S)

    assert refused == [False, False]
    assert accepted is True
    assert [(found.payload, found.late) for found in spooled(tmp_path)] == [
        (b"one", True),
        (b"two", True),
        (b"three", False),
    ]
    assert (status(tmp_path)["jobs"], status(tmp_path)["waiting"], status(tmp_path)["spool_trouble"]) == (3, 0, "")
    said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in said] == [("error", "spool_refused"), ("info", "spool_accepts")]
    assert "Input/output error" in said[0]["message"]


def test_a_mended_disk_is_found_out_without_a_new_job(tmp_path: Path) -> None:
    disk = Disk()
    disk.is_broken = True
    with keeping(tmp_path, disk, retry_every_s=0.01) as keeper:
        assert kept(keeper, b"one").result(WAIT_S) is False
        disk.is_asked.clear()
        disk.is_broken = False
        assert disk.is_asked.wait(WAIT_S)

    assert texts(tmp_path) == [b"one"]


def test_what_waits_for_a_disk_is_bounded_and_what_is_lost_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = Disk()
    disk.is_broken = True
    with keeping(tmp_path, disk, max_waiting_bytes=250) as keeper:
        for number in range(4):
            assert kept(keeper, b"%d" % number * 100).result(WAIT_S) is False
        disk.is_broken = False

    assert texts(tmp_path) == [b"0" * 100, b"1" * 100], "at its end the keeper tries once more"
    assert status(tmp_path)["unspooled"] == 2
    assert "job_not_kept" in capsys.readouterr().err


def test_a_full_spool_gets_the_jobs_once_the_agent_has_acknowledged(tmp_path: Path) -> None:
    with keeping(tmp_path, Disk(), cap_bytes=1000) as keeper:
        assert kept(keeper, b"a" * 600).result(WAIT_S) is True
        assert kept(keeper, b"b" * 600).result(WAIT_S) is False
        reader = SpoolReader(tmp_path)
        (first,) = reader.read_after(SpoolPosition())
        reader.acknowledge(first.position)
        assert kept(keeper, b"c" * 10).result(WAIT_S) is True

    following = SpoolReader(tmp_path).read_after(first.position)
    assert [found.payload for found in following] == [b"b" * 600, b"c" * 10]


def test_closing_says_how_many_jobs_a_hanging_disk_still_owes(tmp_path: Path) -> None:
    disk = Disk()
    with keeping(tmp_path, disk) as keeper:
        disk.may_answer.clear()
        keeper.keep(job(b"one"), ORIGIN)
        assert disk.is_asked.wait(WAIT_S)
        keeper.keep(job(b"two"), ORIGIN)

        assert keeper.close(0.0) == 2


def test_a_fault_of_our_own_lets_go_of_who_waits(tmp_path: Path) -> None:
    disk = Disk()

    def faulty(handle: int) -> None:
        if disk.is_broken:
            raise ValueError("a mistake in the relay")
        os.fdatasync(handle)

    facts = Facts(pid=1, listen="", printer="", register="", started_at=system_clock().wall)
    keeper = JobKeeper(
        writer=SpoolWriter(tmp_path, cap_bytes=1_000_000, sync=faulty),
        status=Status(tmp_path, facts),
        announcer=Announcer(as_json=True),
    )
    keeper.start()
    disk.is_broken = True
    assert kept(keeper, b"one").result(WAIT_S) is False
    disk.is_broken = False
    assert kept(keeper, b"two").result(WAIT_S) is True
    assert keeper.close(WAIT_S) == 0
    assert texts(tmp_path)[-1] == b"two"
