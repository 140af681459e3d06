"""Rules in a register that runs: from its settings, from its centre, without a network, and while it sells."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.cli.status import status_command
from agent.cli.stopped import stopped_register
from agent.inspection import RulesInForce, StatusReport
from agent.recognition import FILE_NAME
from agent.register import Register, Running
from agent.state import keeper_of, open_store
from agent.store_inspection import StoreInspection
from central import configs
from config.load import load_settings
from loyalty.centre_config import CentreConfig
from loyalty.identification import IdentificationRule
from loyalty.identification_json import rules_from_json
from sync.enrolling import enrol
from sync.enrolment import parse_code
from sync.store.store import Store
from sync.wire import RegisterState
from tests.browser.till import free_port
from tests.faults.proxy import FaultyProxy
from tests.sync.centre import FACTS, QUICK_HEARTBEAT_S, Centre, running_centre, utc_now

PATIENCE_S = 60.0
LOOK_AGAIN_S = 0.005
LOOKS = int(PATIENCE_S / LOOK_AGAIN_S)
PLASTIC = CentreConfig(identification=(IdentificationRule(name="plastic", prefixes=("29",), lengths=(13,)),))
PAPER = CentreConfig(identification=(IdentificationRule(name="paper", prefixes=("28",), lengths=(13,)),))
SETTINGS = """
[paths]
state = "state"
[page]
port = {page}
[[scanners]]
name = "counter"
port = "tcp://127.0.0.1:{scanner}"
"""


class Scanner:
    """A scanner on the network, and what it sends."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._connected = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._connected.set()

    async def scan(self, code: str, aim: str = "]E0") -> None:
        await asyncio.wait_for(self._connected.wait(), PATIENCE_S)
        self._writers[-1].write(f"{aim}{code}\r".encode())
        await self._writers[-1].drain()

    def let_go(self) -> None:
        """The register is gone, and may come again."""
        self._connected.clear()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
            await writer.wait_closed()


@pytest.fixture
async def scanner() -> AsyncIterator[Scanner]:
    scanner = Scanner()
    await scanner.open()
    yield scanner
    await scanner.close()


class Till:
    """A register that runs in this process."""

    def __init__(self, register: Register, store: Store) -> None:
        self.store = store
        self._register = register

    @property
    def status(self) -> StatusReport:
        return StoreInspection(self.store, self._register._live).status()

    def told_to_centre(self) -> RegisterState:
        return StoreInspection(self.store, self._register._live).told_to_centre()

    def kept(self) -> list[str]:
        """Codes that were taken for a member's."""
        return [scan.code for scan in self.store.unused_scans()]

    async def until(self, condition: Callable[[], object]) -> None:
        for _ in range(LOOKS):
            if condition():
                return
            await asyncio.sleep(LOOK_AGAIN_S)
        raise AssertionError(f"still not so: {self.status}")


def configured(folder: Path, scanner: Scanner, more: str = "") -> Path:
    file = folder / "tillside.toml"
    file.write_text(SETTINGS.format(page=free_port(), scanner=scanner.port) + more)
    return file


@asynccontextmanager
async def running(config: Path, scanner: Scanner) -> AsyncIterator[Till]:
    settings = load_settings(config, environment={})
    keeper = keeper_of(settings)
    store = open_store(settings, keeper)
    register = Register(settings, store, keeper, heartbeat_s=QUICK_HEARTBEAT_S)
    stop = asyncio.Event()
    ready: asyncio.Future[Running] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(register.run(ready.set_result, stop))
    await ready
    try:
        yield Till(register, store)
    finally:
        stop.set()
        await task
        store.close()
        scanner.let_go()


def publish(centre: Centre, config: CentreConfig) -> None:
    centre.write(lambda c: configs.publish(c, config, centre.folder.program_key(), utc_now()))


async def test_rules_of_the_settings_count_without_a_centre(
    tmp_path: Path, scanner: Scanner, capsys: pytest.CaptureFixture[str]
) -> None:
    rule = '[[identification]]\nname = "plastic"\nprefixes = ["29"]\nlengths = [13]\n'
    async with running(configured(tmp_path, scanner, rule), scanner) as till:
        await scanner.scan("3800065711135")
        await scanner.scan("2912345678900")
        await till.until(till.kept)

        assert till.kept() == ["2912345678900"]
        assert till.status.rules == RulesInForce(settings=1, centre=0)

    status_command(config=str(tmp_path / "tillside.toml"), as_json=False)
    assert "Card rules  1 from the settings, 0 from the centre" in capsys.readouterr().out


