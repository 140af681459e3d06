"""`tillside status`: how this register is, in a few lines."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

from agent.cli.connection import inspection
from agent.cli.exit_codes import DONE
from agent.cli.outcome import OF_VERDICT, guarded, say, say_json
from agent.inspection import SourceReport, StatusReport
from config.load import load_settings
from sync.store.rows import SpendingStatus


def status_command(*, config: str | None, as_json: bool, metrics: bool = False) -> int:
    """Print the status, or with `metrics` its numbers, which are an answer however it is: 0 then.

    Exit codes: 0 healthy, 1 problem, 2 a setting is wrong, 3 not enrolled, 4 degraded."""

    def work() -> int:
        with inspection(load_settings(config)) as register:
            report = register.status()
        if metrics:
            from agent.metrics import exposition

            sys.stdout.write(exposition(report))
            return DONE
        if as_json:
            say_json(report)
        else:
            _print(report, datetime.now(UTC))
        return OF_VERDICT[report.verdict]

    return guarded("status", work, as_json=as_json)


def _print(report: StatusReport, now: datetime) -> None:
    say(f"{report.verdict.replace('_', ' ').capitalize()}.")
    for reason in report.reasons:
        say(f"  ! {reason}")
    for label, value in _facts(report, now):
        say(f"{label:<12}{value}")


def _facts(report: StatusReport, now: datetime) -> list[tuple[str, str]]:
    place, badge = report.place, report.badge
    facts = [
        ("Register", f"store {place.store or '?'}, register {place.register or '?'}"),
        ("Agent", "runs" if report.running else "does not run"),
        ("Enrolled", f"as {report.device}" if badge.enrolled else "no"),
        ("Centre", _centre(report, now)),
        ("Queue", _queue(report, now)),
        ("Quarantine", str(report.quarantined)),
        ("Members", _members(report, now)),
        ("Spending", _spending(report.spending)),
        ("Program", _program(report, now)),
        ("Item map", report.item_map[:12] if report.item_map else "none yet"),
        ("Card rules", f"{report.rules.settings} from the settings, {report.rules.centre} from the centre"),
    ]
    if report.running:
        facts.append(("Templates", f"{', '.join(report.templates) or 'none'} from the centre"))
    facts += [(worker.kind.capitalize(), f"{worker.name}: {worker.condition}") for worker in report.workers]
    facts += [("Source", _source(source, now)) for source in report.sources]
    if report.waiting:
        facts.append(("Unmatched", f"{report.waiting} of further sources wait for the authoritative one"))
    if report.ignored:
        counted = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in sorted(report.ignored.items()))
        facts.append(("Ignored", counted))
    return [
        *facts,
        ("Keys", report.keys),
        ("State", f"{report.state}, {report.store_bytes // 1024} KiB"),
        ("Page", report.page),
        ("Versions", f"tillside {report.versions.tillside}, Python {report.versions.python}, "
                     f"SQLite {report.versions.sqlite}"),
    ]  # fmt: skip


def _spending(spending: SpendingStatus) -> str:
    if spending.unsure_because:
        return "nothing, until the centre was reached"
    vouchers = f" and {spending.vouchers} vouchers" if spending.vouchers else ""
    held = f"{spending.points} points{vouchers} safe here, in {spending.allowances} allowances"
    open_now = f"; {spending.reserved} rewards reserved, {spending.open_sales} sales open"
    return held + open_now if spending.open_sales or spending.reserved else held


def _program(report: StatusReport, now: datetime) -> str:
    text = report.program[:12] if report.program else "none yet"
    for one in report.programs:
        if one.valid_from is not None and one.valid_from > now:
            state = "refused" if one.refused is not None else "is here" if one.held else "has not come yet"
            begins = one.valid_from.astimezone().isoformat(timespec="minutes")
            text += f", then {one.hash[:12]} from {begins} ({state})"
    return text


def _centre(report: StatusReport, now: datetime) -> str:
    if not report.badge.enrolled:
        return "none"
    last = f", last contact {_age(now - report.last_contact)} ago" if report.last_contact else ", never reached"
    return ("online" if report.badge.online else "offline") + last


def _source(source: SourceReport, now: datetime) -> str:
    last = f"last receipt {_age(now - source.last_receipt)} ago" if source.last_receipt else "no receipt yet"
    return f"{source.name} ({source.kind}{', authoritative' if source.authoritative else ''}): {last}"


def _queue(report: StatusReport, now: datetime) -> str:
    if report.oldest_queued_at is None:
        return str(report.queued)
    return f"{report.queued}, the oldest {_age(now - report.oldest_queued_at)} old"


def _members(report: StatusReport, now: datetime) -> str:
    as_of = f", as of {_age(now - report.members_as_of)} ago" if report.members_as_of else ""
    return f"{report.members}{as_of}"


def _age(age: timedelta) -> str:
    seconds = max(0, int(age.total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"
