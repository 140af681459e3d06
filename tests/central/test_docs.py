"""What the centre's page says exists, and the other way round."""

from __future__ import annotations

import re
from pathlib import Path

from central.db.tables import metadata
from central.members import members_from_json

PAGE = (Path(__file__).parents[2] / "docs" / "central.md").read_text()


def _section(title: str) -> str:
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_table_is_described_and_no_other() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", _section("Tables"), flags=re.MULTILINE)
    described = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert described == set(metadata.tables)


def test_the_members_file_shown_can_be_imported() -> None:
    shown = re.search(r"```json\n(.*?)```", _section("Members"), flags=re.DOTALL)
    assert shown
    [member] = members_from_json(shown[1].encode())
    assert [(identifier.kind, identifier.code) for identifier in member.identifiers] == [("card", "TS10007938U")]


def test_every_reason_of_quarantine_is_described() -> None:
    folder = Path(__file__).parents[2] / "central"
    source = "".join((folder / name).read_text() for name in ("bodies.py", "ingest.py"))
    reasons = set(re.findall(r'reason="(\w+)"', source)) | {"identity", "member", "poison"}
    for reason in reasons - {""}:
        assert f"`{reason}`" in _section("What happens to an entry"), reason
