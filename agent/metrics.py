"""How a register is, in numbers for Prometheus.

Owns which numbers there are and what they are called. None of them is about a member. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric

from agent.inspection import StatusReport, Verdict


def exposition(status: StatusReport) -> str:
    """The register's status in Prometheus' text format."""
    collected = CollectorRegistry(auto_describe=False)
    collected.register(_Collected(status))
    return generate_latest(collected).decode()


class _Collected:
    def __init__(self, status: StatusReport) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        place = status.place
        about = {
            "version": status.versions.tillside,
            "store": place.store or "",
            "register": place.register or "",
        }
        yield InfoMetricFamily("tillside_agent", "Which register this is, and the version that it runs.", value=about)
        yield _one("agent_running", "1 while its agent runs.", status.running)
        verdict = _labelled("verdict", "1 for what `tillside status` says.", "verdict")
        for each in get_args(Verdict):
            verdict.add_metric([each], each == status.verdict)
        yield verdict
        yield _one("online", "1 while the centre answers.", status.badge.online)
        yield _one("queued_entries", "Entries that wait for the centre.", status.queued)
        if status.oldest_queued_at is not None:
            said = "From when the first of those is."
            yield _one("oldest_queued_timestamp_seconds", said, status.oldest_queued_at.timestamp())
        if status.last_contact is not None:
            said = "When the centre last answered."
            yield _one("last_contact_timestamp_seconds", said, status.last_contact.timestamp())
        yield _one("quarantined_items", "What waits for a person.", status.quarantined)
        yield _one("members", "Members that this register holds.", status.members)
        yield _one("store_bytes", "What its store takes of the disk.", status.store_bytes)
        worker = _labelled("worker_up", "1 for each worker that works.", "kind", "name")
        for one in status.workers:
            worker.add_metric([one.kind, one.name], one.condition == "ready")
        yield worker
        receipt = _labelled("last_receipt_timestamp_seconds", "When the last receipt came from a source.", "source")
        for source in status.sources:
            if source.last_receipt is not None:
                receipt.add_metric([source.name], source.last_receipt.timestamp())
        yield receipt


def _one(name: str, said: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tillside_{name}", said, value=float(value))


def _labelled(name: str, said: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tillside_{name}", said, labels=labels)
