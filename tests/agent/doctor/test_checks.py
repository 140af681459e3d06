"""The checks of `doctor`: what is well, what is not, and which of it is gravest."""

from __future__ import annotations

import json
import os
import pty
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server
from typing import Any

import pytest
from msgspec.structs import replace

from agent.cli.status import status_command
from agent.cli.stopped import stopped_register
from agent.doctor.checks import Check, DoctorReport, Look, Surroundings, checked, examined, isolated
from agent.inspection import ProgramHere, StatusReport
from agent.supervisor import Health
from config.load import load_settings
from config.settings import PageSettings, PathSettings, ReceiptSettings, ScannerSettings, Settings
from drivers.relay.spool import STATUS_NAME
from loyalty.identification import IdentificationRule
from sync.store.witness import witness_of
from tests.agent.shop import Shop
from tests.agent.test_sales import grant, ready, till

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
OURSELVES = Path("/proc/self/comm").read_text().strip()


@pytest.fixture
def port() -> Iterator[str]:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def look(folder: Path, **settings: Any) -> Surroundings:
    file = folder / "tillside.toml"
    file.touch()
    return Surroundings(settings=Settings(paths=PathSettings(state=folder), **settings), file=file)


def of(report: DoctorReport, area: str, name: str = "") -> Check:
    (check,) = [each for each in report.checks if each.area == area and (not name or each.name == name)]
    return check


async def test_a_fresh_machine_is_not_enrolled(tmp_path: Path) -> None:
    settings = Settings(paths=PathSettings(state=tmp_path / "state"))
    report = await examined(settings, tmp_path / "none.toml")

    assert report.verdict == "not_enrolled"
    assert "has its default" in of(report, "settings").said
    assert "tillside enroll" in of(report, "enrolment").said
    assert "tillside run" in of(report, "agent").said


async def test_settings_of_the_relay_that_are_broken_are_told_before_it_has_to_start_by_them(tmp_path: Path) -> None:
    relay = tmp_path / "relay.toml"
    relay.write_text('[[register]]\nregister = "1"\nprinters = "p:9100"\n')
    told = of(await checked(look(tmp_path)), "settings", "relay")
    assert (told.verdict, "printers" in told.said, str(relay) in told.said) == ("problem", True, True)

    relay.unlink()
    assert [one.name for one in (await checked(look(tmp_path))).checks if one.area == "settings"] == ["file"]


async def test_a_damaged_enrolment_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "enrolment.json").write_text("{")

    report = await checked(look(tmp_path))

    assert of(report, "enrolment").verdict == "problem"


async def test_ports_are_tried_and_left_as_they_were(tmp_path: Path, port: str) -> None:
    scanners = (
        ScannerSettings(name="counter", options={"port": port}),
        ScannerSettings(name="gone", options={"port": "/dev/tillside-none"}),
        ScannerSettings(name="magic", driver="magic"),
        ScannerSettings(name="fast", options={"port": port, "baud": "fast"}),
        ScannerSettings(name="relayed", driver="shared", options={"spool": str(tmp_path)}),
    )
    for _ in range(2):
        report = await checked(look(tmp_path, scanners=scanners))

        assert of(report, "scanner", "counter").verdict == "healthy"
        assert "/dev/tillside-none" in of(report, "scanner", "gone").said
        assert "No driver 'magic'" in of(report, "scanner", "magic").said
        assert "baud" in of(report, "scanner", "fast").said
        assert of(report, "scanner", "relayed").verdict == "healthy"
        assert {check.name for check in report.checks if check.verdict == "problem" and check.area == "scanner"} == {
            "gone",
            "magic",
            "fast",
        }


async def test_a_running_agent_is_believed_about_its_scanners(tmp_path: Path, shop: Shop) -> None:
    shop.close()
    settings = load_settings(_config(shop.folder), environment={})
    workers = (
        Health(name="counter", kind="scanner", condition="ready"),
        Health(name="second", kind="scanner", condition="failing", problem="/dev/x was unplugged. Plug it in again."),
        Health(name="third", kind="scanner", condition="lent", problem="lent to `tillside doctor`"),
        Health(name="printer", kind="receipts", condition="ready"),
    )
    scanners = tuple(
        ScannerSettings(name=name, options={"port": "/dev/none"}) for name in ("counter", "second", "third")
    )
    with stopped_register(settings) as register:
        status: StatusReport = replace(register.status(), running=True, workers=workers)

    report = await checked(replace(look(tmp_path, scanners=scanners), status=status))

    assert [of(report, "scanner", name).verdict for name in ("counter", "second", "third")] == [
        "healthy",
        "problem",
        "degraded",
    ]
    assert "unplugged" in of(report, "scanner", "second").said
    assert of(report, "agent").verdict == "healthy"
    assert "from the centre" in of(report, "rules").said


