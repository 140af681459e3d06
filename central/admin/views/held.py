"""Receipts that a person has to look at, and the cashiers' sales beside them."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from sqlalchemy import Connection

from central import cashiers, devices, limits, review
from central.admin.views.shown import ROWS_SHOWN, Zone, names
from central.cashiers import CashierRow
from loyalty.limits import Limits

REPORTED: timedelta = timedelta(days=7)


class HeldRow(Struct, frozen=True, kw_only=True):
    key: str
    place: str
    number: str
    member: str
    issued_at: str
    received_at: str
    because: str
    with_sale: bool


class FlaggedRow(Struct, frozen=True, kw_only=True):
    at: str
    place: str
    cashier: str
    member: str
    reward: str
    problems: str


class HeldPage(Struct, frozen=True, kw_only=True):
    """What there is to look at in one `store`, or in all of the `stores` where that is empty.

    `limits` are the sales within 24 hours that count without a look, `of_rewards` the rewards.
    """

    store: str
    stores: tuple[str, ...]
    receipts: tuple[HeldRow, ...]
    cashiers: tuple[CashierRow, ...]
    flagged: tuple[FlaggedRow, ...]
    limits: Limits
    of_rewards: Limits
    days: int
    shown: int = ROWS_SHOWN


def held_page(connection: Connection, now: datetime, store: str = "") -> HeldPage:
    zone = Zone(connection)
    rows = tuple(
        HeldRow(
            key=one.key,
            place=f"{one.store or '–'} / {one.register or '–'}",
            number=one.number or "–",
            member=one.member or "",
            issued_at=zone.text(one.issued_at),
            received_at=zone.text(one.received_at),
            because=one.because,
            with_sale=one.with_sale,
        )
        for one in review.held(connection, store).receipts
    )
    return HeldPage(
        store=store,
        stores=names({*devices.stores_of(connection).values(), *filter(None, [store])}),
        receipts=rows,
        cashiers=cashiers.report(connection, now - REPORTED, store).cashiers[:ROWS_SHOWN],
        flagged=tuple(
            FlaggedRow(
                at=zone.text(one.at),
                place=f"{one.store} / {one.register}",
                cashier=one.cashier,
                member=one.member,
                reward=one.reward,
                problems=", ".join(one.problems),
            )
            for one in cashiers.flagged(connection, now - REPORTED, store).rewards[:ROWS_SHOWN]
        ),
        limits=limits.in_force(connection).limits,
        of_rewards=limits.in_force(connection, "reward").limits,
        days=REPORTED.days,
    )
