"""A register as a process: it starts, answers, is killed and stopped, and keeps everything."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sync.enrolment import Enrolment, save_enrolment
from sync.keys import DEVICE_KEY, DEVICE_KEY_BYTES, keeper_for
from tests.agent.shop import PROGRAM, receipt
from tests.agent.test_centre import ca_pem
from tests.browser.till import READY_WITHIN_S, Till, card, free_port, member

pytestmark = pytest.mark.processes


@pytest.fixture
async def till(tmp_path: Path) -> AsyncIterator[Till]:
    till = Till(tmp_path)
    await till.seed([member(number) for number in range(20)], PROGRAM)
    yield till
    await till.kill()
    till.close()


async def asked(till: Till, *command: str) -> tuple[int, dict[str, object]]:
    code, out, err = await till.command(*command, "--json")
    assert out, err
    answer: dict[str, object] = json.loads(out)
    return code, answer


async def until_queued(till: Till, count: int) -> None:
    """Waits until the agent has booked so many receipts."""
    agent = await till.agent()
    for _ in range(500):
        if (await asyncio.to_thread(agent.status)).queued == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError((till.folder / "agent.log").read_text())


async def test_not_enrolled_it_runs_keeps_and_says_so(till: Till) -> None:
    # given
    ready = await till.start()
    assert ready["page"] == f"http://127.0.0.1:{till.port}/"
    assert ready["enrolled"] is False

    # when
    till.scan(card(7))
    till.print(receipt(1))
    await until_queued(till, 1)

    # then
    code, status = await asked(till, "status")
    assert (code, status["verdict"], status["running"]) == (3, "not_enrolled", True)
    code, found = await asked(till, "members", "show", card(7))
    assert (code, found["short_name"]) == (0, "Member 7")
    code, queue = await asked(till, "queue", "list")
    assert (code, queue["queued"]) == (0, 1)
    code, entry = await asked(till, "queue", "show", "1")
    assert entry["kind"] == "receipt"


async def test_it_tells_systemd_when_it_answers_that_it_is_alive_and_that_it_ends(
    till: Till, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)

        async def until_told(state: bytes) -> None:
            while await asyncio.wait_for(asyncio.get_running_loop().sock_recv(systemd, 100), READY_WITHIN_S) != state:
                pass

        # when it answers, and not before
        await till.start()
        await until_told(b"READY=1")
        await until_told(b"WATCHDOG=1")

        # and when it is stopped
        stopping = asyncio.create_task(till.stop())
        await until_told(b"STOPPING=1")
        assert await stopping == 0


async def test_open_gives_a_one_time_address(till: Till) -> None:
    await till.start()

    code, out, _ = await till.command("open", "--print")

    assert code == 0
    assert out.startswith(f"http://127.0.0.1:{till.port}/pair?code=")


async def test_control_json_is_for_this_user_only_and_leaves_with_the_agent(till: Till) -> None:
    await till.start()
    control = till.folder / "state" / "control.json"
    assert stat.S_IMODE(control.stat().st_mode) == 0o600

    assert await till.stop() == 0

    assert not control.exists()


async def test_a_killed_agent_loses_and_doubles_nothing(till: Till) -> None:
    await till.start()
    till.scan(card(7))
    till.print(receipt(1))
    await till.kill()
    till.print(receipt(2))

    await till.start()
    till.print(receipt(3))
    await until_queued(till, 3)

    _, queue = await asked(till, "queue", "list")
    entries = queue["entries"]
    assert isinstance(entries, list)
    assert len({entry["key"] for entry in entries}) == 3


async def test_a_damaged_store_is_kept_aside_and_what_it_held_comes_back_while_selling_goes_on(till: Till) -> None:
    await till.start()
    till.scan(card(7))
    till.print(receipt(1))
    await until_queued(till, 1)
    await till.stop()
    with (till.folder / "state" / "store.db").open("r+b") as file:
        file.write(b"nobody's header" * 1000)

    # when it is started, with a receipt in the spool
    till.print(receipt(2))
    await till.start()
    till.print(receipt(3))
    await until_queued(till, 3)
    agent = await till.agent()
    for _ in range(600):  # they come back in the background
        if (await asyncio.to_thread(agent.status)).members == 20:
            break
        await asyncio.sleep(0.05)

    # then each sale is there once, the members are, and status tells where the damaged file is
    _, queue = await asked(till, "queue", "list")
    entries, items = queue["entries"], queue["quarantined"]
    assert isinstance(entries, list)
    assert len({entry["key"] for entry in entries}) == 3
    assert isinstance(items, list)
    assert [item["reason"] for item in items] == ["corrupt_store"]
    _, status = await asked(till, "status")
    assert status["members"] == 20
    recovered = status["recovered"]
    assert isinstance(recovered, dict)
    assert recovered["salvaged"]["brought_back"]["entries"] == 1
    assert recovered["moved_to"] in str(status["reasons"])


async def test_without_its_agent_a_register_still_answers_and_says_what_is_wrong(till: Till) -> None:
    # given an agent that was killed, with control.json left behind
    await till.start()
    till.print(receipt(1))
    await until_queued(till, 1)
    await till.kill()

    code, status = await asked(till, "status")

    assert (code, status["verdict"], status["running"], status["queued"]) == (3, "not_enrolled", False, 1)
    code, _, err = await till.command("open", "--print")
    assert code == 1
    assert "tillside run" in err


async def test_a_second_agent_for_the_same_register_is_refused(till: Till) -> None:
    await till.start()

    code, _, err = await till.command("run")

    assert code == 1
    assert "Traceback" not in err
    assert "store" in err


async def test_a_port_that_is_taken_is_named_with_the_remedy(till: Till) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", till.port)
    async with server:
        code, _, err = await till.command("run")

    assert code == 1
    assert f"127.0.0.1:{till.port}" in err
    assert "[page] port" in err


@pytest.mark.parametrize(
    ("added", "parts"),
    [
        ('[[scanners]]\nname = "second"\n', ["second", "port"]),
        ('[[scanners]]\nname = "second"\nport = "/dev/x"\nbaud = "fast"\n', ["second", "baud"]),
        ('[[scanners]]\nname = "second"\ndriver = "magic"\n', ["second", "magic", "serial"]),
        ("[pages]\nport = 1\n", ["[pages]", "'page'"]),
    ],
)
async def test_a_wrong_setting_stops_the_start(till: Till, added: str, parts: list[str]) -> None:
    till.config.write_text(till.config.read_text() + added)

    code, out, err = await till.command("run")

    assert (code, out) == (2, "")
    for part in [str(till.config), *parts]:
        assert part in err


@pytest.mark.parametrize(
    ("key", "value"), [("code_page", "CP99999"), ("profile", "NO-SUCH"), ("template", "gone.toml")]
)
async def test_a_source_that_could_not_be_read_fails_alone_and_says_what_to_write(
    till: Till, key: str, value: str
) -> None:
    """What comes from it waits where it is; the till sells on."""
    folder = f'[[receipts]]\nname = "journal"\nfolder = "journal"\n{key} = "{value}"\n'
    till.config.write_text(f"{till.config.read_text()}authoritative = true\n{folder}")
    waits = till.folder / "journal" / "1.txt"
    waits.parent.mkdir()
    waits.write_bytes(receipt(2))
    await till.start()

    till.scan(card(7))
    till.print(receipt(1))
    await until_queued(till, 1)

    journal = await worker(till, "journal")
    assert journal["condition"] == "failing"
    for part in (str(till.config), f"[[receipts]] 'journal' {key}", f"{value}'"):
        assert part in str(journal["problem"])
    assert waits.exists()


async def test_a_wrong_way_to_the_centre_or_to_releases_stops_nothing_and_is_named(till: Till) -> None:
    centre = '[centre]\nproxy = "ftp://10.0.0.1"\n[update]\nroot = "gone.json"\n'
    till.config.write_text(till.config.read_text() + centre)
    enrolled(till.folder / "state")
    await till.start()

    till.scan(card(7))
    till.print(receipt(1))
    await until_queued(till, 1)

    problem = str((await worker(till, "centre"))["problem"])
    assert f"{till.config}: [centre] proxy: 'ftp://10.0.0.1'" in problem
    assert "http://HOST:PORT" in problem
    _, report = await asked(till, "doctor")
    said = {str(one["name"]): str(one["said"]) for one in report["checks"]}  # type: ignore[attr-defined]
    assert "'ftp://10.0.0.1'" in said["[centre] proxy"]
    assert "gone.json" in said["[update] root"]
    log = (till.folder / "agent.log").read_text()
    assert log.count('"setting_wrong"') == 2


async def worker(till: Till, name: str) -> dict[str, object]:
    """How a worker is that has failed, as `status` says it."""
    for _ in range(500):
        _, status = await asked(till, "status")
        workers = status["workers"]
        assert isinstance(workers, list)
        [found] = [one for one in workers if one["name"] == name and one["kind"] != "relay"]
        if found["condition"] != "starting":
            return dict(found)
    raise AssertionError(name)


def enrolled(state: Path) -> None:
    keeper_for(state).get_or_create(DEVICE_KEY, DEVICE_KEY_BYTES)
    enrolment = Enrolment(
        device="d1",
        store="12",
        register="3",
        url=f"https://127.0.0.1:{free_port()}",
        ca_pem=ca_pem(),
        centre_epoch="c1",
        program_key="A" * 43,
    )
    save_enrolment(state, enrolment)


async def test_a_missing_scanner_stops_nothing_and_is_named(till: Till) -> None:
    text = till.config.read_text()
    till.config.write_text(text + '[[scanners]]\nname = "handheld"\nport = "/dev/tillside-none"\n')
    await till.start()

    till.scan(card(7))
    till.print(receipt(1))
    await until_queued(till, 1)

    _, status = await asked(till, "status")
    workers = status["workers"]
    assert isinstance(workers, list)
    (handheld,) = [worker for worker in workers if worker["name"] == "handheld"]
    assert handheld["condition"] == "failing"
    assert "/dev/tillside-none" in handheld["problem"]


async def test_the_quarantine_is_exported_for_this_user_only(till: Till) -> None:
    await till.start()
    till.print(b"\x1b@MYSTERY SHEET\n\x1dV\x00")
    till.print(receipt(1))
    await until_queued(till, 1)

    code, _ = await asked(till, "queue", "list")
    assert code == 4
    target = till.folder / "export.jsonl"
    code, _, err = await till.command("queue", "export", str(target))

    assert code == 0, err
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    (line,) = target.read_text().splitlines()
    assert json.loads(line)["reason"] == "unknown_layout"


async def test_a_register_that_never_ran_is_named(tmp_path: Path) -> None:
    till = Till(tmp_path)
    code, _, err = await till.command("status")

    assert code == 3
    assert str(tmp_path / "state") in err
    assert not (tmp_path / "state").exists()
    till.close()


async def test_logs_hold_no_codes_names_or_receipts(till: Till) -> None:
    await till.start()
    till.scan(card(7))
    till.scan("SECRETCARD123")
    till.print(receipt(1))
    till.print(b"\x1b@MYSTERY SHEET\n\x1dV\x00")
    await until_queued(till, 1)
    await till.stop()

    log = (till.folder / "agent.log").read_text()
    for secret in (card(7), "SECRETCARD", "Member 7", "KAFA", "MYSTERY"):
        assert secret not in log


async def test_corrected_settings_read_the_quarantine_at_the_next_start(till: Till) -> None:
    # given a register whose settings name another reader than its receipts need
    right = till.config.read_text(encoding="utf-8")
    till.config.write_text(right + 'format = "purs-journal"\n', encoding="utf-8")
    await till.start()
    till.print(receipt(1))
    agent = await till.agent()
    for _ in range(500):
        if (await asyncio.to_thread(agent.status)).quarantined:
            break
        await asyncio.sleep(0.01)

    # when it is asked to read it again, nothing has changed yet
    code, queue = await asked(till, "queue", "list")
    assert (code, queue["queued"]) == (4, 0)
    code, reread = await asked(till, "queue", "retry", "1")
    assert (code, reread["outcome"], reread["reason"]) == (4, "waits", "unknown_layout")

    # then with the right settings it is booked by itself, and nothing waits
    await till.kill()
    till.config.write_text(right, encoding="utf-8")
    await till.start()
    await until_queued(till, 1)
    code, item = await asked(till, "queue", "show", "1")
    assert (code, item["resolved_as"]) == (0, "read")
    code, _ = await asked(till, "queue", "retry", "--all")
    assert code == 0
    code, queue = await asked(till, "queue", "list")
    assert (code, queue["queued"]) == (0, 1)