async def test_rules_of_the_centre_change_what_a_scan_is_while_the_register_runs(
    tmp_path: Path, scanner: Scanner
) -> None:
    async with running_centre(tmp_path / "centre") as centre, FaultyProxy("127.0.0.1", centre.port) as network:
        config = configured(tmp_path, scanner)
        await enrolled(centre, config, network.port)

        async with running(config, scanner) as till:
            # given a register for which a 29 is goods
            await till.until(lambda: till.status.badge.online)
            await scanner.scan("2912345678900")

            # when its centre says that these are cards
            publish(centre, PLASTIC)
            await till.until(lambda: till.status.rules == RulesInForce(settings=0, centre=1))
            await scanner.scan("2912345678917")
            await till.until(till.kept)
            assert till.kept() == ["2912345678917"]

            # and then that others are
            publish(centre, PAPER)
            await till.until(lambda: "paper" in repr(till._register._recognition.rules))
            await scanner.scan("2912345678924")
            await scanner.scan("2812345678901")
            await till.until(lambda: len(till.kept()) == 2)
            assert till.kept() == ["2912345678917", "2812345678901"]

        # and when it starts again without a network
        await network.take_down()
        async with running(config, scanner) as till:
            assert till.status.rules == RulesInForce(settings=0, centre=1)
            await scanner.scan("2812345678918")
            await till.until(lambda: len(till.kept()) == 3)
            assert not till.status.badge.online

        # and when nobody runs it, it can still be asked
        with stopped_register(load_settings(config, environment={})) as stopped:
            assert stopped.status().rules == RulesInForce(settings=0, centre=1)


async def enrolled(centre: Centre, config: Path, port: int) -> None:
    settings = load_settings(config, environment={})
    keeper = keeper_of(settings)
    assert settings.paths.state is not None
    code = centre.code(url=f"https://127.0.0.1:{port}")
    await enrol(parse_code(code), settings.paths.state, keeper, FACTS, now=utc_now())


def shared(name: str) -> str:
    return f'[[scanners]]\nname = "{name}"\ndriver = "shared"\nspool = "{name}"\n'


async def test_a_shared_scanners_relay_has_the_same_rules(tmp_path: Path, scanner: Scanner) -> None:
    rule = '[[identification]]\nname = "plastic"\nprefixes = ["29"]\nlengths = [13]\n'
    folder = tmp_path / "counter-2"
    folder.mkdir()
    config = configured(tmp_path, scanner, shared("counter-2") + rule)

    async with running(config, scanner) as till:
        await till.until((folder / FILE_NAME).exists)
        assert rules_from_json((folder / FILE_NAME).read_bytes()) == PLASTIC.identification

        till._register._recognition.use_central(PAPER.identification)
        both = (*PLASTIC.identification, *PAPER.identification)
        await till.until(lambda: rules_from_json((folder / FILE_NAME).read_bytes()) == both)


async def test_a_relay_that_was_never_started_is_named_and_stops_nothing(tmp_path: Path, scanner: Scanner) -> None:
    rule = '[[identification]]\nname = "plastic"\nprefixes = ["29"]\nlengths = [13]\n'
    config = configured(tmp_path, scanner, shared("counter-2") + rule)

    async with running(config, scanner) as till:
        await till.until(lambda: "failing" in {one.condition for one in till.status.workers})
        await scanner.scan("2912345678900")
        await till.until(till.kept)

        [failing] = [one for one in till.status.workers if one.condition == "failing"]
        assert (failing.kind, failing.name) == ("rules", "counter-2")
        assert str(tmp_path / "counter-2") in str(failing.problem)
        assert "start the relay" in str(failing.problem)

        # and once it runs, the rules are there
        (tmp_path / "counter-2").mkdir()
        await till.until((tmp_path / "counter-2" / FILE_NAME).exists)
