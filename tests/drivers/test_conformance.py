"""The built-in driver conforms; and each check finds drivers that do not, one mistake each."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress

import pytest
import structlog
from msgspec.structs import replace

from drivers import testing
from drivers.clock import Clock
from drivers.scanning.driver import Emit, Keeping, Ready, ScanEvent
from drivers.scanning.framing import ScanFrame, ScanFramer
from drivers.scanning.scan import Parse, parse_scan
from drivers.scanning.serial_scanner import SerialScannerDriver
from drivers.testing import SCANNER_CHECKS, ConformanceError, Sample, ScannerCheck, ScannerUnderTest, check_scanner
from drivers.transport.port import Transport, TransportError
from drivers.transport.tcp import TcpTransport
from loyalty.instant import Instant

CODES = (
    Sample(sent=b"]C0M-001234\r", text="M-001234"),
    Sample(sent=b"]E04006381333931\r", text="4006381333931"),
    Sample(sent=b"]Q1TS:WALLET:778899\r", text="TS:WALLET:778899"),
)


def under_test(driver: type[SerialScannerDriver], **options: object) -> ScannerUnderTest:
    return ScannerUnderTest(driver=driver, codes=CODES, options=options)


async def test_the_built_in_driver_conforms() -> None:
    await check_scanner(SerialScannerDriver, codes=CODES)


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ({"aim": "required"}, CODES),
        (
            {"prefix": "\x02", "suffix": "\x03\r\n"},
            [
                Sample(sent=b"\x02]C0LINE 1\r\nLINE 2\x03\r\n", text="LINE 1LINE 2"),
                Sample(sent=b"\x02]C0M-9\x03\r\n", text="M-9"),
            ],
        ),
        ({"suffix": "\t"}, [Sample(sent=b"\xc5\xbdIVA-1\t", text="ŽIVA-1"), Sample(sent=b"IVA-2\t", text="IVA-2")]),
    ],
    ids=["aim required", "prefix and long suffix", "tab, and no AIM identifier"],
)
async def test_it_conforms_however_it_is_set(options: dict[str, object], codes: list[Sample]) -> None:
    await check_scanner(SerialScannerDriver, codes=codes, options=options)


def test_one_code_is_too_few_to_show_anything() -> None:
    with pytest.raises(ValueError, match="two codes"):
        ScannerUnderTest(driver=SerialScannerDriver, codes=CODES[:1] * 2, options={})


# One mistake each


class AcceptsAnything(SerialScannerDriver):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        super().__init__({key: options.get(key, "tcp://127.0.0.1:1") for key in ("name", "port")}, clock, parse)


class RefusesInItsOwnWords(SerialScannerDriver):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        try:
            super().__init__(options, clock, parse)
        except ValueError as error:
            raise KeyError("wrong") from error


OPENED_EARLY: list[socket.socket] = []


class OpensTooEarly(SerialScannerDriver):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        super().__init__(options, clock, parse)
        number = int(self.options.port.rpartition(":")[2])
        OPENED_EARLY.append(socket.create_connection(("127.0.0.1", number)))


class ReadyTooEarly(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        ready()
        await super().run(emit, lambda: None)


class ReadyTwice(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        def twice() -> None:
            ready()
            ready()

        await super().run(emit, twice)


class MissingInItsOwnWords(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        try:
            await super().run(emit, ready)
        except TransportError as error:
            raise OSError("no scanner") from error


class ReadsAreCodes(ScanFramer):
    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        return [ScanFrame(data=data, at=at)]


class CountsOnReads(SerialScannerDriver):
    def framer(self) -> ScanFramer:
        return ReadsAreCodes()


class ParsesByItself(SerialScannerDriver):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        super().__init__(options, clock, parse_scan)


class NamesItselfOtherwise(SerialScannerDriver):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        super().__init__({**options, "name": "Acme"}, clock, parse)


class TakesText(ScanFramer):
    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        data.decode("ascii")
        return super().feed(data, at)


class ChokesOnNoise(SerialScannerDriver):
    def framer(self) -> ScanFramer:
        return TakesText()


class WaitsForEver(SerialScannerDriver):
    def framer(self) -> ScanFramer:
        return ScanFramer(idle_ms=10**9)


class EndsQuietly(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        with suppress(TransportError):
            await super().run(emit, ready)


class OneBehind(ScanFramer):
    def __init__(self) -> None:
        super().__init__()
        self._kept: list[ScanFrame] = []

    def feed(self, data: bytes, at: Instant) -> list[ScanFrame]:
        frames = [*self._kept, *super().feed(data, at)]
        self._kept = frames[-1:]
        return frames[:-1]


class LosesTheLast(SerialScannerDriver):
    def framer(self) -> ScanFramer:
        return OneBehind()


class Plain(SerialScannerDriver):
    """Reads a code and waits for the agent, in turns."""

    async def run(self, emit: Emit, ready: Ready) -> None:
        await self._transport.open()
        try:
            ready()
            while True:
                for frame in await self._next_frames():
                    if (event := self._hearing.event(frame.data, frame.at)) is not None:
                        await self.take(emit, replace(event, at=self._clock()))
        finally:
            await self._transport.close()

    async def take(self, emit: Emit, event: ScanEvent) -> None:
        await emit(event)


class EmitsAtOnce(Plain):
    def __init__(self, options: Mapping[str, object], clock: Clock, parse: Parse) -> None:
        super().__init__(options, clock, parse)
        self._emitting: set[asyncio.Future[Keeping]] = set()

    async def run(self, emit: Emit, ready: Ready) -> None:
        try:
            await super().run(emit, ready)
        finally:
            for task in self._emitting:
                task.cancel()
            await asyncio.gather(*self._emitting, return_exceptions=True)

    async def take(self, emit: Emit, event: ScanEvent) -> None:
        self._emitting.add(asyncio.ensure_future(emit(event)))


class DropsWhatDoesNotFit(Plain):
    ahead = 64

    async def run(self, emit: Emit, ready: Ready) -> None:
        self._heard: asyncio.Queue[ScanEvent] = asyncio.Queue(self.ahead)

        async def hand_over() -> None:
            while True:
                await emit(await self._heard.get())

        handing = asyncio.create_task(hand_over())
        try:
            await super().run(emit, ready)
        finally:
            handing.cancel()
            await asyncio.gather(handing, return_exceptions=True)

    async def take(self, emit: Emit, event: ScanEvent) -> None:
        with suppress(asyncio.QueueFull):
            self._heard.put_nowait(event)


class TakesWithoutEnd(DropsWhatDoesNotFit):
    ahead = 0


LEFT_OPEN: list[LeavesOpenTransport] = []


class LeavesOpenTransport(TcpTransport):
    async def close(self) -> None:
        LEFT_OPEN.append(self)


class ForgetsToClose(SerialScannerDriver):
    def transport(self) -> Transport:
        return LeavesOpenTransport("127.0.0.1", int(self.options.port.rpartition(":")[2]))


class HidesErrors(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        try:
            await super().run(emit, ready)
        except LookupError as error:
            raise RuntimeError("something went wrong") from error


class LeavesTasks(SerialScannerDriver):
    async def run(self, emit: Emit, ready: Ready) -> None:
        self._left = asyncio.create_task(asyncio.sleep(0.5), name="left behind")
        await super().run(emit, ready)


class LogsWithStructlog(SerialScannerDriver):
    async def _next_frames(self) -> list[ScanFrame]:
        frames = await super()._next_frames()
        structlog.get_logger().info("heard", codes=frames)
        return frames


class LogsWithLogging(SerialScannerDriver):
    async def _next_frames(self) -> list[ScanFrame]:
        frames = await super()._next_frames()
        logging.getLogger("acme").debug("heard %s", frames)
        return frames


class PrintsTornCodes(ScanFramer):
    def idle(self, now: Instant) -> list[ScanFrame]:
        if self._last is not None and now.ns_since(self._last) > 10**9:
            print("torn:", self._pending)
        return super().idle(now)


class PrintsWhatItDrops(SerialScannerDriver):
    def framer(self) -> ScanFramer:
        return PrintsTornCodes()


Mistake = tuple[ScannerCheck, type[SerialScannerDriver], str]
MISTAKES: list[Mistake] = [
    (testing.wrong_options_are_refused, AcceptsAnything, "'no_such_option' is accepted.*typed_options"),
    (testing.wrong_options_are_refused, RefusesInItsOwnWords, "raises KeyError.*typed_options"),
    (testing.wrong_options_are_refused, OpensTooEarly, "`__init__` opens the device"),
    (testing.ready_comes_once_and_after_opening, ReadyTooEarly, "could not be opened"),
    (testing.ready_comes_once_and_after_opening, ReadyTwice, "`ready` is called 2 times"),
    (testing.ready_comes_once_and_after_opening, MissingInItsOwnWords, "OSError.*Raise a TransportError"),
    (testing.codes_are_heard_in_any_split, CountsOnReads, "A read may end anywhere"),
    (testing.codes_are_heard_in_any_split, ParsesByItself, "without the `parse`"),
    (testing.codes_are_heard_in_any_split, NamesItselfOtherwise, "The reader of a scan is 'Acme'"),
    (testing.a_torn_code_is_not_heard, CountsOnReads, "unplugged after 1 bytes"),
    (testing.noise_spoils_no_later_code, ChokesOnNoise, "let no bytes end `run`.*UnicodeDecodeError"),
    (testing.noise_spoils_no_later_code, WaitsForEver, "Drop what is unfinished after a while"),
    (testing.an_unplugged_device_ends_the_run, EndsQuietly, "ends `run` with None"),
    (testing.an_unplugged_device_ends_the_run, LosesTheLast, "2 of 3 codes are heard"),
    (testing.a_busy_agent_loses_nothing, EmitsAtOnce, "while it still runs"),
    (testing.a_busy_agent_loses_nothing, DropsWhatDoesNotFit, "are taken that nobody asked for"),
    (testing.a_busy_agent_loses_nothing, TakesWithoutEnd, "are taken that nobody asked for"),
    (testing.instants_are_those_of_arrival, Plain, "joins the wrong sale"),
    (testing.every_end_closes_the_device, ForgetsToClose, "stays open after `run` has ended"),
    (testing.every_end_closes_the_device, HidesErrors, "RuntimeError.*Let it out as it is"),
    (testing.every_end_closes_the_device, LeavesTasks, "leaves tasks behind"),
    (testing.nothing_scanned_is_logged, LogsWithStructlog, "'M-001234' is logged"),
    (testing.nothing_scanned_is_logged, LogsWithLogging, "'M-001234' is logged"),
    (testing.nothing_scanned_is_logged, PrintsWhatItDrops, "'M-001234' is logged or printed"),
]


@pytest.fixture(autouse=True)
def _closed_afterwards() -> Iterator[None]:
    """What broken drivers leave open."""
    yield
    for early in OPENED_EARLY:
        early.close()
    OPENED_EARLY.clear()


@pytest.mark.parametrize(("check", "driver", "said"), MISTAKES, ids=lambda value: getattr(value, "__name__", None))
async def test_a_mistake_is_found_and_told(check: ScannerCheck, driver: type[SerialScannerDriver], said: str) -> None:
    with pytest.raises(ConformanceError, match=f"(?s){said}"):
        await check(under_test(driver))

    for transport in LEFT_OPEN:
        await TcpTransport.close(transport)
    LEFT_OPEN.clear()


def test_every_check_is_shown_to_fail() -> None:
    assert {check for check, _, _ in MISTAKES} == set(SCANNER_CHECKS)
