"""A centre with a program of rewards, and registers that spend its members' points, without a network between them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET
from sqlalchemy import Connection

from central import (
    allowances,
    cards,
    devices,
    enrolling,
    fed_rows,
    feed,
    granting,
    ledger,
    operations,
    planning,
    vouchers,
)
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.ingest import Applied, ingest
from loyalty.allowances import Draw
from loyalty.member import Balance
from loyalty.program import Program, program_from_json
from loyalty.receipt import Receipt
from loyalty.voucher_codes import voucher_id
from sync.records import AllowanceReturnBody, RedeemBody, ReleaseBody
from sync.wire import (
    AllowancesRequest,
    AllowancesResponse,
    EnrolRequest,
    EpochRequest,
    GrantedAllowance,
    HeldAllowance,
    Outcome,
    Wanted,
)
from tests.central.till import FACTS, NOON, Till, receipt, returned

REWARD, GIFT = "r5", "gift"
UNIT = 100


def rewards(**more: Any) -> Program:
    """One point for each minor unit, and a reward for 100 of them."""
    document: dict[str, Any] = {
        "program": "rewards",
        "currency": "RSD",
        "time_zone": "Europe/Belgrade",
        "earn": [{"id": "base", "give": {"points": 1, "per_minor": 1}}],
        "rewards": [
            {"id": REWARD, "cost": UNIT, "discount_minor": 500, "offline": "allowance"},
            {"id": GIFT, "issued": True, "discount_minor": 300, "offline": "allowance"},
        ],
    }
    return program_from_json(msgspec.json.encode(document | more))


class Shop:
    """Registers of one centre by their number; each answers as the device API would."""

    def __init__(self, folder: Path, program: Program) -> None:
        self.folder = DataFolder(folder)
        self.database = Database(self.folder.database)
        self.now = NOON
        self.tills: dict[str, Till] = {}
        self.sold = 0
        key = self.folder.program_key()
        self.write(lambda connection: connection.execute(tables.publications.delete()))
        self.write(lambda connection: operations.publish(connection, program, key, NOON))

    def write(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.write_now(work)

    def read(self, work: Callable[[Connection], Any]) -> Any:
        return self.database.read_now(work)

    def till(self, register: str = "1") -> Till:
        """The register, enrolled and with a live epoch."""
        if register in self.tills:
            return self.tills[register]
        till = Till("", (self.folder.path / "ca.pem").read_text(), None)  # type: ignore[arg-type]

        def enrolled(connection: Connection) -> str:
            token = secrets.token_hex(8)
            life = timedelta(hours=1)
            enrolling.create_enrolment(
                connection, token=token, store="12", register=register, valid_for=life, now=self.now
            )
            request = EnrolRequest(token=token, public_key=till.public_key, facts=FACTS)
            return enrolling.enrol(connection, request, now=self.now, randomness=secrets.token_bytes).device.id

        till.device = self.write(enrolled)
        self.open_epoch(till)
        self.tills[register] = till
        return till

    def open_epoch(self, till: Till) -> None:
        request = EpochRequest(previous=till.epoch or UNSET, facts=FACTS)

        def opened(connection: Connection) -> str:
            device = devices.locked_device(connection, till.device)
            return devices.open_epoch(
                connection,
                device,
                request,
                request_id=secrets.token_hex(8),
                now=self.now,
                randomness=secrets.token_bytes,
            )

        till.epoch, till.sent, till.hashes = self.write(opened), [], []

    # ---- entries

    def send(self, till: Till, first: int) -> list[Outcome]:
        """All entries from this one on, as they are numbered now."""
        request = till.batch(first)
        applied = self.write(
            lambda connection: ingest(
                connection, till.device, request, request_id=secrets.token_hex(8), fingerprint="f", now=self.now
            )
        )
        assert isinstance(applied, Applied)
        return [outcome for outcome, _ in applied.outcomes]

    def sell(self, till: Till, points: int, *, code: str = "TS0001", since: int = 0, **facts: Any) -> Receipt:
        """A sale that gives so many points, made now and sent, with all entries from `since` on."""
        self.sold += 1
        made = receipt(self.sold, points, code=code, issued_at=self.now, register=till.device[:8], **facts)
        till.sale(made)
        self.send(till, since or len(till.sent))
        return made

    def take_back(self, till: Till, sold: Receipt, points: int | None = None, *, since: int = 0) -> Receipt:
        self.sold += 1
        back = returned(self.sold, sold, points, issued_at=self.now, register=sold.register)
        till.sale(back)
        self.send(till, since or len(till.sent))
        return back

    def redeem(self, till: Till, points: int, *draws: tuple[str, int], key: str | None = None, **more: Any) -> Outcome:
        """A reward given at a register, told at once."""
        self.note_redemption(till, points, *draws, key=key, **more)
        return self.send(till, len(till.sent))[-1]

    def note_redemption(
        self, till: Till, points: int, *draws: tuple[str, int], key: str | None = None, **more: Any
    ) -> str:
        """The same, not sent yet; returns its key."""
        key = key or secrets.token_hex(16)
        drawn = tuple(Draw(allowance=one, points=part) for one, part in draws)
        facts: dict[str, Any] = {"member": "m1", "reward": REWARD, "times": 1, "discount_minor": 500, "at": self.now}
        till.entry("redeem", key, msgspec.json.encode(RedeemBody(points=points, drawn=drawn, **facts | more)))
        return key

    def release(self, till: Till, redemption: str) -> Outcome:
        till.entry("release", secrets.token_hex(8), msgspec.json.encode(ReleaseBody(target=redemption)))
        return self.send(till, len(till.sent))[-1]

    def give_back(self, till: Till, allowance: str, points: int) -> Outcome:
        self.note_return(till, allowance, points)
        return self.send(till, len(till.sent))[-1]

    def note_return(self, till: Till, allowance: str, points: int) -> None:
        """The same, not sent yet."""
        body = AllowanceReturnBody(allowance=allowance, points=points)
        till.entry("allowance_return", secrets.token_hex(8), msgspec.json.encode(body))

    # ---- allowances

    def ask(
        self,
        till: Till,
        *,
        after: int = 0,
        want: int | None = None,
        member: str = "m1",
        voucher: str = "",
        held: tuple[HeldAllowance, ...] | None = None,
    ) -> AllowancesResponse:
        """`want` points of the member are wanted, or one use of a `voucher`; with `want` 0 a word alone."""
        points = want if want is not None else 1
        request = AllowancesRequest(
            epoch=till.epoch,
            after=after,
            want=Wanted(member=member, points=points, voucher=voucher or UNSET)
            if want is not None or voucher
            else UNSET,
            held=UNSET if held is None else held,
        )

        def work(connection: Connection) -> AllowancesResponse:
            device = devices.locked_device(connection, till.device)
            return granting.ask(connection, device, request, now=self.now, randomness=secrets.token_bytes)

        answer: AllowancesResponse = self.write(work)
        return answer

    def grant(self, till: Till, points: int) -> GrantedAllowance:
        """So many points set aside for this register now."""
        before = self.ask(till).next
        [granted] = self.ask(till, after=before, want=points).allowances
        return granted

    # ---- vouchers

    def issue(self, count: int = 1, *, member: str | None = None, uses: int = 1, until: str | None = None) -> list[str]:
        """Ids of new vouchers for GIFT."""
        issued = self.write(
            lambda connection: vouchers.issue(
                connection,
                GIFT,
                count,
                member=member,
                uses=uses,
                until=until,
                now=self.now,
                randomness=secrets.token_bytes,
            )
        )
        key = self.read(cards.code_key)
        return [voucher_id(code, key) for code in issued.codes]

    def lease(self, till: Till, voucher: str, *, member: str = "m1") -> GrantedAllowance:
        """One use of it set aside for this register now."""
        before = self.ask(till).next
        [granted] = self.ask(till, after=before, voucher=voucher, member=member).allowances
        return granted

    def take(self, till: Till, one: GrantedAllowance, **more: Any) -> Outcome:
        """A voucher that is taken at a register, told at once."""
        return self.redeem(till, 0, (one.allowance, 1), **{"reward": GIFT, "voucher": one.voucher} | more)

    def voucher(self, which: str) -> vouchers.Listed:
        [listed] = self.read(lambda connection: vouchers.listed(connection, voucher=which)).vouchers
        return listed  # type: ignore[no-any-return]

    def plan(self) -> None:
        while self.write(lambda connection: planning.plan(connection, self.now, secrets.token_bytes)):
            pass

    # ---- what is so

    def balance(self, member: str = "m1") -> Balance:
        """As registers are told of it, after checking that it is what the ledger and the allowances come to."""
        assert self.read(lambda connection: ledger.check_balances(connection, self.now)) == []
        return self.read(lambda connection: fed_rows.rows_of(connection, [member], self.now)[member].balance)  # type: ignore[no-any-return]

    def allowance(self, which: str) -> Any:
        table = tables.allowances
        return self.read(lambda connection: connection.execute(table.select().where(table.c.id == which)).one())

    def redemption(self, key: str) -> Any:
        table = tables.redemptions
        return self.read(lambda connection: connection.execute(table.select().where(table.c.key == key)).one())

    def pass_time(self, span: timedelta) -> datetime:
        """Time goes by, and what is due is done."""
        self.now += span
        self.write(self._mature)
        return self.now

    def _mature(self, connection: Connection) -> None:
        due = ledger.matured(connection, self.now, 1000)
        ledger.refresh_balances(connection, due, self.now)
        allowances.recall_expired(connection, due, self.now)
        vouchers.recall_over(connection, self.now)
        feed.note_changes(connection, due, self.now)
