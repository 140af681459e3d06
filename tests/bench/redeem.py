"""`redeem`: a reward reserved over the local API of a running agent that has no network, as a POS asks it.

The agent is a process of its own with its encrypted store; sale, basket and member were told before, as a POS tells
them while goods are scanned, and that is timed as `price`. Between two redemptions stand what no register can do
without: an answer of the same API that asks for nothing (`ping`), and the durable writes of a redemption by themselves
(`durable`): a commit into a synced SQLite, and the witness beside it. All are taken in turns, so that they share what
the machine does beside. `in_memory_` is the same with the store in memory: what there is without the disk.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec

from agent.control import Control, read_control
from loyalty.member import Balance
from loyalty.program import Program, program_from_json
from sync.keys import keeper_for
from sync.store.store import Store
from sync.store.witness import Witness
from sync.store.writing import Writing
from sync.wire import GrantedAllowance
from tests.bench.evaluate import LINES, program_with_streaks
from tests.bench.machine import disk_folder, measured
from tests.bench.report import Report, rounded
from tests.browser.till import Till, card, member

MEMBERS = 1_000
WARM_UP = 50
REDEMPTIONS = 1_000
COST = 500
EPOCH, CENTRE = "bench", "centre"
# A file system in memory, where there is one.
MEMORY = Path("/dev/shm")


def run() -> Report:
    figures: dict[str, Any] = {"redemptions": REDEMPTIONS, "lines": LINES}
    with disk_folder() as folder:
        machine = measured(folder)
        figures |= _figures("", asyncio.run(_measured(folder)))
    if MEMORY.is_dir():
        with tempfile.TemporaryDirectory(prefix="tillside-bench-", dir=MEMORY) as folder:
            figures |= _figures("in_memory_", asyncio.run(_measured(Path(folder))))
    return Report(name="redeem", figures=figures, machine=machine)


def _figures(prefix: str, took: dict[str, list[float]]) -> dict[str, int | float]:
    return {
        f"{prefix}{name}_p{percent}_ms": rounded(sorted(times)[len(times) * percent // 100])
        for name, times in took.items()
        for percent in (50, 99)
    }


async def _measured(folder: Path) -> dict[str, list[float]]:
    till = Till(folder)
    try:
        balance = Balance(confirmed=COST * 5, pending=0, spendable=COST * 5)
        await till.seed((member(number, balance=balance) for number in range(MEMBERS)), _program())
        await asyncio.to_thread(_grant, folder)
        await till.start()
        control = read_control(folder / "state")
        if control is None:
            raise RuntimeError("the agent has left no control.json")
        return await asyncio.to_thread(_in_turns, folder, control)
    finally:
        await till.kill()
        till.close()


def _program() -> Program:
    document = msgspec.to_builtins(program_with_streaks())
    document["rewards"] = [
        {"id": "five", "cost": COST, "discount_minor": 500, "offline": "allowance"},
        {"id": "ten-percent", "cost": 2 * COST, "discount_percent": 10, "offline": "allowance"},
        {"id": "fruit", "cost": COST, "piece_minor": 0, "when": {"category_in": ["fruit"]}, "offline": "refuse"},
        {"id": "tea", "cost": COST, "discount_minor": 300, "offline": "floor", "floor_points": 100},
    ]
    return program_from_json(msgspec.json.encode(document))


def _grant(folder: Path) -> None:
    """Two rewards of every member, as the centre would have set them aside."""
    state = folder / "state"
    granted = [
        GrantedAllowance(
            number=number + 1, allowance=f"a{number}", member=f"m{number}", epoch=EPOCH, points=2 * COST, recalled=False
        )
        for number in range(MEMBERS)
    ]

    def work(writing: Writing) -> None:
        writing.open_epoch(EPOCH, "device")
        writing.leave_epoch()
        writing.keep_allowances(granted, MEMBERS, CENTRE)

    with closing(Store.open(state / "store.db", keeper_for(state))) as store:
        store.submit(work).result()


def _in_turns(folder: Path, control: Control) -> dict[str, list[float]]:
    took: dict[str, list[float]] = {"redeem": [], "price": [], "ping": [], "durable": []}
    basket = _basket()
    with closing(_Pos(control)) as pos, closing(_Durable(folder)) as durable:
        for number in range(WARM_UP + REDEMPTIONS):
            sale = f"/v1/sales/{pos.told('POST', '/v1/sales', {})['sale']}"
            pos.told("POST", f"{sale}/member", {"code": card(number % MEMBERS)})
            took["price"].append(_ms(partial(pos.told, "PUT", sale, {"basket": basket})))
            took["redeem"].append(_ms(partial(pos.told, "POST", f"{sale}/redemptions", {"reward": "five"})))
            took["ping"].append(_ms(partial(pos.told, "GET", "/v1/ping")))
            took["durable"].append(_ms(durable.write))
            pos.told("POST", f"{sale}/void")
    return {name: times[WARM_UP:] for name, times in took.items()}


def _basket() -> dict[str, Any]:
    prices = [150 * position for position in range(1, LINES + 1)]
    lines = [
        {
            "position": position,
            "kind": "goods",
            "description": f"Goods {position}",
            "quantity": "1",
            "amount_minor": price,
        }
        for position, price in enumerate(prices, start=1)
    ]
    return {"kind": "sale", "currency": "EUR", "total_minor": sum(prices), "lines": lines}


class _Pos:
    """A POS on one connection, as one keeps it."""

    def __init__(self, control: Control) -> None:
        self._connection = http.client.HTTPConnection(control.host, control.port, timeout=10)
        self._headers = {"Authorization": f"Bearer {control.token}", "Content-Type": "application/json"}
        self._call = 0

    def told(self, method: str, path: str, body: object = None) -> Any:
        self._call += 1
        headers = self._headers | {"Idempotency-Key": str(self._call)}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise RuntimeError(content.decode())
        return json.loads(content) if content else None

    def close(self) -> None:
        self._connection.close()


class _Durable:
    """What a redemption has to make durable, and nothing around it."""

    def __init__(self, folder: Path) -> None:
        self._witness = Witness(folder / "durable.witness")
        self._connection = sqlite3.connect(folder / "durable.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT)")
        self._count = 0

    def write(self) -> None:
        self._count += 1
        self._connection.execute("INSERT INTO rows (body) VALUES (?)", ("x" * 300,))
        self._witness.reach(self._count)

    def close(self) -> None:
        self._connection.close()


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - started) / 1_000_000
