"""Sales go on while the relay is killed, stopped and started again, and while its agent or printer is away."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import aiohttp
import pytest

from agent.control import read_control
from agent.demo.pos import Article, Item, ReceiptSpec, Shop, compose_fiscal_receipt
from agent.demo.printer import VirtualPrinter
from drivers.receipts.spool_source import SpooledJob, SpoolPosition, SpoolReader
from tests.browser.till import Till, card
from tests.drivers.relay.running import until
from tests.drivers.relay.test_process import RelayProcess, fill
from tests.faults.figures import Figures, Tell
from tests.faults.service_manager import ServiceManager
from tests.machine import MountDisk

CUT = b"\x1dVB\x00"
ASK = b"\x10\x04\x01"
ANSWER = b"\x12"
WAIT_S = 30.0
KILLS = 20
# Beside an agent, which has to keep up.
KILLS_BESIDE_AGENT = 4
DISK_BYTES = 24 * 1024 * 1024
SHOP = Shop(
    store="12",
    register="3",
    tin="109876543",
    company="KOD ČESME DOO",
    location_id="1204567",
    location="Kod Česme",
    address="ГОСПОДАР ЈЕВРЕМОВА 21",
    city="Београд-Стари Град",
    fiscal_device="TQ7XK2RD",
)


def receipt(number: int) -> bytes:
    return b"\x1b@" + b"receipt %06d 159,99\n" % number * 40 + CUT


def fiscal_receipt(number: int) -> bytes:
    spec = ReceiptSpec(
        number=number,
        number_of_kind=number,
        items=(Item(article=Article(name=f"MLEKO {number}", price_minor=15_999)),),
        issued_at=datetime.now(ZoneInfo("Europe/Belgrade")),
        cashier="Savka",
    )
    return compose_fiscal_receipt(spec, SHOP)


class Pos:
    """A till that prints until its printer has confirmed, as tills do: on a broken connection it prints anew."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.refused = 0
        self.broken = 0

    async def sell(self, job: bytes) -> None:
        async with asyncio.timeout(WAIT_S):
            while not await self._printed(job):
                self.broken += 1

    async def _printed(self, job: bytes) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except ConnectionRefusedError:
            self.refused += 1
            return False
        except ConnectionResetError:  # the relay has found its printer away before this side looked
            return False
        try:
            writer.write(job + ASK)
            return await reader.read(1) == ANSWER
        except ConnectionError:
            return False
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


def jobs_in(spool: Path) -> list[SpooledJob]:
    reader = SpoolReader(spool)
    jobs: list[SpooledJob] = []
    while more := reader.read_after(jobs[-1].position if jobs else SpoolPosition()):
        jobs += more
    return jobs


def relay_arguments(printer: VirtualPrinter, spool: Path, *more: str) -> list[str]:
    return ["relay", "--listen", "systemd:pos", "--printer", printer.address, "--spool", str(spool), *more]


@pytest.fixture
async def printer() -> AsyncIterator[VirtualPrinter]:
    virtual = VirtualPrinter()
    await virtual.switch_on()
    yield virtual
    await virtual.switch_off()


