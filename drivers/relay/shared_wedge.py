"""One keyboard wedge between itself and the POS: its keys go on through a virtual keyboard, but for members' codes.

Owns the device, the grab and the virtual keyboard. A wedge is grabbed only together with a virtual keyboard, and only
while a rule withholds something; else it is listened to, and the POS hears it by itself. Never decides what a code is
(`rules_in_force`), and never which keys may go (`drivers.wedge.passage`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NoReturn

from drivers.relay.clock import Clock, Moment
from drivers.relay.scan_records import ScanRecords
from drivers.relay.scanner_passage import Verdict
from drivers.relay.shared_scanner import PORT_RETRY_EVERY_S
from drivers.relay.spool import EndedBy
from drivers.transport.port import PortBusyError, PortMissingError, TransportError
from drivers.wedge.backend import OpenWedge, VirtualKeyboard, WedgeBackend
from drivers.wedge.composer import REMEDIES, Prefix, Suffix
from drivers.wedge.events import DeviceEvent
from drivers.wedge.passage import Judged, Release, Step, WedgePassage

# Whether there is something to withhold now is asked this often.
LOOK_EVERY_S: Final = 1.0
# A host throws away what it has not read of a keyboard that goes.
LINGER_S: Final = 0.05

_REMEDIES: Final = {
    **{str(reason): remedy for reason, remedy in REMEDIES.items()},
    "fault": "this is a fault of the relay: report it with the kind of the code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wedge:
    """Which device, and how it types: as `KeyComposer` takes them."""

    device: str
    layout: str
    prefix: Prefix = "none"
    suffix: Suffix | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How codes are told apart now: those of `RulesInForce`."""

    judge: Callable[[str], Verdict]
    may_withhold: Callable[[], bool]


