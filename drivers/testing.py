"""Checks for the authors of scanner drivers: what every driver must do, on a device that misbehaves.

Owns the checks, and the device on this machine's network that they use. Needs no test framework: a check returns,
or raises ConformanceError with what is wrong and what to do. `drivers.transport.testing` has those of transports.
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice, pairwise

from structlog.testing import capture_logs

from drivers.scanning.driver import DriverOptionsError, ScanEvent, ScannerDriver
from drivers.scanning.scan import Scan, parse_scan
from drivers.transport.port import TransportError
from drivers.transport.testing import WAIT_S, ConformanceError, flooded, within_wait
from loyalty.instant import Instant

__all__ = ["SCANNER_CHECKS", "ConformanceError", "Sample", "ScannerUnderTest", "check_scanner"]

# A driver that looks at its clock for every read is waited for; one that does not has this long to read.
READS_WITHIN_S = 0.01
# Silence on the driver's clock that ends whatever was begun.
SILENCE_S = 3600.0
# What a line picks up: a break, a wrong baud rate, line ends, half a frame, a scanner that reports its start.
NOISE = (b"\x00", b"\xff\xfe\x80", b"\r\n\r\n", b"\x02", b"]", b"\x1b[0cREADY", bytes(range(256)), b"x" * 20_000)
RANDOM_SPLITS = 10
SEED = 20261122
# A flood goes out in blocks of so many codes.
BLOCK_CODES = 100

_NAME = "under-test"
_MARK = "parsed:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A code as the scanner sends it, with all that it sends around it, and the text of its scan."""

    sent: bytes
    text: str


async def check_scanner(
    driver: type[ScannerDriver],
    *,
    codes: Sequence[Sample],
    options: Mapping[str, object] | None = None,
    silence_s: float = 0.0,
) -> None:
    """Every one of SCANNER_CHECKS, one after another. Raises ConformanceError at the first that fails.

    `driver` has an option `port` and is given `tcp://127.0.0.1:N` there. `codes` are two or more with different texts,
    `options` what it needs besides `name` and `port`. `silence_s` is real time that ends a begun code, for a driver
    that does not measure silence by the clock it is given.
    """
    test = ScannerUnderTest(driver=driver, codes=tuple(codes), options=options or {}, silence_s=silence_s)
    for check in SCANNER_CHECKS:
        await check(test)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannerUnderTest:
    """What `check_scanner` is given."""

    driver: type[ScannerDriver]
    codes: tuple[Sample, ...]
    options: Mapping[str, object]
    silence_s: float = 0.0

    def __post_init__(self) -> None:
        if len({code.text for code in self.codes}) < 2:
            raise ValueError("give two codes or more with different texts: one alone shows neither order nor loss")

    def alternating(self, count: int) -> list[Sample]:
        """`count` codes, none of which repeats the one before it."""
        distinct = {code.text: code for code in self.codes}
        return list(islice(cycle(distinct.values()), count))

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[_Bench]:
        bench = _Bench(self)
        await bench.device.plug_in()
        try:
            yield bench
        finally:
            await bench.device.close()


ScannerCheck = Callable[[ScannerUnderTest], Awaitable[None]]


async def wrong_options_are_refused(test: ScannerUnderTest) -> None:
    """Unknown, missing and mistyped options raise DriverOptionsError with their key; nothing is opened yet."""
    async with test.bench() as bench:
        right = bench.options()
        _refused(bench, "no_such_option", {**right, "no_such_option": 1})
        _refused(bench, "port", {key: value for key, value in right.items() if key != "port"})
        _refused(bench, "port", {**right, "port": 9600})
        bench.made(right)
        await asyncio.sleep(READS_WITHIN_S)
        if bench.device.accepted:
            raise ConformanceError("`__init__` opens the device. Open it in `run`, where a failure is shown.")


