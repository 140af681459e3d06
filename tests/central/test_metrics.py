"""The centre's numbers for Prometheus: what they say, and that they are about nobody."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from central import releases
from central.metrics import CONTENT_TYPE, exposition
from sync.wire import HeartbeatRequest, HeartbeatResponse
from tests.central.conftest import RunningCentre
from tests.central.test_admin import Browser
from tests.central.till import NOON, receipt


def numbers(text: str) -> dict[tuple[str, str], float]:
    """Each sample by its name, and its register, reason or state."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels
            of = labels.get("register") or labels.get("reason") or labels.get("state") or ""
            found[sample.name, of] = sample.value
    return found


async def test_a_chain_is_seen_in_numbers_by_whoever_is_on_the_machine(centre: RunningCentre) -> None:
    till, silent = await centre.till("3"), await centre.till("4")
    await till.sell(receipt(1, code="TS0001"), receipt(2))
    till.entry("nonsense", "k-1", b"{}")
    await till.send(3)
    await silent.heartbeat(queued=7)
    nobody = Browser(centre)

    answer = await nobody.ask("GET", "/metrics")
    text = await answer.text()
    assert answer.status == 200, text
    told = numbers(text)

    assert (answer.status, answer.headers["Content-Type"]) == (200, CONTENT_TYPE)
    assert told["tillside_entries_total", ""] == 3
    assert told["tillside_quarantined_entries", "unknown_kind"] == 1
    assert told["tillside_register_last_contact_timestamp_seconds", "3"] == NOON.timestamp()
    assert told["tillside_register_queued_entries", "4"] == 7
    assert told["tillside_receipts_held", "held_for_limit"] == 0
    assert "TS0001" not in text


async def test_a_register_that_says_another_version_each_time_makes_no_new_series(centre: RunningCentre) -> None:
    # Given two registers of one version, one of what was released, and one that says what it likes
    said = {"1": "2.0.0", "2": "2.0.0", "3": "7.0.0", "4": "9.9.9", "5": "x", "6": "x"}
    for register, version in said.items():
        till = await centre.till(register)
        await till.post("/v1/heartbeat", HeartbeatRequest(version=version, queued=0, quarantined=0), HeartbeatResponse)
    centre.write(lambda connection: releases.offer(connection, "7.0.0", ["12"], timedelta(0), NOON))

    text = centre.read(lambda connection: exposition(connection, {})).decode()

    infos = [
        sample.labels
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "tillside_register_info"
    ]
    assert {one["register"]: one["version"] for one in infos} == {
        "1": "2.0.0", "2": "2.0.0", "3": "7.0.0", "4": "other", "5": "other", "6": "other",
    }  # fmt: skip
    assert {one["platform"] for one in infos} <= {"Linux", "other"}


async def test_numbers_are_told_at_this_address_alone(centre: RunningCentre) -> None:
    answer = await Browser(centre).ask("GET", "/metrics", {"Host": "attacker.example"})
    assert answer.status == 403
