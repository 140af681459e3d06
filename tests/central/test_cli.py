"""`tillside-central` as operators run it: what it prints, and its exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import Connection, update
from typer.testing import CliRunner

from central import enrolling, operations
from central.cli import app
from central.clock import utc_now
from central.db import tables
from central.db.database import Database
from central.folder import DataFolder
from central.journal import Journal, erased
from sync.wire import EnrolRequest
from tests.central.conftest import MEMBERS, refuse_rows
from tests.central.till import FACTS, Till, client_session, receipt

PROGRAM = {"program": "p", "currency": "RSD", "earn": [{"id": "base", "give": {"points": 1, "per_minor": 1000}}]}


def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def answer(*arguments: str, stdin: bytes = b"") -> tuple[int, Any]:
    """Exit code and the one JSON object printed."""
    code, output = run(*arguments, "--json", stdin=stdin)
    return code, json.loads(output)


def test_program_check_names_the_path(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(PROGRAM))
    bad.write_text(json.dumps(PROGRAM | {"earn": [{"id": "base", "give": {"points": 1.5, "per_minor": 1}}]}))
    code, checked = answer("program", "check", str(good))
    assert (code, checked["warnings"]) == (0, [])
    code, refused = answer("program", "check", str(bad))
    assert code == 1
    assert "$.earn[0].give.points" in refused["error"]
    assert answer("program", "check", str(tmp_path / "absent.json"))[0] == 2
    assert answer("program", "check", "-", stdin=good.read_bytes())[0] == 0


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        (["--help"], {"sqlalchemy", "alembic", "psycopg", "aiohttp", "jinja2", "uvloop", "qrcode", "structlog"}),
        (["program", "check", "-"], {"sqlalchemy", "alembic", "psycopg", "aiohttp", "jinja2", "uvloop", "structlog"}),
        (["members", "--help"], {"aiohttp", "jinja2", "uvloop", "qrcode", "matplotlib"}),
    ],
)
def test_a_command_loads_no_library_that_only_others_need(command: list[str], absent: set[str]) -> None:
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print(*{absent} & set(sys.modules), file=sys.stderr))\n"
        f"sys.argv[1:] = {command}\n"
        "from central.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(PROGRAM), capture_output=True, text=True, check=True
    )

    assert done.stderr.split() == []


def test_a_program_with_rewards_is_published(data: Path) -> None:
    reward = {"id": "r5", "cost": 500, "discount_minor": 500}
    document = json.dumps(PROGRAM | {"rewards": [reward]}).encode()

    assert answer("program", "publish", "--data", str(data), "-", stdin=document)[0] == 0


@pytest.mark.parametrize(
    "command",
    [
        ("serve",),
        ("open",),
        ("members", "show", "m1"),
        ("cards", "show", "TS0001"),
        ("registers", "list"),
        ("enrolment", "create", "--store", "1", "--register", "1"),
    ],
    ids=" ".join,
)
def test_without_a_centre_every_command_says_what_to_run(tmp_path: Path, command: tuple[str, ...]) -> None:
    code, refused = answer(*command, "--data", str(tmp_path / "none"))
    assert code == 3
    assert "tillside-central init" in refused["error"]
    assert not (tmp_path / "none").exists()


def test_usage_is_two(data: Path) -> None:
    where = ("--data", str(data))
    assert run("levitate")[0] == 2
    for valid in ("0h", "25h", "2d", "1w", "-1h", "99999999h"):
        code, refused = answer("enrolment", "create", *where, "--store", "1", "--register", "1", "--valid-for", valid)
        assert code == 2
        assert "24h" in refused["error"]
    assert answer("init", "--data", str(data), "--listen", "nowhere")[0] == 2
    for number in ("0", str(2**63), str(10**20)):
        assert run("quarantine", "show", *where, number)[0] == 2
        assert run("quarantine", "retry", *where, number)[0] == 2
    assert run("quarantine", "list", *where, "--after", str(2**63))[0] == 2


def test_a_code_can_be_shown_as_text_with_its_qr(data: Path) -> None:
    arguments = ("--data", str(data), "--store", "12", "--register", "3", "--url", "https://centre.example:8443")
    code, output = run("enrolment", "create", *arguments)
    assert code == 0
    assert "tillside-enrol:" in output
    assert "█" in output
    # One that no register would take is refused here, and no code is kept
    code, refused = answer("enrolment", "create", *arguments[:-1], "http://centre.example:8443")
    assert code == 2
    assert "https://HOST:PORT" in refused["error"]
    # One for several registers says that it has to be told which
    code, output = run("enrolment", "create", *arguments[:4], "--register", "*", *arguments[6:])
    assert "--register NUMBER" in output
    # Nobody's place can be taken who is not there
    code, refused = answer("registers", "replace", *arguments[:2], "d0", *arguments[6:])
    assert code == 1
    assert "registers list" in refused["error"]
    # Without an address there is nothing to put in it
    code, refused = answer("enrolment", "create", *arguments[:-2])
    assert code == 1
    assert "--url" in refused["error"]


def test_a_code_for_a_place_that_is_taken_says_whose_it_is(data: Path) -> None:
    # Given a register that had something unsent when it was heard of last
    database = Database(DataFolder(data).database)

    def enrolled(connection: Connection) -> str:
        hour, now = timedelta(hours=1), utc_now()
        enrolling.create_enrolment(connection, token="t", store="12", register="3", valid_for=hour, now=now)
        request = EnrolRequest(token="t", public_key="A" * 43, facts=FACTS)
        device = enrolling.enrol(connection, request, now=now, randomness=os.urandom).device
        connection.execute(update(tables.devices).values(queued=7))
        return device.id

    device = database.write_now(enrolled)
    database.close()
    arguments = ("--data", str(data), "--store", "12", "--register", "3", "--url", "https://centre.example:8443")
    # Then a code names it, and with --replace says what becomes of it
    code, plain = run("enrolment", "create", *arguments)
    assert (code, f"This register is {device}" in plain, "make the code with --replace" in plain) == (0, True, True)
    code, replacing = run("enrolment", "create", *arguments, "--replace")
    assert (code, f"Once it is used, {device}" in replacing, "with 7 entries unsent" in replacing) == (0, True, True)
    code, created = answer("registers", "replace", *arguments[:2], device, *arguments[6:])
    assert (code, created["replaces"], created["there"][0]["queued"]) == (0, device, 7)
    # And nobody is replaced where nobody is
    for register in ("4", "*"):
        wrong = answer("enrolment", "create", *arguments[:4], "--register", register, *arguments[6:], "--replace")
        assert wrong[0] == 2


def test_members_are_imported_linked_and_shown(data: Path, tmp_path: Path) -> None:
    where = ("--data", str(data))
    file = tmp_path / "members.json"
    file.write_text(json.dumps(MEMBERS))
    assert answer("members", "import", *where, str(file)) == (
        0,
        {"added": 0, "changed": 0, "unchanged": 3, "receipts": 0},
    )
    code, linked = answer("members", "link", *where, "m3", "ts-0003")
    assert (code, linked) == (0, {"member": "m3", "receipts": 0, "points": 0})
    assert answer("members", "link", *where, "m1", "TS0003")[0] == 1
    assert answer("members", "link", *where, "nobody", "TS0004")[0] == 1
    code, shown = answer("members", "show", *where, "TS 0003")
    assert (code, shown["member"]["member"]) == (0, "m3")
    assert answer("members", "show", *where, "nobody")[0] == 1


def test_a_text_that_means_two_members_means_none(data: Path) -> None:
    # given somebody whose id is another's card
    where = ("--data", str(data))
    both = {"members": [{"member": "TS-0001", "identifiers": [{"code": "TS0009"}]}]}
    assert run("members", "import", *where, "-", stdin=json.dumps(both).encode())[0] == 0

    for command in ("show", "erase"):
        # when a command names them both
        code, refused = answer("members", command, *where, "TS-0001")
        # then it is done to neither
        assert code == 1
        assert "m1" in refused["error"]
    assert answer("members", "erasures", *where)[1] == {"erasures": []}
    # and each can be named
    assert answer("members", "show", *where, "m1")[1]["member"]["member"] == "m1"
    assert answer("members", "show", *where, "TS0009")[1]["member"]["member"] == "TS-0001"


def test_an_erasure_says_where_files_are_still_to_be_cleaned(data: Path) -> None:
    where = ("--data", str(data))
    database = DataFolder(data).settings().database

    code, said = run("members", "erase", *where, "m1")

    assert (code, "run `members purge`" in said) == (0, database is not None)
    code, done = answer("members", "purge", *where)
    assert (code, unquote(done["purged"])) == (0, database or str(data / "centre.db"))


def test_a_card_from_the_drawer_to_its_replacement(data: Path, tmp_path: Path) -> None:
    where = ("--data", str(data))
    stock = tmp_path / "cards.csv"
    stock.write_text("code,printed\nTS-101,900 101\nTS-102,900 102\n", encoding="utf-8")
    # stock
    assert answer("cards", "import", *where, str(stock)) == (
        0,
        {"added": 2, "changed": 0, "unchanged": 0, "receipts": 0},
    )
    # handed out, and linked with a card that has one number more
    code, issued = answer("cards", "issue", *where, "900101", "m3")
    assert (code, issued["card"]["state"], issued["card"]["member"], issued["points"]) == (0, "active", "m3", 0)
    assert answer("members", "link", *where, "m3", "NEW-1", "--printed", "77")[0] == 0
    assert answer("members", "link", *where, "m3", "NEW-2", "--alias-of", "77")[0] == 0
    _, shown = answer("cards", "show", *where, "new 2")
    assert [number["code"] for number in shown["numbers"]] == ["NEW1", "NEW2", "77"]
    # blocked by its printed number, and let go
    code, blocked = answer("cards", "block", *where, "900 101", "--reason", "lost on the bus")
    assert (code, blocked["card"]["state"], blocked["card"]["blocked_because"]) == (0, "blocked", "lost on the bus")
    code, output = run("cards", "show", *where, "TS101")
    assert code == 0
    assert "TS101, 900101 (printed)  blocked  m3" in output
    assert "lost on the bus" in output
    assert "blocked" in run("members", "show", *where, "m3")[1]
    assert answer("cards", "unblock", *where, "TS101")[1]["card"]["state"] == "active"
    # replaced
    code, replaced = answer("cards", "replace", *where, "TS101", "900102")
    assert (code, replaced["card"]["state"], replaced["card"]["replaced_by"]) == (0, "replaced", "TS102")
    assert [change["what"] for change in replaced["card"]["changes"]] == ["issued", "blocked", "unblocked", "replaced"]
    assert "replaced by TS102" in run("cards", "show", *where, "TS101")[1]


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("show", "NOBODY"), "no card has this number"),
        (("block", "NOBODY"), "no card has this number"),
        (("unblock", "NOBODY"), "no card has this number"),
        (("issue", "NOBODY", "m1"), "no card has this number"),
        (("issue", "TS0001", "nobody"), "there is no member nobody"),
        (("issue", "TS0001", "m2"), "already names another member"),
        (("replace", "TS0001", "TS0002"), "already names another member"),
        (("import", "-"), "line 1: write CODE"),
    ],
    ids=str,
)
def test_what_cannot_be_done_to_a_card_is_one_line_and_exit_code_one(
    data: Path, command: tuple[str, ...], says: str
) -> None:
    code, refused = answer("cards", command[0], "--data", str(data), *command[1:], stdin=b"1,2,3\n")
    assert code == 1
    assert says in refused["error"]
    assert answer("cards", "import", "--data", str(data), "/nowhere")[0] == 2


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"members": [{"member": "../x"}]}, "$.members[0].member"),
        ({"members": [{"member": "a"}, {"member": "a"}]}, "$.members[1].member"),
        ({"members": [{"member": "a", "birth_date": "1990-01-01"}]}, "birth_date"),
        ({"members": [{"member": "a", "identifiers": [{"code": " - "}]}]}, "$.members[0].identifiers[0].code"),
        ({"members": [{"member": "new", "identifiers": [{"code": "TS0001"}]}]}, "already names m1"),
        (
            {
                "members": [
                    {"member": "a", "identifiers": [{"code": "X1"}]},
                    {"member": "b", "identifiers": [{"code": "x-1"}]},
                ]
            },
            "the same code",
        ),
    ],
)
def test_an_import_is_taken_whole_or_not_at_all(data: Path, document: Any, says: str) -> None:
    before = _members(data)
    code, refused = answer("members", "import", "--data", str(data), "-", stdin=json.dumps(document).encode())
    assert code == 1
    assert says in refused["error"]
    assert _members(data) == before


def _members(data: Path) -> Any:
    from central.db import tables

    database = Database(DataFolder(data).database)
    try:
        return database.read_now(lambda connection: connection.execute(tables.members.select()).all())
    finally:
        database.close()


def test_a_failure_nobody_expected_is_one_line_that_names_nobody(data: Path) -> None:
    database = Database(DataFolder(data).database)
    database.write_now(lambda connection: refuse_rows(connection, "identifiers"))
    database.close()
    for as_json in ((), ("--json",)):
        code, output = run("members", "link", "--data", str(data), "m1", "TS-PRIVATE", *as_json)
        assert code == 1
        assert output.count("\n") == 1
        assert "IntegrityError" in output
        assert "PRIVATE" not in output


def test_a_wrong_balance_is_a_problem_found(data: Path) -> None:
    from central.db import tables

    database = Database(DataFolder(data).database)
    database.write_now(lambda connection: connection.execute(tables.balances.update().values(confirmed=1)))
    database.close()
    code, checked = answer("ledger", "check", "--data", str(data))
    assert code == 1
    assert [wrong["member"] for wrong in checked["balance_mismatch"]] == ["m1", "m2", "m3"]


async def _serving(data: Path) -> tuple[asyncio.subprocess.Process, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from central.cli import main; main()",
        "serve",
        "--data",
        str(data),
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    return process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30))


async def test_serve_notes_what_a_killed_process_did_not(data: Path) -> None:
    # Given an erasure whose process was killed between its commit and the journal
    folder = DataFolder(data)
    database = Database(folder.database)
    erasure = database.write_now(lambda connection: operations.erase_member(connection, "m1", utc_now()))
    database.close()
    # When the centre is served again
    process, _ = await _serving(data)
    process.terminate()
    await process.communicate()
    # Then a backup of before does not bring the member back
    assert Journal(folder.journal).facts() == (erased(erasure),)


def test_who_is_not_there_is_not_revoked_nor_let_in_and_the_journal_has_nothing_of_it(tmp_path: Path) -> None:
    where = ("--data", str(tmp_path / "centre"))
    assert run("init", *where, "--listen", "127.0.0.1:8443", "--admin", "127.0.0.1:0")[0] == 0

    code, told = answer("registers", "revoke", *where, "nobody")
    assert (code, "there is no device nobody" in told["error"]) == (1, True)
    for name in ("", "1\n2", "x" * 5000):
        code, told = answer("enrolment", "create", *where, "--store", name, "--register", "1")
        assert (code, "cannot name a store" in told["error"]) == (2, True)

    assert Journal(DataFolder(tmp_path / "centre").journal).facts() == ()


async def test_a_centre_from_nothing_to_points_and_a_clean_stop(tmp_path: Path) -> None:
    # Given a centre made and started by command
    data, program = tmp_path / "centre", tmp_path / "program.json"
    where = ("--data", str(data))
    program.write_text(json.dumps(PROGRAM))
    assert run("init", *where, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--brand", "Kod Savete")[0] == 0
    assert run("program", "publish", *where, str(program))[0] == 0
    assert answer("members", "import", *where, "-", stdin=json.dumps(MEMBERS).encode())[0] == 0
    process, ready = await _serving(data)
    try:
        # When a register enrols with a code made beside the running server, and sells
        code, created = await asyncio.to_thread(
            answer, "enrolment", "create", *where, "--store", "12", "--register", "3"
        )
        assert code == 0
        async with client_session() as session:
            till = await Till.enrolled(ready["device_api"], created["code"], session)
            await till.sell(receipt(1, 100_00, code="TS0001"))
            # Then the member has the points, and a link opens the admin pages
            _, shown = await asyncio.to_thread(answer, "members", "show", *where, "m1")
            assert shown["member"]["balance"]["confirmed"] == 10
            assert [entry["points"] for entry in shown["entries"]] == [10]
            _, listed = await asyncio.to_thread(answer, "registers", "list", *where)
            assert [register["device"] for register in listed["registers"]] == [till.device]
            move = ("registers", "move", *where, till.device, "--store", "13", "--register")
            assert (await asyncio.to_thread(answer, *move, "2"))[0] == 0
            assert (await till.heartbeat()).store == "13"
            assert (await asyncio.to_thread(answer, *move[:-4], "d0", *move[-3:], "9"))[0] == 1
            for minutes, logs in (("10", True), ("0", False)):
                logs_for = ("registers", "log", *where, "--minutes", minutes)
                assert (await asyncio.to_thread(answer, *logs_for, till.device))[0] == 0
                assert (0 < ((await till.heartbeat()).log_s or 0) <= 600) == logs
            assert (await asyncio.to_thread(answer, *logs_for, "d0"))[0] == 1
            _, link = await asyncio.to_thread(answer, "open", *where)
            async with session.get(link["open"], allow_redirects=False) as opened:
                assert opened.status == 303
            code, checked = await asyncio.to_thread(answer, "ledger", "check", *where)
            assert (code, checked["entries"], checked["balance_mismatch"]) == (0, 1, [])
            code, output = await asyncio.to_thread(run, "ledger", "export", *where, "--json")
            lines = [json.loads(line) for line in output.splitlines()]
            assert [line["type"] for line in lines] == ["receipt", "entry", "balance"]
            assert (lines[1]["member"], lines[1]["points"]) == ("m1", 10)
            code, _ = await asyncio.to_thread(answer, "registers", "revoke", *where, till.device)
            assert code == 0
            assert (await till.request("GET", "/v1/snapshot", b""))[0] == 403
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 30)
    # And it stops cleanly, with a log of JSON lines that names nobody
    assert process.returncode == 0
    events = [json.loads(line) for line in log.splitlines()]
    assert [event["event"] for event in events][:1] == ["serving"]
    assert events[-1]["event"] == "stopping"
    assert b"TS0001" not in log
    assert b"Ana" not in log


def test_a_program_is_sent_ahead_shown_and_withdrawn(data: Path) -> None:
    where = ("--data", str(data))
    document = json.dumps(PROGRAM).encode()

    # Given one that is to begin in a far year
    code, planned = answer("program", "publish", *where, "-", "--from", "2999-01-01T00:00+01:00", stdin=document)
    assert code == 0
    _, shown = answer("program", "show", *where)
    in_force, later = shown["versions"]
    assert (in_force["state"], in_force["valid_from"], later["state"]) == ("in_force", None, "planned")
    assert (later["hash"], later["valid_from"]) == (planned["hash"], "2998-12-31T23:00:00Z")
    assert in_force["until"] == later["valid_from"]
    assert run("program", "show", *where)[1].count("0 of 0 registers hold it") == 2

    # When it is withdrawn, by how its hash begins
    code, withdrawn = answer("program", "withdraw", *where, planned["hash"][:12])
    assert (code, withdrawn["hash"]) == (0, planned["hash"])
    # Then the one in force is left, and cannot be withdrawn
    _, shown = answer("program", "show", *where)
    assert [one["state"] for one in shown["versions"]] == ["in_force"]
    code, refused = answer("program", "withdraw", *where, in_force["hash"])
    assert (code, "publish another" in refused["error"]) == (1, True)


def test_a_time_to_begin_is_to_come_and_has_an_offset(data: Path) -> None:
    where, document = ("--data", str(data)), json.dumps(PROGRAM).encode()
    code, refused = answer("program", "publish", *where, "-", "--from", "2026-01-01T00:00+01:00", stdin=document)
    assert (code, "publish without a time" in refused["error"]) == (1, True)
    for wrong in ("2999-01-01T00:00", "tomorrow", "2999-13-01T00:00Z"):
        code, refused = answer("program", "publish", *where, "-", "--from", wrong, stdin=document)
        assert (code, "2026-12-01T00:00+01:00" in refused["error"]) == (2, True)


def test_without_a_program_show_says_how_to_publish_one(tmp_path: Path) -> None:
    run("init", "--data", str(tmp_path / "new"))
    assert "program publish" in run("program", "show", "--data", str(tmp_path / "new"))[1]


def test_limits_are_set_shown_and_reported(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "c"))
    assert run("init", *data)[0] == 0
    # Given a new centre: it has the usual limits
    assert answer("limits", "show", *data)[1]["limits"] == {
        "cashier": 8,
        "register": 12,
        "card": 20,
        "member": 30,
        "late_minutes": 120,
    }
    # When some are set, then the others stay, and 0 is none
    code, shown = answer("limits", "set", "--cashier", "3", "--card", "0", "--because", "a small shop", *data)
    assert (code, shown["limits"]) == (
        0,
        {"cashier": 3, "register": 12, "card": None, "member": 30, "late_minutes": 120},
    )
    code, shown = answer("limits", "set", "--late", "0", "--because", "a small shop", *data)
    assert (code, shown["limits"]["late_minutes"]) == (0, None)
    assert "given to a member later at any time" in run("limits", "show", *data)[1]
    code, text = run("limits", "set", "--rewards", "--late", "60", *data)
    assert (code, text.strip()) == (2, "--late is a limit on sales: say it without --rewards")
    text = run("limits", "show", *data)[1]
    assert "for one member by one cashier 3, for one member at one register 12, with one card any number" in text
    assert "a small shop" in text
    assert run("limits", "report", *data)[1].startswith("No sale since")
    assert run("limits", "flagged", *data)[1].startswith("No reward since")
    assert answer("limits", "set", "--rewards", "--member", "3", *data)[1]["limits"]["member"] == 3
    assert run("limits", "show", "--rewards", *data)[1].startswith("Rewards within 24 hours")
    # And setting up again changes nothing of it
    assert run("init", *data)[0] == 0
    assert answer("limits", "show", *data)[1]["limits"]["cashier"] == 3
