"""A scanner for tests of the doctor: an `Ear` into which a test speaks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from agent.doctor.diagnose import HeardCode, SerialSetting, WedgeSetting
from agent.doctor.findings import Finding
from agent.doctor.listening import Chunk
from agent.doctor.scan_test import CodeResult
from agent.doctor.sheet import SheetCode
from config.settings import Option
from drivers.transport.port import PortUnpluggedError
from drivers.wedge.events import DeviceEvent


class SpokenEar:
    """What is `said` into it is heard, at once and in those pieces."""

    def __init__(self, setting: SerialSetting | WedgeSetting | None = None, **options: Option) -> None:
        self.driver = "serial" if not isinstance(setting, WedgeSetting) else "wedge"
        self.options = dict(options)
        self.setting = setting or SerialSetting()
        self.is_open = False
        self._said: asyncio.Queue[list[Chunk] | None] = asyncio.Queue()

    def say(self, *pieces: bytes | DeviceEvent) -> None:
        at_ns = time.monotonic_ns()
        for piece in pieces:
            at = at_ns if isinstance(piece, bytes) else piece.at_ns
            self._said.put_nowait([Chunk(at_ns=at, said=piece)])

    def unplug(self) -> None:
        self._said.put_nowait(None)

    async def open(self) -> None:
        self.is_open = True

    async def read(self) -> list[Chunk]:
        chunks = await self._said.get()
        if chunks is None:
            raise PortUnpluggedError("the test pulled it")
        return chunks

    async def close(self) -> None:
        self.is_open = False

    def code(self, chunks: Sequence[Chunk]) -> HeardCode:
        data = b"".join(chunk.said for chunk in chunks if isinstance(chunk.said, bytes))
        keys = tuple(chunk.said for chunk in chunks if not isinstance(chunk.said, bytes))
        return HeardCode(setting=self.setting, data=data, keys=keys)


class ScriptedOperator:
    """Scans what `answer` says for each code that is asked for."""

    def __init__(self, answer: Callable[[SheetCode, bool], None]) -> None:
        self.results: list[CodeResult] = []
        self.asks: list[tuple[int, bool]] = []
        self._answer = answer

    def asked(self, code: SheetCode, *, again: bool) -> None:
        self.asks.append((code.number, again))
        self._answer(code, again)

    def told(self, result: CodeResult, findings: Sequence[Finding]) -> None:
        del findings
        self.results.append(result)