async def ready_comes_once_and_after_opening(test: ScannerUnderTest) -> None:
    """`ready` is called once, when the device is open; a device that is not there is a TransportError."""
    async with test.bench() as bench:
        await bench.device.unplug()
        async with bench.running() as run:
            error = await run.end()
        if not isinstance(error, TransportError):
            raise ConformanceError(f"A device that is not there ends `run` with {error!r}. Raise a TransportError.")
        if run.readies:
            raise ConformanceError("`ready` is called though the device could not be opened. Call it after opening.")
        await bench.device.plug_in()
        async with bench.running() as run:
            await run.is_ready()
            codes = test.alternating(4)
            await bench.device.send(_joined(codes))
            await run.hears(codes)
        if run.readies != 1:
            raise ConformanceError(f"`ready` is called {run.readies} times. Call it once, when the device is open.")


async def codes_are_heard_in_any_split(test: ScannerUnderTest) -> None:
    """Whole, byte by byte or split at random, the same bytes give the same codes, through the parse given."""
    codes = test.alternating(2 * len(test.codes) + 1)
    stream = _joined(codes)
    chance = random.Random(SEED)  # noqa: S311 — the same splits every time
    splits = {"in one go": [stream], "byte by byte": [bytes([byte]) for byte in stream]}
    for number in range(RANDOM_SPLITS):
        edges = sorted({0, len(stream), *(chance.randrange(len(stream)) for _ in range(number + 1))})
        splits[f"split at {edges}"] = [stream[start:end] for start, end in pairwise(edges)]
    for how, parts in splits.items():
        async with test.bench() as bench, bench.running() as run:
            for part in parts:
                await bench.sends(part)
            await run.hears(codes, how)


async def a_torn_code_is_not_heard(test: ScannerUnderTest) -> None:
    """Of a code that is cut off at any byte by unplugging, nothing is heard or all of it, never a part."""
    for code in test.codes:
        for end in range(1, len(code.sent) + 1):
            async with test.bench() as bench, bench.running() as run:
                await bench.device.send(code.sent[:end])
                await bench.device.unplug()
                await run.end()
            if run.texts not in ([], [code.text]):
                raise ConformanceError(
                    f"Of {code.sent!r}, unplugged after {end} bytes, {run.texts} is heard. Half a code may be somebody "
                    "else's: emit only what is finished."
                )


async def noise_spoils_no_later_code(test: ScannerUnderTest) -> None:
    """After noise, or a code that breaks off anywhere, and silence the next code is heard."""
    begun = [code.sent[:end] for code in test.codes for end in range(1, len(code.sent))]
    disturbances = [*NOISE, *begun]
    async with test.bench() as bench, bench.running() as run:
        for noise, code in zip(disturbances, test.alternating(len(disturbances)), strict=True):
            await bench.sends(noise)
            await bench.silence()
            before = len(run.events)
            await bench.device.send(code.sent)
            await run.hears_among(
                code.text,
                before,
                f"does not hear a code that comes after {noise[:32]!r} and silence. Drop what is unfinished after a "
                "while, by the clock that you are given, and let no bytes end `run`",
            )


async def an_unplugged_device_ends_the_run(test: ScannerUnderTest) -> None:
    """What arrived before is heard, then a TransportError is raised; plugged in again, a new driver works."""
    codes = test.alternating(3)
    async with test.bench() as bench:
        for _ in range(2):
            async with bench.running() as run:
                await run.is_ready()
                await bench.device.send(_joined(codes))
                await bench.device.unplug()
                error = await run.end()
            if not isinstance(error, TransportError):
                raise ConformanceError(f"A device that goes ends `run` with {error!r}. Let the TransportError out.")
            if run.texts != [code.text for code in codes]:
                raise ConformanceError(
                    f"{len(run.texts)} of {len(codes)} codes are heard that arrived before the device went. Emit what "
                    "was read, then raise."
                )
            await bench.device.plug_in()