async def test_what_can_be_spent_here_is_said_and_that_nothing_can(
    tmp_path: Path, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a register with allowances of two members, a part of them reserved
    await ready(shop)
    await grant(shop, 300, number=2, member="m-bora")
    async with till(shop) as pos:
        name = await pos.opened()
        await pos.told("POST", f"/{name}/redemptions", {"reward": "r5"})
    shop.close()
    config = _config(shop.folder)

    # Then status and doctor say what is left of them
    status_command(config=str(config), as_json=False)
    assert "800 points safe here, in 2 allowances; 1 rewards reserved, 1 sales open" in _in_one(capsys)
    said = of(await _checked(tmp_path, config), "spending")
    assert (said.verdict, said.said.partition(",")[0]) == (
        "healthy",
        "800 points and 0 vouchers in 2 allowances are safe here",
    )

    # And once the database is an older copy, that none of it can be spent, why, and what to do
    witness_of(shop.folder / "state" / "store.db").write_text("tillside-witness-1 99\n")
    status_command(config=str(config), as_json=False)
    assert "nothing, until the centre was reached" in _in_one(capsys)
    said = of(await _checked(tmp_path, config), "spending")
    assert said.verdict == "degraded"
    assert "older than" in said.said
    assert "let the register reach its centre" in said.said


async def _checked(folder: Path, config: Path) -> DoctorReport:
    with stopped_register(load_settings(config, environment={})) as register:
        return await checked(replace(look(folder), status=register.status()))


def _in_one(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the borders and breaks of its table."""
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


async def test_a_program_that_cannot_be_used_here_is_named_with_the_one_in_force(tmp_path: Path, shop: Shop) -> None:
    shop.close()
    settings = load_settings(_config(shop.folder), environment={})
    good, bad = (
        ProgramHere(hash=letter * 64, valid_from=None, held=not why, refused=why or None)
        for letter, why in (("a", ""), ("b", "this version cannot read the program; update the register"))
    )
    with stopped_register(settings) as register:
        status: StatusReport = replace(register.status(), running=True, program=good.hash, programs=(good, bad))

    report = await checked(replace(look(tmp_path), status=status))

    said = [each for each in report.checks if each.area == "program"]
    assert [(each.name, each.verdict) for each in said] == [("", "healthy"), ("b" * 12, "degraded")]
    assert "a" * 12 in said[0].said
    assert (of(report, "program", "b" * 12).verdict, of(report, "program", "b" * 12).said) == ("degraded", bad.refused)

    # And where an enrolled register has none at all
    enrolled = replace(status.badge, enrolled=True)
    report = await checked(replace(look(tmp_path), status=replace(status, program=None, programs=(), badge=enrolled)))
    assert of(report, "program").verdict == "degraded"


async def test_rules_that_are_likely_a_mistake_are_named(tmp_path: Path) -> None:
    rules = (
        IdentificationRule(name="club", prefixes=("29",)),
        IdentificationRule(name="wrong", symbologies=("ean31",)),
    )

    report = await checked(look(tmp_path, identification=rules))

    named = {check.name: check for check in report.checks if check.area == "rules" and check.name}
    assert named["wrong"].verdict == "problem"
    assert "ean31" in named["wrong"].said


def relay_says(folder: Path, **said: object) -> None:
    folder.mkdir(exist_ok=True)
    (folder / STATUS_NAME).write_text(json.dumps({"pid": os.getpid(), "unspooled": 0, "spool_trouble": "", **said}))


@pytest.mark.parametrize(
    ("said", "verdict", "part"),
    [
        ({}, "healthy", "runs"),
        ({"printer_trouble": "the printer does not answer"}, "degraded", "does not answer"),
        ({"unspooled": 3}, "degraded", "3 could not be kept"),
        ({"pid": 2**22 + 7}, "problem", "does not run"),
        ({"pid": "x"}, "problem", "does not run"),
        ({"pid": 2**22 + 7, "listen": "cups:till"}, "healthy", "queue of CUPS"),
    ],
)
async def test_a_spools_relay_speaks_for_it(tmp_path: Path, said: dict[str, object], verdict: str, part: str) -> None:
    relay_says(tmp_path / "spool", **said)

    report = await checked(look(tmp_path, receipts=(ReceiptSettings(name="printer", spool=tmp_path / "spool"),)))

    check = of(report, "spool", "printer")
    assert check.verdict == verdict
    assert part in check.said


async def test_a_spool_without_a_relay_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / STATUS_NAME).write_bytes(b"\xff{")
    for folder, verdict in (("missing", "problem"), ("empty", "degraded"), ("torn", "degraded")):
        report = await checked(look(tmp_path, receipts=(ReceiptSettings(name="printer", spool=tmp_path / folder),)))
        assert of(report, "spool", "printer").verdict == verdict
        assert "tillside relay" in of(report, "spool", "printer").said


async def test_a_printer_is_asked_where_its_relay_runs(tmp_path: Path) -> None:
    source = ReceiptSettings(name="printer", spool=tmp_path / "spool")
    for pid, asked in ((os.getpid(), True), (2**22 + 7, False)):
        relay_says(tmp_path / "spool", pid=pid, listen="pty:/run/till", printer="/dev/usb/lp0")

        report = await checked(look(tmp_path, receipts=(source,)))

        assert [each.name for each in report.checks if each.area == "printer"] == ["printer"] * asked


async def test_keys_and_database_are_looked_at(tmp_path: Path, shop: Shop) -> None:
    shop.close()
    (shop.folder / "state" / "store-key").chmod(0o600)
    around = look(tmp_path)

    well = await checked(replace(around, settings=Settings(paths=PathSettings(state=shop.folder / "state"))))
    assert (of(well, "keys").verdict, of(well, "database").verdict) == ("healthy", "healthy")

    (shop.folder / "state" / "store-key").chmod(0o644)
    exposed = await checked(replace(around, settings=Settings(paths=PathSettings(state=shop.folder / "state"))))
    assert (of(exposed, "keys").verdict, exposed.verdict) == ("problem", "not_enrolled")


async def test_a_shared_scanners_spool_is_looked_at_too(tmp_path: Path) -> None:
    relay_says(tmp_path / "scans", scanner_trouble="/dev/ttyACM0 is not there")
    scanner = ScannerSettings(name="counter", driver="shared", options={"spool": str(tmp_path / "scans")})

    report = await checked(look(tmp_path, scanners=(scanner,)))

    assert "ttyACM0" in of(report, "spool", "counter").said


async def test_each_source_of_receipts_is_named_with_how_it_is(tmp_path: Path, shop: Shop) -> None:
    shop.close()
    sources = (
        ReceiptSettings(name="printer", spool=tmp_path / "spool", authoritative=True),
        ReceiptSettings(name="pos", folder=tmp_path / "drop"),
    )
    around = look(tmp_path, receipts=sources)
    settings = Settings(paths=PathSettings(state=shop.folder / "state"), receipts=sources)
    with stopped_register(settings) as register:
        gone = Health(name="pos", kind="receipts", condition="failing", problem="connect the share")
        status: StatusReport = replace(register.status(), running=True, workers=(gone,))

    report = await checked(replace(around, status=status))

    assert of(report, "receipts", "printer").said == "spool, authoritative, no receipt yet"
    assert (of(report, "receipts", "pos").verdict, of(report, "receipts", "pos").said) == (
        "problem",
        "folder, no receipt yet: connect the share",
    )


async def test_a_check_that_fails_itself_is_a_problem_with_what_to_do(tmp_path: Path) -> None:
    def failing(error: Exception) -> Look:
        async def look(_around: Surroundings) -> AsyncIterator[Check]:
            yield Check(area="disk", name="first", verdict="healthy", said="well")
            raise error

        return look

    for error, said in (
        (PermissionError(13, "Permission denied", "/root/x"), "run the doctor as root"),
        (KeyError("gone"), "support-bundle"),
    ):
        found = [check async for check in isolated("disk", failing(error), look(tmp_path))]

        assert [(check.name, check.verdict) for check in found] == [("first", "healthy"), ("check", "problem")]
        assert said in found[1].said


async def test_a_spool_that_cannot_be_looked_at_loses_no_other_check(tmp_path: Path) -> None:
    unreachable = tmp_path / ("x" * 300)  # as a folder in one that this user may not enter: the system refuses to look

    report = await checked(look(tmp_path, receipts=(ReceiptSettings(name="printer", spool=unreachable),)))

    assert of(report, "spool", "printer").verdict == "problem"
    assert "cannot be looked at" in of(report, "spool", "printer").said
    assert of(report, "keys")


async def test_the_gravest_gives_the_verdict(tmp_path: Path) -> None:
    report = await checked(look(tmp_path))

    assert {check.verdict for check in report.checks} >= {"not_enrolled", "problem", "healthy"}
    assert report.verdict == "not_enrolled"


def _config(folder: Path) -> Path:
    file = folder / "tillside.toml"
    file.write_text('[paths]\nstate = "state"\n')
    return file


async def test_who_has_the_port_of_the_page_is_named_where_no_agent_runs(tmp_path: Path) -> None:
    with closing(create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        taken = await checked(look(tmp_path, page=PageSettings(port=port)))
    free = await checked(look(tmp_path, page=PageSettings(port=port)))

    assert f"127.0.0.1:{port} is used by {OURSELVES} (process {os.getpid()}): stop that" in of(taken, "agent").said
    assert "is used by" not in of(free, "agent").said