class SharedWedge:
    """Carries one wedge's keys to the POS, until it is stopped."""

    def __init__(
        self,
        wedge: Wedge,
        backend: WedgeBackend,
        rules: Rules,
        records: ScanRecords,
        *,
        clock: Clock,
        retry_every_s: float = PORT_RETRY_EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
    ) -> None:
        self._wedge = wedge
        self._backend = backend
        self._rules = rules
        self._records = records
        self._clock = clock
        self._retry_every_s = retry_every_s
        self._look_every_s = look_every_s
        self._unjudged: Counter[str] = Counter()
        self._late = self._lost = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Carry keys until `stop` is set; then what is held goes to the POS, and the wedge is let go."""
        carrying = asyncio.create_task(self._again_and_again())
        try:
            await stop.wait()
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)

    async def _again_and_again(self) -> NoReturn:
        while True:
            try:
                device = await self._backend.open(self._wedge.device)
                try:
                    await self._carry(device)
                finally:
                    await device.close()
                continue
            except TransportError as error:
                self._records.scanner_is(str(error))
            except Exception as error:  # noqa: BLE001  the POS must have its scanner again
                self._records.failed(error)
            await asyncio.sleep(self._retry_every_s)

    async def _carry(self, device: OpenWedge) -> None:
        """The device as it is opened now: until it goes, or until it is to be grabbed and is not, or the other way."""
        grabs = self._rules.may_withhold()
        keyboard = await self._keyboard_for(device) if grabs else None
        way = _Way(self._wedge, self._rules, keyboard)
        try:
            if keyboard is not None:
                await device.grab(keyboard)
                way.grabbed(self._clock().monotonic_ns)
            self._records.scanner_is("")
            while self._rules.may_withhold() == grabs or way.due_in_s(self._clock().monotonic_ns) is not None:
                for event in await self._next(device, way):
                    await self._carry_out(way, way.feed(event))
                await self._carry_out(way, way.idle(self._clock().monotonic_ns))
        finally:
            with suppress(TransportError):
                await self._carry_out(way, way.end(self._clock().monotonic_ns))
            self._unjudged += way.unjudged
            await device.close()  # first, so that no key is heard by nobody
            if keyboard is not None:
                await asyncio.sleep(LINGER_S)
                await keyboard.close()

    async def _keyboard_for(self, device: OpenWedge) -> VirtualKeyboard | None:
        try:
            keyboard = await self._backend.virtual_keyboard(device.device)
        except (PortMissingError, PortBusyError) as error:
            self._records.pos_is(
                f"the wedge is only listened to, so the POS gets members' codes too. {error} Then start the relay anew."
            )
            return None
        self._records.pos_is("")
        return keyboard

    async def _next(self, device: OpenWedge, way: _Way) -> Sequence[DeviceEvent]:
        """What the wedge sends next; nothing when it is time to look at the way, or at the rules."""
        due_in_s = way.due_in_s(self._clock().monotonic_ns)
        # When the time has come, what arrived while the event loop was busy is looked at first: it has its own times.
        for wait_s in (self._look_every_s if due_in_s is None else min(due_in_s, self._look_every_s), 0):
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    return await device.read()
        return ()

    async def _carry_out(self, way: _Way, steps: Iterable[Step]) -> None:
        for step in steps:
            if isinstance(step, Judged):
                self._write_down(way, step)
            else:
                await self._release(way, step)
        self._records.unjudged(self._unjudged + way.unjudged, _REMEDIES)

    async def _release(self, way: _Way, step: Release) -> None:
        if way.keyboard is None:  # the POS has heard these by itself
            return
        try:
            await way.keyboard.inject(step.events)
        except TransportError:
            self._lost += 1
            self._records.lost_to_pos(self._lost)
            raise

    def _write_down(self, way: _Way, step: Judged) -> None:
        if not step.withheld:
            self._records.passed()
        verdict = way.verdict(step.code.text)
        if verdict.keep is not None:
            ended_by: EndedBy = "silence" if step.code.ended_by == "idle" else "suffix"
            self._records.keep(verdict.keep, self._moment(step.code.at_ns), ended_by, withheld=step.withheld)
        self._late += verdict.withhold and not step.withheld and way.keyboard is not None
        self._records.late(self._late)

    def _moment(self, at_ns: int) -> Moment:
        """The moment of a key that the kernel stamped `at_ns`."""
        now = self._clock()
        return Moment(wall=now.wall - timedelta(microseconds=(now.monotonic_ns - at_ns) // 1000), monotonic_ns=at_ns)


class _Way:
    """The way of one opened device's keys. `keyboard` is where they go, None while the POS hears the device itself:
    always, or until it is grabbed.
    """

    def __init__(self, wedge: Wedge, rules: Rules, keyboard: VirtualKeyboard | None) -> None:
        self.keyboard: VirtualKeyboard | None = None
        self._rules = rules
        self._faults = 0
        self._passage = WedgePassage(wedge.layout, self._claims, prefix=wedge.prefix, suffix=wedge.suffix)
        self._uncounted: Counter[str] = Counter()  # torn by us, not by the machine
        self._grabbed_into = keyboard
        self._grabbed_ns: int | None = None

    @property
    def unjudged(self) -> Counter[str]:
        return Counter[str](self._passage.composer.dropped) - self._uncounted + Counter(fault=self._faults)

    def grabbed(self, now_ns: int) -> None:
        """The device is ours from now on; what it sent before, the POS has heard."""
        self._grabbed_ns = now_ns

    def feed(self, event: DeviceEvent) -> list[Step]:
        heard: list[Step] = []
        if self.keyboard is None and self._grabbed_ns is not None and event.at_ns >= self._grabbed_ns:
            if self._passage.composer.is_open:  # half of it is at the POS; so the rest goes there, too
                heard = [step for step in self.end(event.at_ns) if isinstance(step, Judged)]
            self.keyboard = self._grabbed_into
        return heard + self._passage.feed(event)

    def idle(self, now_ns: int) -> list[Step]:
        return self._passage.idle(now_ns)

    def due_in_s(self, now_ns: int) -> float | None:
        return self._passage.due_in_s(now_ns)

    def end(self, now_ns: int) -> list[Step]:
        before = Counter[str](self._passage.composer.dropped)
        steps = self._passage.end(now_ns)
        self._uncounted += Counter[str](self._passage.composer.dropped) - before
        return steps

    def verdict(self, text: str) -> Verdict:
        try:
            return self._rules.judge(text)
        except Exception:  # noqa: BLE001  the POS gets its code whatever is wrong with our reading of it
            return Verdict()

    def _claims(self, text: str) -> bool:
        if self.keyboard is None:
            return False
        try:
            return self._rules.judge(text).withhold
        except Exception:
            self._faults += 1
            raise