async def a_busy_agent_loses_nothing(test: ScannerUnderTest) -> None:
    """While `emit` waits, a bounded number of codes is read ahead; later all come, in order and one by one."""
    block = test.alternating(BLOCK_CODES * len(test.codes))
    async with test.bench() as bench, bench.running() as run:
        run.may_go_on.clear()
        await bench.sends(_joined(block))
        await run.hears(block[:1])
        if run.overlapped:
            raise ConformanceError("`emit` is called while it still runs. Await it for each code before the next.")
        async with flooded(bench.device.send, cycle([_joined(block)])) as blocks:
            run.may_go_on.set()
            await run.hears(block * (1 + len(blocks)), "in a flood")


async def instants_are_those_of_arrival(test: ScannerUnderTest) -> None:
    """A code that arrives while the agent is busy carries the time at which it arrived."""
    first, second = test.alternating(2)
    async with test.bench() as bench, bench.running() as run:
        run.may_go_on.clear()
        began = bench.clock.peek()
        await bench.device.send(first.sent)
        await run.hears([first])
        await bench.sends(second.sent)
        arrived = bench.clock.peek()
        bench.clock.jump(SILENCE_S)
        run.may_go_on.set()
        await run.hears([first, second])
        for event in run.events:
            if not began.monotonic_ns <= event.at.monotonic_ns <= arrived.monotonic_ns:
                raise ConformanceError(
                    "A code that arrives while `emit` waits carries a time that is not that of its arrival, and the "
                    "card joins the wrong sale. Read on while `emit` works, and take the instant right after a read."
                )


async def every_end_closes_the_device(test: ScannerUnderTest) -> None:
    """Cancelled while it reads or while the agent is busy, or by an error of the agent's, it leaves nothing open."""
    (code,) = test.alternating(1)
    async with test.bench() as bench:
        async with bench.running() as run:
            await run.is_ready()
        async with bench.running() as run:
            run.may_go_on.clear()
            await bench.device.send(code.sent)
            await run.hears([code])
            run.task.cancel()
            await run.end()
        failure = LookupError("an error of the agent's")
        async with bench.running(failure) as run:
            await bench.device.send(code.sent)
            error = await run.end()
        if error is not failure:
            raise ConformanceError(f"An error that `emit` raises ends `run` with {error!r}. Let it out as it is.")


async def nothing_scanned_is_logged(test: ScannerUnderTest) -> None:
    """No code, whole or torn, stands in a log or is printed: it is personal data."""
    with _listening() as said:
        async with test.bench() as bench, bench.running() as run:
            await bench.sends(_joined(test.alternating(len(test.codes))))
            for code in test.codes:
                await bench.sends(code.sent[:-1])
                await bench.silence()
            await bench.device.unplug()
            await run.end()
    for code in test.codes:
        if any(code.text in line for line in said()):
            raise ConformanceError(f"{code.text!r} is logged or printed. Log the reader and what went wrong, no code.")


SCANNER_CHECKS: tuple[ScannerCheck, ...] = (
    wrong_options_are_refused,
    ready_comes_once_and_after_opening,
    codes_are_heard_in_any_split,
    a_torn_code_is_not_heard,
    noise_spoils_no_later_code,
    an_unplugged_device_ends_the_run,
    a_busy_agent_loses_nothing,
    instants_are_those_of_arrival,
    every_end_closes_the_device,
    nothing_scanned_is_logged,
)
"""Each is an async function of a `ScannerUnderTest`, for test frameworks that run them one by one."""


def _joined(codes: Sequence[Sample]) -> bytes:
    return b"".join(code.sent for code in codes)


def _refused(bench: _Bench, key: str, options: Mapping[str, object]) -> None:
    remedy = "Read options with `typed_options` into a Struct that forbids unknown fields."
    try:
        bench.made(options)
    except DriverOptionsError as error:
        if error.key != key:
            raise ConformanceError(f"For a wrong {key!r}, DriverOptionsError names {error.key!r}. {remedy}") from error
    except Exception as error:
        raise ConformanceError(f"A wrong {key!r} raises {error!r} and no DriverOptionsError. {remedy}") from error
    else:
        raise ConformanceError(f"A wrong or missing {key!r} is accepted. {remedy}")