@pytest.mark.processes
async def test_a_relay_that_is_killed_again_and_again_fails_no_sale_and_loses_nothing_spooled(
    printer: VirtualPrinter, tmp_path: Path, tell: Tell
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    spool = tmp_path / "spool"
    sold: list[bytes] = []
    async with ServiceManager(tmp_path, *relay_arguments(printer, spool)) as service:
        pos = Pos(service.port)

        async def sell() -> None:
            while service.starts <= KILLS:
                sold.append(receipt(len(sold)))
                await pos.sell(sold[-1])

        async def kill() -> None:
            for number in range(KILLS):
                await service.started_again(number)
                await asyncio.sleep(chance.uniform(0, 0.1))
                service.signal(signal.SIGKILL)
                await service.started_again(number + 1)

        async with asyncio.TaskGroup() as both:
            both.create_task(sell())
            both.create_task(kill())
        code = await service.stop()

    jobs = jobs_in(spool)
    papers = [bytes(paper) for paper in printer.connections]
    lost = len(set(sold) - {job.payload for job in jobs})
    figures = Figures(
        row=4, fault="the relay killed", points=KILLS, acknowledged=len(sold), lost=lost, redelivered=pos.broken
    )
    tell(figures)
    assert code == 0
    assert pos.refused == 0, "the port stays open while the relay is away"
    assert [job for job in jobs if job.damage] == []
    assert lost == 0, "what was confirmed is in the spool"
    assert {job.payload for job in jobs} <= set(sold)
    assert all(any(paper == each + ASK for paper in papers) for each in sold), "and on paper, whole and unchanged"


@pytest.mark.processes
async def test_a_relay_that_holds_its_port_itself_refuses_while_it_is_away(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    """The control of the tests around it."""
    relay = await RelayProcess(printer.address, tmp_path).start()
    pos = Pos(int(str(relay.ready["listening"]).rpartition(":")[2]))
    await pos.sell(receipt(1))
    await relay.end(signal.SIGKILL)

    assert not await pos._printed(receipt(2))
    assert pos.refused == 1


@pytest.mark.processes
async def test_a_relay_that_is_stopped_is_found_out_and_replaced_while_the_pos_waits(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    async with ServiceManager(tmp_path, *relay_arguments(printer, spool), watchdog_s=1.0) as service:
        pos = Pos(service.port)
        await pos.sell(receipt(1))
        service.signal(signal.SIGSTOP)
        await pos.sell(receipt(2))
        await pos.sell(receipt(3))
        code = await service.stop()

    assert (code, service.hung, service.starts) == (0, 1, 2)
    assert pos.refused == 0
    assert {job.payload for job in jobs_in(spool)} == {receipt(number) for number in (1, 2, 3)}


@pytest.mark.processes
async def test_a_relay_that_is_well_is_left_alone(printer: VirtualPrinter, tmp_path: Path) -> None:
    async with ServiceManager(tmp_path, *relay_arguments(printer, tmp_path / "spool"), watchdog_s=0.4) as service:
        for number in range(3):
            await Pos(service.port).sell(receipt(number))
            await service.alive_again()
        code = await service.stop()

    assert (code, service.hung, service.starts) == (0, 0, 1)


@pytest.mark.processes
async def test_who_connects_while_the_relay_is_updated_waits_and_is_served(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    async with ServiceManager(tmp_path, *relay_arguments(printer, spool)) as service:
        pos = Pos(service.port)
        for number in range(5):
            starts = service.starts
            service.signal(signal.SIGTERM)
            await pos.sell(receipt(number))
            await service.started_again(starts)
        await service.stop()

    assert pos.refused == 0
    assert {job.payload for job in jobs_in(spool)} == {receipt(number) for number in range(5)}


@pytest.mark.processes
async def test_a_printer_that_is_off_then_slow_then_well_prints_every_receipt(
    printer: VirtualPrinter, tmp_path: Path
) -> None:
    relay = await RelayProcess(printer.address, tmp_path).start()
    pos = Pos(int(str(relay.ready["listening"]).rpartition(":")[2]))
    await pos.sell(receipt(0))
    await printer.switch_off()
    selling = asyncio.create_task(pos.sell(receipt(1)))
    await until(lambda: pos.broken >= 3)
    await printer.switch_on()
    await selling
    printer._bytes_per_s = 20_000
    for number in range(2, 6):
        await pos.sell(receipt(number))
    code = await relay.end(signal.SIGTERM)

    assert code == 0
    assert "printer_unreachable" in relay.said
    assert "printer_reached" in relay.said
    assert [job.payload for job in relay.jobs()] == [receipt(number) for number in range(6)]
    assert printer.cuts == 6


# The agent beside it


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = Till(tmp_path)
    await till.seed([])
    yield till
    await till.kill()
    till.close()


async def booked(till: Till) -> int:
    """Receipts that the agent has booked."""
    return (await asyncio.to_thread((await till.agent()).status)).queued


async def booked_all(till: Till, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            if await booked(till) >= count:
                return
            await asyncio.sleep(0.02)


@pytest.mark.processes
async def test_receipts_print_as_fast_while_the_agent_is_stopped_killed_or_updated_and_are_booked_later(
    printer: VirtualPrinter, till: Till
) -> None:
    await till.start()
    relay = await RelayProcess(printer.address, till.spool).start()
    pos = Pos(int(str(relay.ready["listening"]).rpartition(":")[2]))
    took: list[float] = []

    async def sell(count: int) -> None:
        for _ in range(count):
            started = time.perf_counter()
            await pos.sell(fiscal_receipt(len(took) + 1))
            took.append(time.perf_counter() - started)

    await sell(5)
    till.signal(signal.SIGSTOP)
    await sell(5)
    till.signal(signal.SIGCONT)
    await sell(5)
    await till.kill()
    await sell(5)
    await till.start()
    await till.stop()
    await sell(5)
    await till.start()
    await booked_all(till, len(took))
    code = await relay.end(signal.SIGTERM)

    print(f"slowest of {len(took)} receipts: {max(took) * 1000:.1f} ms")
    assert code == 0
    assert (pos.broken, printer.cuts, await booked(till)) == (0, 25, 25)
    assert relay.said == ""


@pytest.mark.processes
async def test_a_receipt_that_the_pos_prints_anew_after_a_kill_of_the_relay_is_booked_once(
    printer: VirtualPrinter, till: Till, tmp_path: Path, tell: Tell
) -> None:
    """A job that was cut off in the relay is neither kept nor booked; one that was kept already comes twice."""
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    sold: list[bytes] = []
    await till.start()
    async with ServiceManager(tmp_path, *relay_arguments(printer, till.spool)) as service:
        pos = Pos(service.port)

        async def sell() -> None:
            while service.starts <= KILLS_BESIDE_AGENT:
                sold.append(fiscal_receipt(len(sold) + 1))
                await pos.sell(sold[-1])

        async def kill() -> None:
            for number in range(KILLS_BESIDE_AGENT):
                await service.started_again(number)
                await asyncio.sleep(chance.uniform(0, 0.1))
                service.signal(signal.SIGKILL)
                await service.started_again(number + 1)

        async with asyncio.TaskGroup() as both:
            both.create_task(sell())
            both.create_task(kill())
        # What was confirmed just before a kill: its answer is lost, and the POS prints it again.
        for job in sold[:3]:
            await pos.sell(job)
        await service.stop()
    # The last in the spool are the three that were printed again.
    agent = await till.agent()
    async with asyncio.timeout(WAIT_S):
        while True:
            status = await asyncio.to_thread(agent.status)
            if status.ignored.get("seen_again", 0) >= 3 and status.queued >= len(sold):
                break
            await asyncio.sleep(0.02)

    tell(
        Figures(
            row=4,
            fault="the relay killed beside the agent",
            points=KILLS_BESIDE_AGENT,
            acknowledged=len(sold),
            lost=max(0, len(sold) - status.queued),
            double=max(0, status.queued - len(sold)),
            redelivered=pos.broken + 3,
        )
    )
    assert pos.refused == 0
    assert (status.queued, status.quarantined) == (len(sold), 0)


@pytest.mark.processes
async def test_on_a_full_disk_sales_go_on_and_all_are_booked_once_there_is_room(
    printer: VirtualPrinter, tmp_path: Path, mount_disk: MountDisk, tell: Tell
) -> None:
    # given spool and agent on one disk
    disk = mount_disk(tmp_path / "disk", DISK_BYTES)
    till = Till(disk)
    await till.seed([])
    try:
        await till.start()
        relay = await RelayProcess(printer.address, till.spool).start()
        pos = Pos(int(str(relay.ready["listening"]).rpartition(":")[2]))
        await pos.sell(fiscal_receipt(1))
        await booked_all(till, 1)

        # when it is full, and the agent is started again meanwhile
        fill(disk / "ballast")
        for number in range(2, 22):
            await pos.sell(fiscal_receipt(number))
        printed_while_full = printer.cuts
        await told_that_the_disk_is_full(till)
        await till.kill()
        await pos.sell(fiscal_receipt(22))
        (disk / "ballast").unlink()
        await till.start()
        await pos.sell(fiscal_receipt(23))

        # then
        await booked_all(till, 23)
        code = await relay.end(signal.SIGTERM)
        kept = await booked(till)
        tell(
            Figures(
                row=4, fault="a full disk", points=21, acknowledged=23, lost=max(0, 23 - kept), double=max(0, kept - 23)
            )
        )
        assert (code, pos.broken, printed_while_full, printer.cuts) == (0, 0, 21, 23)
        assert "No space left on device" in relay.said
        assert kept == 23
    finally:
        await till.kill()
        till.close()


async def told_that_the_disk_is_full(till: Till) -> None:
    """Scans cards until the cashier page and the operator's status say so: there is nothing to write otherwise."""
    agent = await till.agent()
    control = await asyncio.to_thread(read_control, till.folder / "state")
    assert control is not None
    headers = {"Authorization": f"Bearer {control.token}"}
    async with aiohttp.ClientSession() as http, asyncio.timeout(WAIT_S):
        for number in itertools.count():
            till.scan(card(number))
            async with http.ws_connect(f"http://127.0.0.1:{till.port}/v1/page", headers=headers) as events:
                state = await events.receive_json()
            if any(problem["kind"].startswith("disk_") for problem in state["problems"]):
                break
            await asyncio.sleep(0.05)
    status = await asyncio.to_thread(agent.status)
    assert any("is full: free some space" in reason for reason in status.reasons)
