"""Commands of a register whose agent does not run: exit codes and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.cli.enroll import enroll_command
from agent.cli.members import members_command
from agent.cli.open import open_command
from agent.cli.outcome import say
from agent.cli.queue import Asked, queue_command
from agent.cli.status import status_command
from loyalty.member import Identifier, Member
from tests.agent.shop import ANA, Shop, receipt

Command = Callable[[str], int]


@pytest.fixture
async def config(shop: Shop) -> str:
    """Settings of a register with a member, a receipt and something in quarantine; nobody has its store open."""
    hostile = Member(
        member="m-evil",
        identifiers=(Identifier(kind="card", code="TS6666"),),
        short_name="Eve\x1b[2J\u202e<b>",
    )
    lost = Member(
        member="m-lost",
        identifiers=(
            Identifier(kind="card", code="9001666", card="TS1666", state="blocked"),
            Identifier(kind="card", code="TS1666", card="TS1666", state="blocked"),
        ),
        short_name="Mila",
    )
    await shop.seed((ANA, hostile, lost))
    shop.print(receipt(1))
    shop.print(b"\x1b@MYSTERY SHEET\n\x1dV\x00")
    await shop.take_all()
    shop.close()
    file = shop.folder / "tillside.toml"
    file.write_text('[register]\nstore = "12"\nregister = "3"\n[paths]\nstate = "state"\n')
    return str(file)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (lambda config: queue_command(Asked(action="burn"), config), 2),
        (lambda config: queue_command(Asked(action="show"), config), 2),
        (lambda config: queue_command(Asked(action="show", ident="x"), config), 2),
        (lambda config: queue_command(Asked(action="show", ident="99"), config), 1),
        (lambda config: queue_command(Asked(action="show", ident="1"), config), 0),
        (lambda config: queue_command(Asked(action="retry", ident="1"), config), 1),
        (lambda config: queue_command(Asked(action="list"), config), 4),
        (lambda config: queue_command(Asked(action="export", ident="/nowhere/file"), config), 1),
        (lambda config: queue_command(Asked(action="show", ident="e99"), config), 1),
        (lambda config: queue_command(Asked(action="show", ident="e1"), config), 0),
        (lambda config: queue_command(Asked(action="retry", ident="e1"), config), 1),
        (lambda config: queue_command(Asked(action="retry"), config), 2),
        (lambda config: queue_command(Asked(action="retry", everything=True), config), 1),
        (lambda config: queue_command(Asked(action="retry", ident="1", everything=True), config), 2),
        (lambda config: queue_command(Asked(action="resolve", ident="1"), config), 2),
        (lambda config: queue_command(Asked(action="resolve", ident="1", as_="dismissed"), config), 2),
        (lambda config: queue_command(Asked(action="resolve", ident="e1", as_="not-a-receipt"), config), 2),
        (lambda config: queue_command(Asked(action="resolve", ident="x", as_="dismissed", reason="seen"), config), 2),
        (lambda config: queue_command(Asked(action="resolve", ident="99", as_="dismissed", reason="seen"), config), 1),
        (lambda config: members_command(action="greet", query="x", config=config, as_json=False), 2),
        (lambda config: members_command(action="find", query="ZZZ", config=config, as_json=False), 1),
        (lambda config: members_command(action="find", query="ts1", config=config, as_json=False), 0),
        (lambda config: members_command(action="show", query="ZZZ", config=config, as_json=False), 1),
        (lambda config: members_command(action="show", query="TS1001", config=config, as_json=False), 0),
        (lambda config: open_command(customer=False, config=config, print_only=True, as_json=False), 1),
        (lambda config: status_command(config=config, as_json=False), 3),
        (lambda config: status_command(config="/nowhere/tillside.toml", as_json=False), 2),
        (lambda config: enroll_command(code="nonsense", replace=False, config=config, as_json=False), 2),
    ],
)
def test_exit_codes(config: str, command: Command, code: int) -> None:
    assert command(config) == code


def test_status_says_what_an_operator_needs(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    status_command(config=config, as_json=False)

    told = capsys.readouterr().out
    for part in ("agent does not run", "not enrolled", "store 12, register 3", "1 in quarantine", "files, mode 0600"):
        assert part in told


def test_the_number_printed_on_a_card_finds_its_member(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action, query in (("find", "900"), ("show", "900-1666"), ("show", "ts1666")):
        assert members_command(action=action, query=query, config=config, as_json=False) == 0

        told = capsys.readouterr().out
        assert "Mila" in told
        assert "card 9001666 (blocked), card TS1666 (blocked)" in told


def test_a_members_name_cannot_steer_the_terminal(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    members_command(action="show", query="TS6666", config=config, as_json=False)

    told = capsys.readouterr().out
    assert "Eve[2J<b>" in told
    assert "\x1b" not in told


def test_queue_list_as_json_is_one_document(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue_command(Asked(action="list", as_json=True), config)

    report = json.loads(capsys.readouterr().out)
    assert (report["queued"], report["entries"][0]["kind"]) == (1, "receipt")
    assert report["quarantined"][0]["reason"] == "unknown_layout"


def test_the_list_says_what_each_item_shows_and_what_to_do(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue_command(Asked(action="list"), config)

    told = capsys.readouterr().out
    assert "MYSTERY SHEET" in told
    assert "choose its template, format or code page under [[receipts]]" in told


def test_an_item_is_shown_as_its_paper_with_nothing_that_acts(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue_command(Asked(action="show", ident="1", as_json=True), config)

    report = json.loads(capsys.readouterr().out)
    assert "MYSTERY SHEET" in report["text"]
    assert all(letter.isprintable() or letter == "\n" for letter in report["text"])
    assert (report["reason"], report["receipts"]) == ("unknown_layout", [])
    assert [trouble["code"] for trouble in report["troubles"]] == ["unknown_layout"]


def test_only_a_running_agent_reads_again(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    queue_command(Asked(action="retry", everything=True), config)

    assert "`tillside run`" in capsys.readouterr().err


def test_a_resolved_item_is_listed_and_counted_no_more(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert queue_command(Asked(action="resolve", ident="1", as_json=True, as_="dismissed", reason="seen"), config) == 0
    assert json.loads(capsys.readouterr().out) == {"resolved": 1}

    assert queue_command(Asked(action="list"), config) == 0
    assert "quarantine" not in capsys.readouterr().out


def test_an_export_says_how_much_as_json(config: str, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    target = str(shop.folder / "export.jsonl")

    assert queue_command(Asked(action="export", ident=target, as_json=True), config) == 0

    assert json.loads(capsys.readouterr().out) == {"file": target, "items": 1}


def test_an_export_never_overwrites(config: str, shop: Shop) -> None:
    target: Path = shop.folder / "export.jsonl"
    assert queue_command(Asked(action="export", ident=str(target)), config) == 0
    before = target.read_bytes()

    assert queue_command(Asked(action="export", ident=str(target)), config) == 1

    assert target.read_bytes() == before
    assert b"MYSTERY" not in before  # raw bytes travel in base64


def test_what_is_said_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\nb\tc\x07")

    assert capsys.readouterr().out == "a?b?c?\n"


@pytest.mark.parametrize(
    "ask",
    [
        lambda config: status_command(config=config, as_json=True),
        lambda config: queue_command(Asked(action="list", as_json=True), config),
        lambda config: members_command(action="find", query="TS1", config=config, as_json=True),
    ],
)
def test_where_nothing_was_ever_run_there_is_no_register(
    ask: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "tillside.toml"
    settings.write_text('[paths]\nstate = "state"\n')

    assert ask(str(settings)) == 3

    assert "tillside run" in json.loads(capsys.readouterr().out)["error"]
    assert not (tmp_path / "state").exists()


def test_asking_a_damaged_store_leaves_it_as_it_is(config: str, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    store = shop.folder / "state" / "store.db"
    damaged = b"\xff" * 64 + store.read_bytes()[64:]
    store.write_bytes(damaged)

    assert status_command(config=config, as_json=False) == 1

    assert "is damaged" in capsys.readouterr().err
    assert store.read_bytes() == damaged