def _check_event(event: ScanEvent, code: Sample, how: str) -> None:
    """Whether `event` is the code that was sent, made by the parse that was given."""
    if not event.scan.text.startswith(_MARK):
        raise ConformanceError(
            "A scan is made without the `parse` that the driver was given, so no identification rule applies to it. "
            "Call it for every code."
        )
    text = event.scan.text.removeprefix(_MARK)
    if text != code.text:
        raise ConformanceError(
            f"Sent {how}, {code.sent!r} is heard as {text!r} and not as {code.text!r}. A read may end anywhere: keep "
            "what is unfinished for the next one, lose nothing and keep the order."
        )
    if event.reader != _NAME:
        raise ConformanceError(f"The reader of a scan is {event.reader!r}. Give it the option `name`, {_NAME!r}.")


def _marking_parse(raw: bytes | str) -> Scan:
    """The parse that drivers are given: the real one, leaving a mark."""
    scan = parse_scan(raw)
    return replace(scan, text=_MARK + scan.text)


@contextmanager
def _listening() -> Iterator[Callable[[], list[str]]]:
    """What is logged or printed meanwhile, line by line."""
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(printed), redirect_stderr(printed), capture_logs() as logged:
            yield lambda: [*printed.getvalue().splitlines(), *map(repr, logged)]
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


class _Bench:
    """A device, a clock, and a driver that runs on them."""

    def __init__(self, test: ScannerUnderTest) -> None:
        self.device = LoopbackDevice()
        self.clock = _Clock()
        self._test = test

    def options(self) -> dict[str, object]:
        return {"name": _NAME, "port": f"tcp://127.0.0.1:{self.device.number}", **self._test.options}

    def made(self, options: Mapping[str, object]) -> ScannerDriver:
        return self._test.driver(options, self.clock, _marking_parse)

    @asynccontextmanager
    async def running(self, failure: Exception | None = None) -> AsyncIterator[_Run]:
        """The driver while it runs; afterwards it is cancelled, and has to be gone without a trace."""
        before = asyncio.all_tasks()
        run = _Run(self.made(self.options()), failure)
        try:
            yield run
        finally:
            run.task.cancel()
            await asyncio.wait([run.task], timeout=WAIT_S)
        if not run.task.done():
            raise ConformanceError("`run` goes on after it was cancelled. Let CancelledError out.")
        await self.device.is_released()
        await asyncio.sleep(0)
        if left := asyncio.all_tasks() - before - {run.task}:
            raise ConformanceError(f"`run` leaves tasks behind: {left}. Cancel and await them in a `finally`.")

    async def sends(self, data: bytes) -> None:
        """The device sends, and the driver has read it, as far as that can be seen from outside."""
        self.clock.looked.clear()
        await self.device.send(data)
        with suppress(TimeoutError):
            async with asyncio.timeout(READS_WITHIN_S):
                await self.clock.looked.wait()
        await asyncio.sleep(0)

    async def silence(self) -> None:
        """Nothing comes, for long enough to end every code."""
        self.clock.jump(SILENCE_S)
        await asyncio.sleep(self._test.silence_s)


class _Clock:
    """Real time, which can be made to jump ahead, and shows when somebody looks."""

    def __init__(self) -> None:
        self.looked = asyncio.Event()
        self._ahead_ns = 0

    def __call__(self) -> Instant:
        self.looked.set()
        return self.peek()

    def peek(self) -> Instant:
        ns = time.monotonic_ns() + self._ahead_ns
        wall = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
        return Instant(wall=wall, boot="conformance", monotonic_ns=ns)

    def jump(self, seconds: float) -> None:
        self._ahead_ns += int(seconds * 1e9)


