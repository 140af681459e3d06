"""How the centre and its registers are, in numbers for Prometheus.

Owns which numbers there are and what they are called. None of them is about a member. Reads what is kept already, by
index or a row for each register, so that asking every few seconds costs little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from sqlalchemy import Connection, Row, func, select

from central import devices, ledger
from central.db import tables
from sync.program_versions import version_key

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REGISTER = ("store", "register", "device")
# Each value of a label is a series for ever. What one register alone says could be another at each of its heartbeats.
OTHER: Final = "other"
SYSTEMS: Final = frozenset({"Linux", "Windows", "macOS"})


def exposition(connection: Connection, refused: Mapping[str, int]) -> bytes:
    """All numbers as they are now, in Prometheus' text format; `refused` are those who were not let in, by why."""
    collected = CollectorRegistry(auto_describe=False)
    metrics = (*_of_registers(connection), *_of_centre(connection), _of_refused(refused))
    collected.register(_Collected(metrics))
    return generate_latest(collected)


class _Collected:
    def __init__(self, metrics: tuple[Metric, ...]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return iter(self._metrics)


def _of_registers(connection: Connection) -> Iterator[Metric]:
    """One series of each for every register in service."""
    said = "A register in service, and the version that it runs."
    info = InfoMetricFamily("tillside_register", said, labels=_REGISTER)
    contact = _gauge("register_last_contact_timestamp_seconds", "When it was last heard of; absent where never.")
    queued = _gauge("register_queued_entries", "Entries that wait at it for the centre, as it last said.")
    oldest = _gauge("register_oldest_queued_timestamp_seconds", "From when the first of those is; absent where none.")
    aside = _gauge("register_quarantined_items", "What waits at it for a person, as it last said.")
    shared = _gauge("register_shared_identity", "1 where two machines alternate under its identity.")
    alternating = devices.shared_devices(connection)
    rows = connection.execute(
        select(tables.devices).where(tables.devices.c.revoked_at.is_(None)).order_by(tables.devices.c.id)
    )
    registers = rows.all()
    versions = _versions(connection, registers)
    for row in registers:
        named = (row.store, row.register, row.id)
        system = row.platform.partition("-")[0]
        runs = row.version if row.version in versions else OTHER
        info.add_metric(named, {"version": runs, "platform": system if system in SYSTEMS else OTHER})
        queued.add_metric(named, row.queued)
        aside.add_metric(named, row.quarantined)
        shared.add_metric(named, int(row.id in alternating))
        for gauge, moment in ((contact, row.last_contact), (oldest, row.oldest_queued_at)):
            if moment is not None:
                gauge.add_metric(named, _seconds(moment))
    yield from (info, contact, queued, oldest, aside, shared)


def _versions(connection: Connection, registers: Sequence[Row[Any]]) -> frozenset[str]:
    """Those that were released here, the centre's own, and what several registers say that is a version."""
    told = Counter(row.version for row in registers)
    released = connection.execute(select(tables.releases.c.version)).scalars()
    return frozenset(
        {version("tillside"), *released, *(one for one, by in told.items() if by > 1 and _is_version(one))}
    )


def _is_version(text: str) -> bool:
    try:
        version_key(text)
    except ValueError:
        return False
    return True


def _of_centre(connection: Connection) -> Iterator[Metric]:
    epochs, receipts, aside = tables.epochs.c, tables.receipts.c, tables.quarantine.c
    taken = connection.execute(select(func.coalesce(func.sum(epochs.acked_through), 0))).scalar_one()
    yield CounterMetricFamily("tillside_entries", "Entries of registers that were acknowledged.", value=float(taken))
    placed = connection.execute(select(tables.centre.c.feed_pos)).scalar_one()
    yield GaugeMetricFamily("tillside_feed_position", "The position of the newest change.", value=float(placed))
    unplaced = select(func.count()).select_from(tables.changes)
    yield GaugeMetricFamily(
        "tillside_changes_unplaced",
        "Changes that the sequencer has not given a position yet.",
        value=float(connection.execute(unplaced).scalar_one()),
    )
    said = "Receipts that give nothing until a person looked at them."
    held = GaugeMetricFamily("tillside_receipts_held", said, labels=["state"])
    by_state = select(receipts.state, func.count().label("held")).where(receipts.state.in_(ledger.HELD_STATES))
    counted = {row.state: row.held for row in connection.execute(by_state.group_by(receipts.state))}
    for state in ledger.HELD_STATES:
        held.add_metric([state], counted.get(state, 0))
    yield held
    waiting = GaugeMetricFamily("tillside_quarantined_entries", "Entries that were set aside here.", labels=["reason"])
    open_ones = select(aside.reason, func.count()).where(aside.resolved_at.is_(None)).group_by(aside.reason)
    for reason, count in connection.execute(open_ones.order_by(aside.reason)):
        waiting.add_metric([reason], count)
    yield waiting


def _of_refused(refused: Mapping[str, int]) -> Metric:
    said = "Registers that were not let in since the centre started, by why."
    counter = CounterMetricFamily("tillside_enrolments_refused", said, labels=["reason"])
    for reason, count in sorted(refused.items()):
        counter.add_metric([reason], count)
    return counter


def _gauge(name: str, said: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tillside_{name}", said, labels=_REGISTER)


def _seconds(moment: datetime) -> float:
    return moment.timestamp()