class _Run:
    """A driver that runs, and all that it says."""

    def __init__(self, driver: ScannerDriver, failure: Exception | None) -> None:
        self.events: list[ScanEvent] = []
        self.readies = 0
        self.overlapped = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._failure = failure
        self._emitting = False
        self._changed = asyncio.Event()
        self._driver = driver  # held, so that what it forgets to close stays open
        self.task = asyncio.create_task(driver.run(self._emit, self._ready), name="driver under test")
        self.task.add_done_callback(lambda _: self._changed.set())

    @property
    def texts(self) -> list[str]:
        return [event.scan.text.removeprefix(_MARK) for event in self.events]

    async def is_ready(self) -> None:
        await self._until(lambda: self.readies > 0, "does not call `ready`. Call it once, when the device is open")

    async def hears(self, codes: Sequence[Sample], how: str = "in one go") -> None:
        """All of `codes` in their order, and nothing else. Raises ConformanceError at the first that is wrong."""
        for number, code in enumerate(codes):
            await self._until(
                lambda reached=number: len(self.events) > reached,  # type: ignore[misc]
                f"emits {number} of {len(codes)} codes. Emit each when its last byte has arrived, and lose none",
            )
            _check_event(self.events[number], code, how)

    async def hears_among(self, text: str, after: int, otherwise: str) -> None:
        """An event with `text`, not before the event number `after`."""
        await self._until(lambda: text in self.texts[after:], otherwise)

    async def end(self) -> BaseException | None:
        """What ended the run; None if it just returned."""
        _, goes_on = await asyncio.wait([self.task], timeout=WAIT_S)
        if goes_on:
            raise ConformanceError("`run` goes on though its device has gone or it was cancelled. Let errors out.")
        return asyncio.CancelledError() if self.task.cancelled() else self.task.exception()

    async def _until(self, reached: Callable[[], bool], otherwise: str) -> None:
        """Wait while there is progress; `otherwise` says what is wrong when there is none."""
        while not reached():
            if self.task.done():
                raise ConformanceError(f"The driver {otherwise}. (`run` has ended: {await self.end()!r})")
            self._changed.clear()
            await within_wait(f"The driver {otherwise}", self._changed.wait())

    async def _emit(self, event: ScanEvent) -> None:
        self.overlapped = self.overlapped or self._emitting
        self._emitting = True
        try:
            self.events.append(event)
            self._changed.set()
            if self._failure is not None:
                raise self._failure
            await self.may_go_on.wait()
        finally:
            self._emitting = False

    def _ready(self) -> None:
        self.readies += 1
        self._changed.set()


class LoopbackDevice:
    """A device on TCP of this machine, pulled out and plugged in again under the same number."""

    def __init__(self) -> None:
        self.number = 0
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._connected = asyncio.Event()

    async def plug_in(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.number))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # no scanner keeps megabytes
        self.number = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._accept, sock=listening)

    async def unplug(self) -> None:
        """Refuse connections, and end the one there is behind what was sent."""
        self._connected.clear()
        if self._server is not None:
            self._server.close()
        self._server = None
        for _, writer in self._streams:
            if not writer.transport.is_closing():
                writer.write_eof()

    async def send(self, data: bytes) -> None:
        """Send to the driver that is connected or will be. Waits while it takes no more."""
        await within_wait("The driver never connects to its `port`", self._connected.wait())
        _, writer = self._streams[-1]
        writer.write(data)
        with suppress(ConnectionError):  # a driver that hangs up early is found by what it does not say
            await writer.drain()

    async def is_released(self) -> None:
        """Returns when the driver has closed its connections. Raises ConformanceError if it does not."""
        for reader, writer in self._streams:
            with suppress(ConnectionError):
                await within_wait("The device stays open after `run` has ended: close it in a `finally`", reader.read())
            writer.transport.abort()
        self._streams.clear()
        self._connected.clear()

    async def close(self) -> None:
        await self.unplug()
        for _, writer in self._streams:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        self._streams.append((reader, writer))
        self.accepted += 1
        self._connected.set()
